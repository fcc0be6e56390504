"""Unit tests of rules: what is read, what is said when something differs, and the bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from watchkeeper.errors import RuleFileError
from watchkeeper.server.rules.ruletest.notation import NotationError, metric, values
from watchkeeper.server.rules.ruletest.reader import read_tests
from watchkeeper.server.rules.ruletest.run import Failure, run_file
from watchkeeper.server.series import STALE_NAN_BITS
from watchkeeper.testing.clock import FixedClock

RULES = """
groups:
- name: one
  rules:
  - alert: Hot
    expr: m > 5
    for: 2m
    annotations: {summary: 'at {{ $value }}'}
"""


def failures(folder: Path, tests: str, rules: str = RULES) -> tuple[Failure, ...]:
    """Return what fails when *tests* run over *rules*."""
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    path = folder / "t.yml"
    path.write_text("rule_files: [rules.yml]\n" + tests, encoding="utf-8")
    return run_file(path, FixedClock()).failures


@pytest.mark.parametrize(
    ("text", "positions", "numbers"),
    [
        ("1 2.5 -3", [0, 1, 2], [1, 2.5, -3]),
        ("1+2x2", [0, 1, 2], [1, 3, 5]),
        ("1-2x2 9", [0, 1, 2, 3], [1, -1, -3, 9]),
        ("4x1 _ 5", [0, 1, 3], [4, 4, 5]),
        ("_x3 1", [3], [1]),
        ("7x0", [0], [7]),
        ("-.5e1+1x1", [0, 1], [-5, -4]),
        ("", [], []),
    ],
)
def test_values_are_read(text: str, positions: list[int], numbers: list[float]) -> None:
    """Runs, gaps and single values stand where promtool puts them."""
    found = values(text)
    assert (positions, numbers) == (found.positions.tolist(), found.numbers.tolist())


def test_stale_is_the_staleness_marker() -> None:
    """``stale`` has the bit pattern that ends a series."""
    found = values("stale")
    assert [STALE_NAN_BITS] == found.numbers.view(np.uint64).tolist()


def test_a_run_adds_up_as_prometheus_does() -> None:
    """Steps are added one after the other, with their rounding."""
    assert 0.1 + 0.1 + 0.1 == values("0.1+0.1x2").numbers[-1] != 0.3


@pytest.mark.parametrize("text", ["1+2", "x3", "1x", "two", "1+1x1.5", "--1", "1 + 2x3", "0x1f"])
def test_what_is_no_value_is_said(text: str) -> None:
    """An item that is not in the notation is named."""
    with pytest.raises(NotationError, match="is not a value"):
        values(text)


def test_values_are_bounded() -> None:
    """A run of more values than the limit is refused before it takes memory."""
    with pytest.raises(NotationError, match="more than"):
        values("1x999999999999")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("m", {"__name__": "m"}),
        ("", {}),
        ("{}", {}),
        (" m { a = \"1\" , b='2', } ", {"__name__": "m", "a": "1", "b": "2"}),
        ('{__name__="m",a=`\\d`}', {"__name__": "m", "a": "\\d"}),
        ('{"m.x", "a.b"="\\u00e9"}', {"__name__": "m.x", "a.b": "é"}),
        ('m{a=""}', {"__name__": "m"}),
    ],
)
def test_metrics_are_read(text: str, labels: dict[str, str]) -> None:
    """A metric is a name, labels, or both; quoted names may be any text."""
    assert tuple(sorted(labels.items())) == metric(text)


@pytest.mark.parametrize(
    "text", ["m{", "m{a}", "m{a=1}", 'm{a="1" b="2"}', 'm{a="1"} x', 'm{a="1",a="2"}', 'm{a="x}']
)
def test_what_is_no_metric_is_said(text: str) -> None:
    """A text that is no metric is refused with its place."""
    with pytest.raises(NotationError, match=r"offset|twice"):
        metric(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tests:\n- every: 1m\n", r"t.yml:2: a test has the unknown field 'every'"),
        ("tests:\n- interval: soon\n", r"t.yml:2: interval is 'soon'"),
        (
            "tests:\n- input_series:\n  - series: m{\n    values: 1\n",
            r"t.yml:3: series is 'm\{': a label's name",
        ),
        ("tests:\n- input_series:\n  - series: m\n    values: 1 b\n", r"t.yml:4: values is '1 b'"),
        ("tests:\n- alert_rule_test:\n  - eval_time: 1m\n", r"t.yml:3: .* no alertname"),
        (
            "tests:\n- promql_expr_test:\n  - expr: m\n    exp_samples:\n    - value: one\n",
            r"t.yml:5: value is 'one'",
        ),
        ("tests:\n- start_timestamp: noon\n", r"t.yml:2: start_timestamp is 'noon'"),
        ("group_eval_order:\n- a\n- a\n", r"t.yml:3: group 'a' is given twice"),
        ("fuzzy_compare: maybe\n", r"t.yml:1: fuzzy_compare is 'maybe'"),
        ("tests: [\n", r"t.yml:2: not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """A file that is no file of tests is refused with file, line and what to do."""
    path = tmp_path / "t.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RuleFileError, match=message) as caught:
        read_tests(path)
    assert "Next: " in str(caught.value)


def test_a_failure_shows_what_was_expected_and_what_came(tmp_path: Path) -> None:
    """It names test, alert, moment and line; pending alerts are a hint."""
    found = failures(
        tmp_path,
        "tests:\n- name: warm\n  interval: 1m\n  input_series: [{series: m, values: 9x9}]\n"
        "  alert_rule_test:\n  - eval_time: 1m\n    alertname: Hot\n"
        "    exp_alerts: [{exp_annotations: {summary: at 9}}]\n",
    )
    assert 1 == len(found)
    assert (f"{tmp_path}/t.yml:7", "test 'warm': alert Hot at 1m") == (
        found[0].where,
        found[0].what,
    )
    assert ('{alertname="Hot"} annotations {summary="at 9"}',) == found[0].expected
    assert () == found[0].got
    assert 'pending: {alertname="Hot"}' == found[0].hint


def test_an_alert_that_no_rule_has_is_a_hint(tmp_path: Path) -> None:
    """A misspelt alert is named as such."""
    found = failures(tmp_path, "tests:\n- alert_rule_test: [{alertname: Hut, exp_alerts: [{}]}]\n")
    assert ["no rule that was loaded is called Hut"] == [one.hint for one in found]


def test_a_rule_that_fails_ends_its_test_and_no_other(tmp_path: Path) -> None:
    """It is named with its file and line; later tests of the file still run."""
    rules = "groups:\n- name: g\n  rules:\n  - {record: x, expr: m + on() n}\n"
    series = "[{series: 'm{a=\"1\"}', values: 1}, {series: 'm{a=\"2\"}', values: 1}"
    found = failures(
        tmp_path,
        f"tests:\n- input_series: {series}, {{series: n, values: 1}}]\n"
        "  promql_expr_test: [{expr: vector(2), exp_samples: []}]\n"
        "- promql_expr_test: [{expr: vector(1), exp_samples: []}]\n",
        rules,
    )
    assert ["rule x", "expression vector(1) at 0s"] == [
        one.what if one.expected is not None else one.what[:6] for one in found
    ]
    assert f"{tmp_path}/rules.yml:4" in found[0].what


def test_evaluations_are_bounded(tmp_path: Path) -> None:
    """A test that asks for centuries in milliseconds is refused, not run."""
    found = failures(
        tmp_path,
        "evaluation_interval: 1ms\ntests:\n- promql_expr_test: [{expr: m, eval_time: 100y}]\n",
    )
    assert ["rule_test_turns_max" in one.what for one in found] == [True]


def test_a_rule_file_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    """As in promtool, such a pattern is told and is no failure."""
    path = tmp_path / "t.yml"
    path.write_text("rule_files: ['gone*.yml']\ntests: [{}]\n", encoding="utf-8")
    outcome = run_file(path, FixedClock())
    assert ((), ("no rule file matches gone*.yml",)) == (outcome.failures, outcome.warnings)
