"""Slow statements: marked on their span, and told in the log at a bounded rate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from watchkeeper.clock import Clock
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["SlowQueries"]

_MINUTE_NS = 60_000_000_000
_WAITING = frozenset(
    ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP",
     "XREAD", "XREADGROUP", "WAIT", "WAITAOF", "LISTEN")
)  # fmt: skip
"""Operations that wait on purpose: their time says nothing about the database."""
_SAID = (
    "db.system.name",
    "db.namespace",
    "db.query.summary",
    "db.query.text",
    "error.type",
)


class SlowQueries:
    """Reports slow statements; safe to call from any thread.

    Args:
        event: Writes a log event: name, level, attributes.
        clock: Where time comes from.
        events_max: Events a minute; further statements are marked on their span only.
        refused: Called for each event that was not written.
    """

    def __init__(
        self,
        event: Callable[[str, str, Mapping[str, object]], None],
        clock: Clock,
        events_max: int,
        refused: Callable[[], None],
    ) -> None:
        self._event = event
        self._now = clock.monotonic_ns
        self._events_max = events_max
        self._refused = refused
        self._minute = -1
        self._said = 0
        self._lock = threading.Lock()

    def __call__(self, span: RecordedSpan, seconds: float) -> None:
        """Report *span*, whose statement took *seconds*."""
        attributes = span.attributes
        if attributes.get("db.operation.name") in _WAITING:
            return
        # The span has ended, so `set_attribute` would refuse; it is not encoded yet.
        attributes["query.slow"] = True
        if not self._may_speak():
            self._refused()
            return
        said: dict[str, object] = {name: attributes.get(name) for name in _SAID}
        said["query.duration_s"] = round(seconds, 6)
        self._event("db.slow_query", "warning", said)

    def _may_speak(self) -> bool:
        minute = self._now() // _MINUTE_NS
        with self._lock:
            if minute != self._minute:
                self._minute, self._said = minute, 0
            self._said += 1
            return self._said <= self._events_max
