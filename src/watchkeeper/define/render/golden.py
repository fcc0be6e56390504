"""Writes the rendered files that are committed, below ``deploy/`` and beside the rules' tests."""

from __future__ import annotations

from pathlib import Path

from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.define.render import grafana
from watchkeeper.define.render.prometheus import Links, rule_file
from watchkeeper.define.rules import shipped_rules
from watchkeeper.define.slo import slo_rules
from watchkeeper.define.slofile import read_slos

__all__ = ["files", "write"]

_HEAD = "# Rendered from watchkeeper's definitions; change those, then render again.\n"
_TESTED = "src/watchkeeper/define/ruletests/rules"


def files() -> dict[str, str]:
    """Return the text of every rendered file by its path relative to the repository."""
    rendered = {
        f"deploy/grafana/{board.uid}.json": grafana.dashboard_json(board) for board in DASHBOARDS
    }
    links = Links.to_grafana()
    rules = rule_file(shipped_rules("production"), links=links, keep_firing_for=False)
    rendered["deploy/prometheus/rules/watchkeeper.yml"] = _HEAD + rules
    # The rules' unit tests are part of the package. Each names one group's file, since promtool
    # evaluates every rule that it is given, at every step.
    for group in shipped_rules("production"):
        name = group.name.removeprefix("watchkeeper-")
        text = rule_file((group,), links=links, keep_firing_for=False)
        rendered[f"{_TESTED}/{name}.yml"] = _HEAD + text
    example = (Path(__file__).parents[1] / "ruletests" / "slo.example.yml").read_text("utf-8")
    slos = read_slos(example, "slo.example.yml", lambda _: None)
    text = rule_file(slo_rules(slos), links=links, keep_firing_for=False)
    rendered[f"{_TESTED}/slo.yml"] = _HEAD + text
    return rendered


def write(root: Path) -> list[Path]:
    """Write every rendered file below *root*; return their paths.

    Raises:
        OSError: A file cannot be written.
    """
    written = []
    for name, text in files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
