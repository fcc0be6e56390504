"""Rendered files are current, and the systems that read them accept them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.house.rooms import ROOT

from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.define.model import RecordingRule, RuleGroup
from watchkeeper.define.render.golden import files, write
from watchkeeper.define.render.prometheus import Links, rule_file
from watchkeeper.define.render.ui import dashboard_json, listing_json
from watchkeeper.define.rules import api_error_rate, shipped_rules


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool; skip without it, fail in CI."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing")
        pytest.skip("promtool is missing; tests/debian.sh installs it")
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("name", sorted(files()))
def test_committed_files_are_what_the_definitions_render(name: str) -> None:
    """deploy/ holds exactly what ``golden.write`` writes."""
    assert files()[name] == (ROOT / name).read_text(encoding="utf-8")


def test_files_are_written_below_the_root(tmp_path: Path) -> None:
    """``write`` makes folders and says what it wrote."""
    written = write(tmp_path)

    assert sorted(files()) == sorted(str(path.relative_to(tmp_path)) for path in written)


@pytest.mark.parametrize("profile", ["production", "demo"])
def test_promtool_accepts_the_shipped_rules(profile: Any, tmp_path: Path) -> None:
    """Debian's promtool finds nothing wrong with either profile."""
    path = tmp_path / "rules.yml"
    path.write_text(rule_file(shipped_rules(profile), keep_firing_for=False))

    assert 0 == promtool("check", "rules", str(path)).returncode


def test_dashboards_in_grafana_have_stable_ids_and_ask_for_exemplars() -> None:
    """The uid is ours, the data source is a variable, latency charts ask for exemplars."""
    for board in DASHBOARDS:
        shown = json.loads(files()[f"deploy/grafana/{board.uid}.json"])
        targets = [t for panel in shown["panels"] for t in panel.get("targets", [])]
        variables = [variable["name"] for variable in shown["templating"]["list"]]
        assert shown["uid"] == f"watchkeeper-{board.uid}"
        assert variables == ["datasource", *(variable.name for variable in board.variables)]
        assert {t["datasource"]["uid"] for t in targets} == {"${datasource}"}
        assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"])
        assert all(t["exemplar"] for t in targets if "_bucket" in t["expr"] and not t["instant"])


def test_panels_in_grafana_do_not_overlap() -> None:
    """No two panels cover the same cell of the 24-column grid."""
    for board in DASHBOARDS:
        cells: set[tuple[int, int]] = set()
        for panel in json.loads(files()[f"deploy/grafana/{board.uid}.json"])["panels"]:
            at = panel["gridPos"]
            own = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert at["x"] + at["w"] <= 24
            assert not cells & own
            cells |= own


def test_our_ui_gets_plain_json() -> None:
    """A dashboard for the UI holds every field of the agreed shape, units as short words."""
    shown = json.loads(json.dumps(dashboard_json(DASHBOARDS[0])))
    panel = shown["rows"][1]["panels"][0]

    assert {"uid", "title", "description", "refresh_s", "variables", "rows"} == set(shown)
    assert panel == {
        "id": "request-rate",
        "title": "Requests by route",
        "description": panel["description"],
        "kind": "timeseries",
        "unit": "reqps",
        "width": 6,
        "stacked": True,
        "decimals": None,
        "queries": [
            {
                "expr": "sum by (http_route) (rate(http_server_request_duration_seconds_count"
                '{job=~"$job"}[$__rate_interval]))',
                "legend": "{{http_route}}",
                "instant": False,
            }
        ],
        "thresholds": [],
    }
    assert listing_json(DASHBOARDS)["dashboards"][0]["uid"] == "overview"


def test_a_rule_file_can_leave_out_what_old_servers_do_not_know() -> None:
    """``keep_firing_for`` is written for Prometheus from 2.43 on only."""
    groups = (RuleGroup("g", (api_error_rate(keep_firing_for="2m"), RecordingRule("a:b", "up"))),)
    new = yaml.safe_load(rule_file(groups))["groups"][0]["rules"]
    old = yaml.safe_load(rule_file(groups, keep_firing_for=False))["groups"][0]["rules"]

    assert new[0]["keep_firing_for"] == "2m"
    assert "keep_firing_for" not in old[0]
    assert new[1] == {"record": "a:b", "expr": "up"}


def test_links_fit_where_dashboards_are_shown() -> None:
    """Our UI is linked with the panel, Grafana without."""
    assert Links().dashboard_url("overview#latency") == "/#/d/overview?panel=latency"
    assert Links.to_grafana().dashboard_url("overview#latency") == "/d/watchkeeper-overview"
