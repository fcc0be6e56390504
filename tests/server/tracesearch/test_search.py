"""Traces are found by what their spans carry."""

from __future__ import annotations

import pytest
from tests.server.sample_rows import NOON_NS, SECOND_NS, span

from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store
from watchkeeper.server.tracesearch.otlp import traces_data
from watchkeeper.server.tracesearch.parser import parse
from watchkeeper.server.tracesearch.search import (
    Window,
    search,
    tag_names,
    tag_values,
    trace_by_id,
)

SPANS = [
    span(1, 11, name="GET /a", http__route="/a", http__response__status_code=200, duration_s=1.0),
    span(1, 12, parent=11, service="db", name="SELECT", kind=3, start_s=0.2, db__rows=7),
    span(2, 21, name="GET /b", start_s=10, http__response__status_code=500, status=2, ok=False),
    span(
        2, 22, parent=21, name="chat", start_s=10.01, kind=3,
        events=[{"t": 1, "name": "exception", "attributes": {"exception.type": "Boom"}, "dropped": 0}],
    ),
    span(3, 31, service="worker", name="job", kind=5, start_s=20, duration_s=3, resource={"host.name": "h1"}),
]  # fmt: skip


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store that holds the spans above."""
    store.ingest(Batch(spans=SPANS)).result(10)
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{}", [3, 2, 1]),
        ('{ name = "SELECT" }', [1]),
        ("{ status = error }", [2]),
        ("{ kind = consumer }", [3]),
        ("{ duration >= 1s }", [3, 1]),
        ("{ span.http.response.status_code >= 500 }", [2]),
        ('{ span.http.route = "/a" }', [1]),
        ('{ resource.host.name =~ "h." }', [3]),
        ('{ .host.name = "h1" }', [3]),
        ("{ .ok = false }", [2]),
        ("{ .ok != nil }", [2]),
        ("{ span.db.rows > 6.5 }", [1]),
        ('{ event.exception.type = "Boom" }', [2]),
        ('{ event.name = "exception" }', [2]),
        ('{ rootName = "GET /a" && name = "SELECT" }', [1]),
        ('{ rootServiceName = "worker" }', [3]),
        ("{ traceDuration > 2s }", [3]),
        ('{ name = "GET /a" } && { name = "SELECT" }', [1]),
        ('{ name = "GET /a" && name = "SELECT" }', []),
        ('{ name = "SELECT" } || { kind = consumer }', [3, 1]),
        ('{ trace:id = "00000000000000000000000000000002" }', [2]),
        ('{ name = "x\' OR 1=1 --" }', []),
    ],
)
def test_conditions_select_traces(filled: Store, query: str, expected: list[int]) -> None:
    """Each kind of condition finds the traces it should, latest first."""
    found = search(filled, parse(query), Window())

    assert expected == [int(trace.trace_id, 16) for trace in found]


def test_a_summary_covers_the_whole_trace(filled: Store) -> None:
    """Root, duration and services come from all spans, not only from those that matched."""
    (found,) = search(filled, parse('{ name = "SELECT" }'), Window())

    assert (found.root_service, found.root_name, found.matched) == ("api", "GET /a", 1)
    assert found.end_ns - found.start_ns == SECOND_NS
    assert {name: stats.spans for name, stats in found.services.items()} == {"api": 1, "db": 1}


def test_the_window_bounds_what_can_match(filled: Store) -> None:
    """Only spans that started in the window match."""
    window = Window(NOON_NS + 5 * SECOND_NS, NOON_NS + 15 * SECOND_NS)

    assert [int(trace.trace_id, 16) for trace in search(filled, parse("{}"), window)] == [2]


def test_the_limit_keeps_the_latest(filled: Store) -> None:
    """At most the asked number of traces is returned."""
    found = search(filled, parse("{}"), Window(), limit_traces=2)

    assert [int(trace.trace_id, 16) for trace in found] == [3, 2]


def test_a_trace_comes_back_as_it_was_sent(filled: Store) -> None:
    """Ids, times, attributes with their types and events survive the store."""
    rows, left_out = trace_by_id(filled, (2).to_bytes(16, "big"))
    spans = traces_data(rows).resource_spans[0].scope_spans[0].spans

    assert left_out == 0
    assert [row for row in SPANS if row.trace_id == (2).to_bytes(16, "big")] == rows
    values = {pair.key: pair.value.WhichOneof("value") for pair in spans[0].attributes}
    assert values == {"http.response.status_code": "int_value", "ok": "bool_value"}
    assert spans[1].events[0].name == "exception"


def test_a_span_that_arrived_twice_is_one(store: Store) -> None:
    """Spans with the same ids are folded, in traces and in counts."""
    store.ingest(Batch(spans=[SPANS[0], SPANS[0]])).result(10)
    (found,) = search(store, parse("{}"), Window())

    assert len(trace_by_id(store, SPANS[0].trace_id)[0]) == 1
    assert (found.matched, found.services["api"].spans) == (1, 1)


def test_tags_and_their_values_are_listed(filled: Store) -> None:
    """Attribute names are listed by scope, and values by frequency."""
    names = tag_names(filled, Window())

    assert {"db.rows", "http.response.status_code", "http.route", "ok"} == set(names["span"])
    assert {"host.name", "service.name"} == set(names["resource"])
    assert tag_values(filled, "resource", "service.name", Window()) == [
        ("string", "api"),
        ("string", "db"),
        ("string", "worker"),
    ]
    assert ("string", "GET /a") in tag_values(filled, "intrinsic", "rootName", Window())
