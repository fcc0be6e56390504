"""A trace is whole when one span has no parent and every other span's parent is there."""

from __future__ import annotations

from typing import Any

import pytest

from watchkeeper.verify.completeness import judge


def spans(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    """Return spans from pairs of id and parent id."""
    return [{"spanId": own, "parentSpanId": parent} for own, parent in pairs]


def test_a_whole_trace_is_not_broken() -> None:
    """One root and children whose parents are stored make a whole trace."""
    found = judge([("t", spans(("a", ""), ("b", "a"), ("c", "b")))])

    assert (1, 3, {}) == (found.traces, found.spans, found.broken)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (spans(("a", ""), ("b", "")), "2 roots"),
        (spans(("a", "x"), ("b", "a")), "0 roots"),
        (spans(("a", ""), ("b", "gone")), "parent not stored"),
        (spans(("a", ""), ("b", "a"), ("b", "a")), "stored twice"),
    ],
)
def test_a_trace_that_is_not_whole_is_named(given: list[dict[str, Any]], expected: str) -> None:
    """Each way of being incomplete is said."""
    assert expected in judge([("t", given)]).broken["t"]
