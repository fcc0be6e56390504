"""Definitions agree with the vocabulary; those that do not are found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchkeeper.define.check import problems, selectors
from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.define.expr import label, rate, series, share
from watchkeeper.define.model import (
    AlertRule,
    Dashboard,
    Panel,
    Query,
    Row,
    RuleGroup,
    Threshold,
    Unit,
    Variable,
)
from watchkeeper.define.rules import shipped_rules
from watchkeeper.errors import DefinitionError

PANEL = Panel("p", "Uptime", "…", Unit.SECONDS, (Query("process_uptime_seconds", "{{job}}"),))
ALERT = AlertRule("A", "up == 0", "page", "{{ $labels.job }}", "…")


def board(panel: Panel, *, question: str = "How long?") -> Dashboard:
    """Return a dashboard of one panel."""
    return Dashboard("b", "B", "…", (Row("R", question, (panel,)),))


def test_what_ships_is_sound() -> None:
    """Shipped dashboards and rules, in both profiles, agree with the vocabulary."""
    assert problems(DASHBOARDS, shipped_rules("production")) == []
    assert problems(DASHBOARDS, shipped_rules("demo")) == []


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (replace(PANEL, queries=(Query("process_uptime_secs"),)), "is not in the vocabulary"),
        (replace(PANEL, queries=(Query('up{route="/"}'),)), "up has no label route"),
        (replace(PANEL, queries=(Query("sum by (nope) (up)"),)), "no series here has the label"),
        (replace(PANEL, queries=(Query("sum by (job (up)"),)), "does not parse"),
        (
            replace(PANEL, queries=(Query("process_uptime_seconds", "{{zone}}"),)),
            "the legend names zone",
        ),
        (replace(PANEL, unit=Unit.BYTES), "unit bytes does not fit {'s': 1}"),
        (replace(PANEL, width=13), "width 13 is not 1 to 12"),
        (
            replace(PANEL, thresholds=(Threshold(2, "warning"), Threshold(1, "critical"))),
            "thresholds do not ascend",
        ),
    ],
)
def test_a_contradiction_in_a_panel_is_found(panel: Panel, said: str) -> None:
    """Unknown names, texts that do not parse, and wrong units are each named."""
    found = problems([board(panel)], [])

    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (replace(ALERT, expr="nope > 1"), "metric nope is not in the vocabulary"),
        (replace(ALERT, summary="{{ $labels.zone }}"), "names the label zone"),
        (replace(ALERT, dashboard="gone#x"), "no dashboard or panel gone#x"),
        (replace(ALERT, dashboard="b#gone"), "no dashboard or panel b#gone"),
    ],
)
def test_a_contradiction_in_a_rule_is_found(rule: AlertRule, said: str) -> None:
    """A rule's expression, texts and dashboard are checked."""
    found = problems([board(PANEL)], [RuleGroup("g", (rule,))])

    assert any(said in text for text in found)


def test_structure_is_checked() -> None:
    """Uids and panel ids are unique, a row asks a question, a variable reads label values."""
    twice = replace(board(PANEL), rows=(Row("R", "Why", (PANEL, PANEL)),))
    odd = replace(board(PANEL), variables=(Variable("job", "Job", "up"),))

    assert problems([twice], []) == ["b: panel id p is used twice", "b: row R asks no question"]
    assert problems([board(PANEL), board(PANEL)], []) == ["dashboard uid b is used twice"]
    assert problems([odd], []) == ["b: variable job: not label_values(series, label): up"]


def test_selectors_are_listed_with_their_labels() -> None:
    """Every selector of an expression is found, also below a range and in a subquery."""
    expr = 'rate(a_total{x="1"}[$__rate_interval]) / max_over_time(b[1h:1m])'

    assert [("a_total", {"x"}), ("b", set())] == sorted(selectors(expr))


def test_expressions_are_built_from_vocabulary_names_only() -> None:
    """A misspelt metric, attribute or histogram part cannot be written."""
    with pytest.raises(DefinitionError, match="unknown metric"):
        series("http.server.request.durations", part="count")
    with pytest.raises(DefinitionError, match="unknown attribute"):
        label("http.routes")
    with pytest.raises(DefinitionError, match="does not have"):
        series("http.server.request.duration")


def test_a_share_is_zero_where_nothing_failed() -> None:
    """The helper keeps a line at 0 instead of leaving a gap."""
    assert share("a", "b") == "(a or b * 0) / b"
    assert rate("a", by=("http.route",)) == "sum by (http_route) (rate(a[$__rate_interval]))"
