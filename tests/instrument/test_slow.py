"""Slow statements."""

from opentelemetry.trace import SpanKind
from tests.instrument.rig import Rig

from watchkeeper.instrument.slow import SlowQueries


def slow_rig(events_max: int = 2) -> tuple[Rig, list[int]]:
    """Return a rig that finds statements of a second slow, and what was refused."""
    rig = Rig()
    refused: list[int] = []
    rig.derived.watch_slow_queries(
        1.0, SlowQueries(rig.event, rig.clock, events_max, lambda: refused.append(1))
    )
    return rig, refused


def statement(rig: Rig, seconds: float, operation: str = "SELECT") -> None:
    """Record one statement."""
    span = rig.recorder.start(
        f"{operation} t",
        SpanKind.CLIENT,
        {"db.system.name": "x", "db.operation.name": operation, "db.query.text": "SELECT ?"},
    )
    rig.clock.advance(seconds)
    span.end()


def test_a_slow_statement_is_marked_and_told() -> None:
    """From the threshold on the span is marked and an event has the sanitised text and the time."""
    rig, _ = slow_rig()
    statement(rig, 0.999)
    statement(rig, 1.0)
    assert [None, True] == [span.attributes.get("query.slow") for span in rig.spans]
    assert [
        (
            "db.slow_query",
            "warning",
            {"db.system.name": "x", "db.query.text": "SELECT ?", "query.duration_s": 1.0},
        )
    ] == rig.events


def test_the_log_is_not_flooded() -> None:
    """Beyond the limit of a minute statements are marked, the events are refused and counted."""
    rig, refused = slow_rig()
    for _ in range(4):
        statement(rig, 1.0)
    assert (2, 2) == (len(rig.events), len(refused))
    assert all(span.attributes["query.slow"] for span in rig.spans)
    rig.clock.advance(60)
    statement(rig, 1.0)
    assert 3 == len(rig.events)


def test_waiting_on_purpose_is_not_slow() -> None:
    """Commands that block until something arrives are never slow."""
    rig, _ = slow_rig()
    statement(rig, 30.0, "BLPOP")
    assert [] == rig.events
