"""Whether an integration is told: the decision table, row by row."""

from __future__ import annotations

import pytest

from watchkeeper.server.alerts.dispatch.decide import LogEntry, reason

NOW_MS, REPEAT_MS = 1_000_000, 60_000
A, B, NONE = frozenset({"a"}), frozenset({"b"}), frozenset[str]()


def entry(firing: frozenset[str], resolved: frozenset[str] = NONE, age_ms: int = 1) -> LogEntry:
    """Return an entry of *age_ms* ago."""
    return LogEntry(firing, resolved, NOW_MS - age_ms, NOW_MS + REPEAT_MS)


@pytest.mark.parametrize(
    ("known", "firing", "resolved", "send_resolved", "expected"),
    [
        (None, A, NONE, True, "first"),
        (None, NONE, A, True, ""),
        (entry(A), A | B, NONE, True, "more firing"),
        (entry(NONE, A), A, NONE, True, "more firing"),
        (entry(A), NONE, A, True, "all resolved"),
        (entry(A), NONE, A, False, "all resolved"),
        (entry(NONE, A), NONE, A | B, True, ""),
        (entry(A | B), A, B, True, "some resolved"),
        (entry(A | B), A, B, False, ""),
        (entry(A, B), A, B, True, ""),
        (entry(A, age_ms=REPEAT_MS), A, NONE, True, ""),
        (entry(A, age_ms=REPEAT_MS + 1), A, NONE, True, "repeated"),
        (entry(A | B, age_ms=REPEAT_MS + 1), A, B, False, "repeated"),
    ],
)
def test_the_decision_table(
    known: LogEntry | None,
    firing: frozenset[str],
    resolved: frozenset[str],
    send_resolved: bool,  # noqa: FBT001 - a column of the table
    expected: str,
) -> None:
    """Told first, of more, of all ended, of some ended if wanted, and else when repeat is over."""
    found = reason(
        known, firing, resolved, send_resolved=send_resolved, repeat_ms=REPEAT_MS, now_ms=NOW_MS
    )

    assert expected == found


def test_an_entry_outlives_its_repeat_interval() -> None:
    """It is kept for two repeat intervals, and for two hours at least."""
    hour_ms = 3_600_000

    assert 2 * hour_ms == LogEntry.expiry_ms(0, 1)
    assert 8 * hour_ms == LogEntry.expiry_ms(0, 4 * hour_ms)
