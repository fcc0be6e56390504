"""Each shipped alert has unit tests, a runbook that can be followed, and a panel.

The unit tests themselves are run by tests/conformance/promtool, with promtool and with ours.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import yaml
from tests.house.rooms import ROOT

from watchkeeper.cli.main import parser
from watchkeeper.define import rules
from watchkeeper.define.check import problems, selectors
from watchkeeper.define.counting import grown
from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.define.duration import seconds
from watchkeeper.define.model import AlertRule, RuleGroup
from watchkeeper.define.slo import slo_rules
from watchkeeper.define.slofile import read_slos
from watchkeeper.errors import DefinitionError
from watchkeeper.server.promql.parser import parse

FOLDER = ROOT / "src" / "watchkeeper" / "define" / "ruletests"
TESTS = sorted(path for path in FOLDER.glob("*.yml") if "rule_files" in path.read_text("utf-8"))
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["What it means", "Look first", "Likely causes", "What to do", "How to tune it"]


def example() -> tuple[RuleGroup, ...]:
    """Return the rules of the SLO example."""
    path = FOLDER / "slo.example.yml"
    return slo_rules(read_slos(path.read_text("utf-8"), path.name, parse))


def alerts() -> dict[str, AlertRule]:
    """Return every alert that ships, and that of the SLO example, by name."""
    groups = (*rules.shipped_rules(), *example())
    return {
        rule.name: rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)
    }


def cases() -> list[dict[str, Any]]:
    """Return the alert cases of all unit tests."""
    return [
        case
        for path in TESTS
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]


def test_every_alert_fires_in_a_test_and_is_silent_in_one() -> None:
    """No alert ships without a test that makes it fire and, but for the watchdog, one that does not."""
    fires = {case["alertname"] for case in cases() if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases() if not case["exp_alerts"]}

    assert set(alerts()) == fires
    assert set(alerts()) - {"Watchdog"} == silent


def test_every_alert_resolves_in_a_test() -> None:
    """Some test expects each alert to be silent again after it fired."""
    resolved = set()
    for path in TESTS:
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            fired = False
            for case in test["alert_rule_test"]:
                if fired and not case["exp_alerts"]:
                    resolved.add(case["alertname"])
                fired = fired or bool(case["exp_alerts"])

    assert set(alerts()) - {"Watchdog"} == resolved


def test_every_alert_tells_what_and_where() -> None:
    """Summary, description, runbook and a panel that exists: none is missing on any alert."""
    for rule in alerts().values():
        assert rule.summary
        assert rule.description.endswith(".")
        assert rule.runbook
        assert "#" in rule.dashboard, rule.name
    assert [] == problems(DASHBOARDS, example())


def test_both_profiles_have_the_same_alerts() -> None:
    """The demo shows every alert that production has."""
    names = [
        [rule.name for group in rules.shipped_rules(profile) for rule in group.rules
         if isinstance(rule, AlertRule)]
        for profile in ("production", "demo")
    ]  # fmt: skip

    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0]) >= 29


@pytest.mark.parametrize("name", sorted(alerts()))
def test_a_runbook_can_be_followed(name: str) -> None:
    """The page has every section; its panels, queries, rules and commands exist."""
    text = (RUNBOOKS / alerts()[name].runbook).read_text("utf-8")
    panels = {
        f"{board.title} → {panel.title}"
        for board in DASHBOARDS for row in board.rows for panel in row.panels
    }  # fmt: skip

    assert text.startswith(f"# {name}\n\n**Who is hurt:** ")
    assert f"**Severity:** {alerts()[name].severity}" in text or name == "SloBurnRate"
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert set() == set(re.findall(r"\*([^*\n]+ → [^*\n]+)\*", text)) - panels
    recorded = {
        rule.record for group in example() for rule in group.rules if hasattr(rule, "record")
    }
    for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        assert selectors(query)
        if selectors(query)[0][0] not in recorded:
            assert [] == problems([], [RuleGroup("g", (AlertRule("A", query, "none", "", ""),))])
    for line in re.findall(r"`(watchkeeper [^`]+)`", text):
        known = parser().format_help()
        assert line.split()[1] in known
    for function, arguments in re.findall(r"`([a-z_]\w+)\(([^`]*)\)`", text):
        made = getattr(rules, function, None)
        if made is not None:
            given = re.findall(r"(\w+)=", arguments)
            assert set(given) <= set(inspect.signature(made).parameters), function


def test_every_runbook_belongs_to_an_alert() -> None:
    """No page is left over from a rule that is gone, and every page says how to tune its rule."""
    pages = {path.name for path in RUNBOOKS.glob("*.md")}

    assert {rule.runbook for rule in alerts().values()} == pages
    for name, rule in alerts().items():
        if name != "SloBurnRate":
            function = re.sub(r"(?<!^)(?=[A-Z])", "_", name.replace("OAuth", "Oauth")).lower()
            text = (RUNBOOKS / rule.runbook).read_text("utf-8")
            assert f"`{function.replace('p_95', 'p95')}(" in text


def test_budgets_are_one_rule_with_the_limits_in_it() -> None:
    """Named customers have their own limits, all others the default, and nobody without a name."""
    rule = rules.llm_tenant_budget_exceeded({"a.b": 20, "c": 1.5}, default=5)

    assert 'llm_cost_usd_total{tenant_id="a.b"}' in rule.expr
    assert 'llm_cost_usd_total{tenant_id!="",tenant_id!~"a\\\\.b|c"}' in rule.expr
    assert re.findall(r"> ([\d.]+)$", rule.expr, re.MULTILINE) == ["20", "1.5", "5"]
    assert "$20.00 for a.b, $1.50 for c, $5.00 for each other" in rule.description
    parse(rule.expr)
    with pytest.raises(DefinitionError, match="has no budget"):
        rules.llm_model_budget_exceeded(default=None)


def test_growth_needs_a_window_that_is_a_duration() -> None:
    """A misspelt window cannot become a rule."""
    assert 5_400.0 == seconds("1h30m")
    for wrong in ("", "5", "5 m", "m", "5x", "-5m"):
        with pytest.raises(DefinitionError, match="not a duration"):
            grown("up", wrong)
