"""What a span meets on its way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from watchkeeper.instrument.recorder.encode import SpanFields
    from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["SpanQueue", "Tail"]


class SpanQueue(Protocol):
    """Where ended spans wait: a deque, or a stand-in that keeps nothing."""

    def append(self, item: RecordedSpan | SpanFields, /) -> None:
        """Take an ended span, or what of it is to be encoded."""
        ...

    def __len__(self) -> int:
        """Return how many wait."""
        ...


class Tail(Protocol):
    """Decides about what the head left out, when it is known what went wrong and what was slow.

    Spans whose flag says sampled, and excluded ones, never come here.
    """

    @property
    def kept(self) -> Mapping[str, int]:
        """Traces kept in this process, by reason."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans dropped in this process, by reason."""
        ...

    @property
    def names_refused(self) -> int:
        """Names that were not remembered as seen, since there are too many."""
        ...

    def started(self, span: RecordedSpan) -> Iterable[RecordedSpan]:
        """Learn that a root span, or one with a remote parent, has started.

        Returns:
            Spans to export now, maybe none.
        """
        ...

    def ended(self, span: RecordedSpan) -> Iterable[RecordedSpan]:
        """Take an ended span; return the spans to export now, maybe none."""
        ...

    def link(self, trace_id: int) -> bool:
        """Return whether the trace will be exported, so that an exemplar may point to it."""
        ...

    def drain(self) -> Iterable[RecordedSpan]:
        """Decide about everything that is held, and return the spans to export."""
        ...

    def after_fork(self) -> None:
        """Forget the spans that are held: they are the parent's; runs in a forked child."""
        ...
