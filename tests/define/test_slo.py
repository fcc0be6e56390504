"""Objectives are read strictly and become rules that Prometheus accepts."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from tests.conformance.promtool.verdicts import promtool
from tests.define.test_rules import FOLDER
from tests.house.rooms import ROOT

from watchkeeper.cli.main import main, parser
from watchkeeper.define.model import AlertRule
from watchkeeper.define.slo import Availability, Latency, Slo, slo_rules
from watchkeeper.define.slofile import read_slos
from watchkeeper.errors import RuleFileError
from watchkeeper.server.promql.parser import parse
from watchkeeper.server.rules.loader import load_text

GUIDE = ROOT / "docs" / "alerting" / "slo.md"
HEAD = "slos:\n  - name: a\n    objective: 99.9\n"
RATIO = "    ratio:\n      good: sum(increase(a_total[$window]))\n      total: "


def alerts(slo: Slo) -> list[AlertRule]:
    """Return the alerts of one objective."""
    return [r for group in slo_rules([slo]) for r in group.rules if isinstance(r, AlertRule)]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "the file is empty"),
        ("slos: []\n", 1, "there are no objectives"),
        ("slo: []\n", 1, "the unknown field 'slo'"),
        ("slos:\n  - name: [\n", 3, "not YAML"),
        ("slos:\n  - objective: 99\n", 2, "name is missing"),
        ("slos:\n  - name: A b\n", 2, "the name is 'A b'"),
        (HEAD, 2, "nothing to measure"),
        (HEAD + "    availability:\n    latency: {threshold: 1}\n", 2, "availability and latency"),
        (HEAD + "    availability: {path: /}\n", 4, "the unknown field 'path'"),
        (HEAD + "    latency: {threshold: 0.3}\n", 4, "the threshold is '0.3'"),
        (HEAD + "    latency: {job: api}\n", 4, "threshold is missing"),
        (HEAD + "    availability:\n    window: 7d\n", 5, "the window is '7d'"),
        (HEAD + "    availability:\n    least_failures: none\n", 5, "least_failures is 'none'"),
        (HEAD + "    availability:\n    labels: {severity: page}\n", 5, "the name 'severity'"),
        (HEAD + "    availability:\n    labels: [a]\n", 5, "labels is not a mapping"),
        (HEAD + RATIO + "sum(a)\n", 6, "total has no $window"),
        (HEAD + RATIO + "sum(a[$window]\n", 6, "total is not PromQL"),
        (HEAD + RATIO + "sum(increase(a[$window]))\n      dashboard: x#y\n", 7, "the dashboard is"),
        (HEAD.replace("99.9", "100"), 3, "the objective is '100'"),
        (HEAD.replace("99.9", "50"), 3, "the objective is '50'"),
        (HEAD.replace("99.9", "often"), 3, "the objective is 'often'"),
        (
            HEAD + "    availability:\n  - name: a\n    objective: 99\n    availability:\n", 5,
            "the name 'a' is given twice",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    """The error names the file, the line, what is wrong, what is accepted, and what to do."""
    with pytest.raises(RuleFileError) as caught:
        read_slos(text, "slo.yml", parse)

    told = str(caught.value)
    assert told.startswith(f"slo.yml:{line}: ")
    assert said in told
    assert "Accepted: " in told
    assert "Next: " in told


def test_there_is_a_bound_on_objectives() -> None:
    """More objectives than the rules of one file may be are refused before any rule is made."""
    one = "  - {{name: s{0}, objective: 99, availability: }}\n"
    text = "slos:\n" + "".join(one.format(number) for number in range(201))

    with pytest.raises(RuleFileError, match=r"there are 201 objectives\. Accepted: up to 200"):
        read_slos(text, "slo.yml", parse)


def test_paces_are_those_of_the_workbook() -> None:
    """For 30 days they are 14.4, 6, 3 and 1, each with its windows and severity."""
    rules = alerts(Slo("a", Decimal("99.9"), Availability()))

    assert [
        ("14.4", "1h", "5m", "page"),
        ("6", "6h", "30m", "page"),
        ("3", "1d", "2h", "ticket"),
        ("1", "3d", "6h", "ticket"),
    ] == [
        (
            re.findall(r"/ 0\.001 > (\S+)$", rule.expr, re.MULTILINE)[1],
            rule.labels["long_window"], rule.labels["short_window"], rule.severity,
        )
        for rule in rules
    ]  # fmt: skip
    assert "> 13.44\n" in alerts(Slo("a", Decimal(99), Availability(), window="28d"))[0].expr


def test_an_alert_that_could_not_fire_is_left_out() -> None:
    """With a budget of 10 %, 14.4 times as much is more than everything."""
    rules = alerts(Slo("a", Decimal(90), Availability()))

    assert ["6h", "1d", "3d"] == [rule.labels["long_window"] for rule in rules]


def test_a_bound_is_matched_however_it_was_written() -> None:
    """Prometheus 2 keeps `le="1"` where 3 writes `le="1.0"`."""
    assert 'le=~"1(\\\\.0)?"' in Latency(1.0).bad("5m")
    assert 'le="2.5"' in Latency(2.5).bad("5m")


def test_the_command_makes_a_file_that_promtool_and_we_accept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed or written, for our UI or for Grafana, the rules load."""
    source, target = FOLDER / "slo.example.yml", tmp_path / "rules.yml"

    assert 0 == main(["slo", "generate", str(source), "--grafana", "--output", str(target)])
    assert 0 == main(["slo", "generate", str(source)])
    printed = capsys.readouterr().out
    assert 0 == promtool("check", target, tmp_path)
    assert 9 == len(load_text(printed, "printed"))
    assert "/#/d/overview?panel=error-ratio" in printed
    assert "/d/watchkeeper-overview" in target.read_text("utf-8")


def test_the_command_writes_nothing_for_a_file_with_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad file, one that is not there, and a folder that is not there end with code 1."""
    bad, target = tmp_path / "slo.yml", tmp_path / "rules.yml"
    bad.write_text("slos: 1\n", encoding="utf-8")

    assert 1 == main(["slo", "generate", str(bad), "--output", str(target)])
    assert f"{bad}:1: there are no objectives" in capsys.readouterr().err
    assert not target.exists()
    assert 1 == main(["slo", "generate", str(tmp_path / "gone.yml")])
    good = str(FOLDER / "slo.example.yml")
    assert 1 == main(["slo", "generate", good, "--output", str(tmp_path / "no" / "rules.yml")])


def test_the_guide_shows_the_example_that_is_tested() -> None:
    """The YAML of the guide is the example, and its commands exist."""
    text = GUIDE.read_text("utf-8")
    shown = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    example = yaml.safe_load((FOLDER / "slo.example.yml").read_text("utf-8"))

    assert [example] == [yaml.safe_load(block) for block in shown]
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            parser().parse_args(line.split("#")[0].split()[1:])


def test_the_guide_on_rules_runs_as_printed(tmp_path: Path) -> None:
    """Its program writes a file with every shipped alert once, which promtool accepts."""
    text = (ROOT / "docs" / "alerting" / "rules.md").read_text("utf-8")
    program = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=50)
    groups = load_text((tmp_path / "rules.yml").read_text("utf-8"), "rules.yml")
    names = [rule.name for group in groups for rule in group.rules]

    assert len(names) == len(set(names))
    assert {"ApiLatencyP95", "Watchdog", "LlmSpendSpike"} <= set(names)
