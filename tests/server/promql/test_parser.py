"""Text becomes our tree; what we do not do is refused by name."""

from __future__ import annotations

import pytest

from watchkeeper.errors import QueryParseError, QueryRefusedError
from watchkeeper.server.promql import MetricUse, names, parse
from watchkeeper.server.promql.ast import At, Call, MatrixSelector, Selector
from watchkeeper.server.promql.parser import parse_duration_ms
from watchkeeper.server.series import Matcher, MatchOp


def test_a_selector_keeps_its_parts() -> None:
    """Name, matchers, range, offset and @ arrive as written."""
    expected = Selector(
        (
            Matcher("__name__", MatchOp.EQUAL, "x"),
            Matcher("a", MatchOp.NOT_REGEX, "b.*"),
        ),
        offset_ms=-60_000,
        at=At("time", 1_500),
    )
    parsed = parse("rate(x{a!~'b.*'}[5m] @ 1.5 offset -1m)")
    assert Call("rate", (MatrixSelector(expected, 300_000),)) == parsed


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("x[5m] smoothed", "smoothed"),
        ("rate(x[5m] anchored)", "anchored"),
        ("a + fill(0) b", "fill"),
        ("limitk(2, x)", "limitk"),
        ("mad_over_time(x[5m])", "mad_over_time"),
        ("sort_by_label(x, 'a')", "sort_by_label"),
        ("info(x)", "info"),
        ("x[5m+1m]", "duration expression"),
        ("x[5m:step()]", "duration expression"),
        ("x offset step()", "duration expression"),
        ("x offset -(1m)", "duration expression"),
        ("histogram_count(x)", "histogram_count"),
        ("x </ 3", "trim"),
        ("{a='b' or c='d'}", "or"),
    ],
)
def test_what_is_not_done_is_refused_by_name(query: str, named: str) -> None:
    """Experimental features, native histograms and other dialects give a refusal."""
    with pytest.raises(QueryRefusedError, match=named):
        parse(query)


@pytest.mark.parametrize(
    "query",
    ["", "  ", "foo bar", "rate(x)", "1 +", "{}", "x{a=~'('}", "x @ 1e400", "x[5m", "nan(x)"],
)
def test_what_is_no_promql_is_a_parse_error(query: str) -> None:
    """A mistake is never a crash."""
    with pytest.raises(QueryParseError):
        parse(query)


def test_a_mistake_that_the_library_names_is_found_in_the_text() -> None:
    """The position is looked up from the word in the library's message."""
    with pytest.raises(QueryParseError) as caught:
        parse("1 + holt_winters(x[5m])")
    assert 4 == caught.value.position


def test_durations_are_milliseconds() -> None:
    """Prometheus durations parse; anything else is refused."""
    assert 5_400_000 == parse_duration_ms("1h30m")
    with pytest.raises(QueryParseError):
        parse_duration_ms("soon")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            'sum by (job, le) (rate(x_bucket{code="5"}[5m]))',
            {MetricUse("x_bucket", frozenset({"job", "le", "code"}))},
        ),
        (
            "a * on(pod) group_left(node) b",
            {MetricUse("a", frozenset({"pod"})), MetricUse("b", frozenset({"pod", "node"}))},
        ),
        (
            "sum by (short) (label_replace(x, 'short', '$1', 'host', '(.*)'))",
            {MetricUse("x", frozenset({"host"}))},
        ),
        ("sum by (v) (count_values('v', x))", {MetricUse("x", frozenset())}),
        ("sum by (b) (sum by (a) (x))", {MetricUse("x", frozenset({"a"}))}),
        ("histogram_quantile(0.9, x)", {MetricUse("x", frozenset({"le"}))}),
        ("time() + vector(1)", set()),
    ],
)
def test_names_lists_metrics_and_the_labels_used_on_them(
    query: str, expected: set[MetricUse]
) -> None:
    """Labels count where they must exist; those the query makes itself do not."""
    assert expected == names(parse(query))
