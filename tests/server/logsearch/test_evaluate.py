"""Log lines are found, filtered and counted by LogQL."""

from __future__ import annotations

import numpy as np
import pytest
from tests.server.sample_rows import NOON_NS, SECOND_NS, record

from watchkeeper.errors import QueryParseError, QueryRefusedError
from watchkeeper.server.logsearch.ast import Aggregation, LogQuery, RangeAggregation
from watchkeeper.server.logsearch.evaluate import evaluate, lines, streams
from watchkeeper.server.logsearch.parser import parse
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store

RECORDS = [
    record("started", at_s=0),
    record("request done", at_s=1, trace=7, http__route="/a", took_ms=120),
    record("request failed: timeout", at_s=2, severity=17, trace=8, http__route="/b", took_ms=900),
    record('{"user": {"name": "ann"}, "n": 3}', at_s=3, service="worker"),
    record('msg="hello there" n=5', at_s=4, service="worker", severity=13, resource={"host.name": "h1"}),
]  # fmt: skip


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store that holds the records above."""
    store.ingest(Batch(logs=RECORDS)).result(10)
    return store


def found(store: Store, text: str, **options: bool) -> list[str]:
    """Return the lines that a query finds in the records' minute."""
    query = parse(text)
    assert isinstance(query, LogQuery)
    forward = options.get("forward", True)
    kept = lines(store, query, NOON_NS, NOON_NS + 60 * SECOND_NS, most=100, forward=forward)
    return [entry.line.body for entry in kept]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('{service_name="api"}', [0, 1, 2]),
        ('{service_name=~"a.+|worker"}', [0, 1, 2, 3, 4]),
        ('{service_name=~".+", level!="info"}', [2, 4]),
        ('{level="error"}', [2]),
        ('{service_name="api"} |= "request"', [1, 2]),
        ('{service_name="api"} |= "started" or "failed"', [0, 2]),
        ('{service_name="api"} != "request"', [0]),
        ('{service_name="api"} |~ "time.ut$"', [2]),
        ('{service_name="api"} !~ "re(quest)?"', [0]),
        ('{service_name="api"} | http_route="/b"', [2]),
        ('{service_name="api"} | took_ms > 100 and took_ms < 500', [1]),
        ('{service_name="api"} | took_ms > 500 or http_route="/a"', [1, 2]),
        ('{service_name="api"} | trace_id="00000000000000000000000000000007"', [1]),
        ('{service_name="worker"} | json | user_name="ann"', [3]),
        ('{service_name="worker"} | json | n >= 3', [3]),
        ('{service_name="worker"} | logfmt | n = 5', [4]),
        ('{service_name="worker"} | logfmt | msg="hello there"', [4]),
        ('{service_name=~".+"} | host_name="h1"', [4]),
        ('{service_name="x\' OR 1=1 --"}', []),
    ],
)
def test_a_query_keeps_the_right_lines(filled: Store, query: str, expected: list[int]) -> None:
    """Selectors, line filters, parsers and label filters keep what they say."""
    assert [RECORDS[number].body for number in expected] == found(filled, query)


def test_the_newest_line_comes_first_unless_asked(filled: Store) -> None:
    """Backward is the default direction; forward turns it."""
    forward = found(filled, '{service_name="api"}')

    assert forward[::-1] == found(filled, '{service_name="api"}', forward=False)


def values(store: Store, text: str, *at_s: float) -> dict[tuple[tuple[str, str], ...], list[float]]:
    """Return a metric query's values at seconds after noon."""
    query = parse(text)
    assert isinstance(query, (RangeAggregation, Aggregation))
    steps = np.array([NOON_NS + round(at * SECOND_NS) for at in at_s], dtype=np.int64)
    return {key: series.tolist() for key, series in evaluate(store, query, steps).series.items()}


def test_lines_are_counted_in_a_left_open_window(filled: Store) -> None:
    """A line at exactly t - range is outside, one at exactly t is inside."""
    query = 'sum(count_over_time({service_name="api"}[2s]))'

    assert values(filled, query, 2, 3) == {(): [3.0 - 1.0, 1.0]}


def test_rates_are_per_second_and_bytes_are_counted(filled: Store) -> None:
    """``rate`` divides by the range; ``bytes_over_time`` adds up line lengths."""
    assert values(filled, 'sum(rate({service_name="api"}[10s]))', 5) == {(): [0.3]}
    assert values(filled, 'sum(bytes_over_time({service_name="api"}[1s]))', 0) == {(): [7.0]}


def test_aggregations_group_by_any_label(filled: Store) -> None:
    """Stream labels and metadata can both be grouped by."""
    assert values(filled, 'sum by (level) (count_over_time({service_name="api"}[1m]))', 30) == {
        (("level", "error"),): [1.0],
        (("level", "info"),): [2.0],
    }
    by_route = 'sum by (http_route) (count_over_time({service_name="api"} | took_ms > 0 [1m]))'
    assert values(filled, by_route, 30) == {
        (("http_route", "/a"),): [1.0],
        (("http_route", "/b"),): [1.0],
    }


def test_topk_keeps_the_largest(filled: Store) -> None:
    """``topk`` keeps whole series with their labels."""
    query = 'topk(1, sum by (service_name) (count_over_time({service_name=~".+"}[1m])))'

    assert values(filled, query, 30) == {(("service_name", "api"),): [3.0]}


def test_streams_are_listed_once(filled: Store) -> None:
    """A stream is a distinct set of stream labels."""
    query = parse('{service_name=~".+"}')
    assert isinstance(query, LogQuery)

    assert streams(filled, query, NOON_NS, NOON_NS + 60 * SECOND_NS) == [
        {"level": "error", "service_name": "api"},
        {"level": "info", "service_name": "api"},
        {"level": "info", "service_name": "worker"},
        {"level": "warn", "service_name": "worker"},
    ]


@pytest.mark.parametrize(
    ("text", "position"),
    [('{a="b"', 6), ("{a=b}", 3), ('{a="b"} |', 9), ('rate({a="b"})', 12), ("", 0), ('{a="b"} x', 8)],
)  # fmt: skip
def test_an_error_says_where(text: str, position: int) -> None:
    """A text that is not LogQL is refused with the offset of the first wrong character."""
    with pytest.raises(QueryParseError) as caught:
        parse(text)

    assert position == caught.value.position


@pytest.mark.parametrize(
    "text",
    [
        '{a="b"} | line_format "x"',
        '{a="b"} | pattern "<x>"',
        'quantile_over_time(0.9, {a="b"} | unwrap x [1m])',
        'sum(rate({a="b"}[1m])) / 2',
    ],
)
def test_what_is_not_answered_is_refused_by_name(text: str) -> None:
    """Valid LogQL beyond this engine is refused, never answered wrongly."""
    with pytest.raises(QueryRefusedError, match="not supported"):
        parse(text)


def test_a_selector_must_select(filled: Store) -> None:
    """A selector whose matchers all accept the empty value is refused, as Loki does."""
    with pytest.raises(QueryParseError, match="matches everything"):
        found(filled, '{service_name=~".*"}')
