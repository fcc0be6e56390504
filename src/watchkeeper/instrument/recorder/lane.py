"""The lane that a span runs on from its start to the export queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.recorder.protocols import SpanQueue, Tail
from watchkeeper.instrument.recorder.records import RecorderLimits

if TYPE_CHECKING:
    from watchkeeper.instrument.recorder.encode import SpanFields
    from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["EndHook", "Lane", "Nowhere", "as_it_is", "forget"]

EndHook = Callable[["RecordedSpan"], None]


class Lane:
    """What every span of one process needs at hand; a forked child gets a lane of its own.

    Counts go without a lock: CPython does not switch threads within ``lane.ended += 1``.
    """

    __slots__ = (
        "attributes_max",
        "chars_max",
        "crowded",
        "ended",
        "event_attributes_max",
        "events_max",
        "excluded",
        "hooks",
        "link_attributes_max",
        "links_max",
        "now",
        "pack",
        "sampled_out",
        "spans",
        "started",
        "tail",
        "wake_at",
    )

    def __init__(
        self,
        *,
        now: Callable[[], int],
        spans: SpanQueue,
        crowded: Callable[[RecordedSpan], None],
        pack: Callable[[RecordedSpan], RecordedSpan | SpanFields],
        limits: RecorderLimits,
    ) -> None:
        self.now = now
        self.spans = spans
        self.pack = pack
        """Makes of an ended span what waits in the queue."""
        self.crowded = crowded
        """Takes the span when `wake_at` or more wait: starts or wakes the worker, or drops."""
        self.wake_at = 0
        self.hooks: tuple[tuple[str, EndHook], ...] = ()
        self.tail: Tail | None = None
        self.attributes_max = limits.span_attributes_max
        self.event_attributes_max = limits.event_attributes_max
        self.link_attributes_max = limits.link_attributes_max
        self.events_max = limits.span_events_max
        self.links_max = limits.span_links_max
        self.chars_max = limits.attribute_value_chars_max
        self.started = 0
        self.ended = 0
        self.sampled_out = 0
        self.excluded = 0

    def push(self, span: RecordedSpan) -> None:
        """Queue an ended span for export."""
        if len(self.spans) < self.wake_at:
            self.spans.append(self.pack(span))
        else:
            self.crowded(span)

    def begin(self, span: RecordedSpan, tail: Tail) -> None:
        """Tell the tail decision of the start of a local root."""
        try:
            for kept in tail.started(span):
                self.push(kept)
        except Exception as error:  # noqa: BLE001 - the guard's hand-written form
            record_failure("recorder.tail", error)

    def offer(self, span: RecordedSpan, tail: Tail) -> None:
        """Queue what the tail decision lets go."""
        try:
            for kept in tail.ended(span):
                self.push(kept)
        except Exception as error:  # noqa: BLE001 - the guard's hand-written form
            record_failure("recorder.tail", error)


class Nowhere:
    """A queue that keeps nothing."""

    def append(self, item: RecordedSpan | SpanFields, /) -> None:
        """Forget the span."""

    def __len__(self) -> int:
        """Return 0."""
        return 0


def forget(span: RecordedSpan) -> None:
    """Take a span and do nothing."""


def as_it_is(span: RecordedSpan) -> RecordedSpan:
    """Return the span: nothing takes it."""
    return span
