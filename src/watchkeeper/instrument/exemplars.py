"""The exemplar that a span gives to the histograms it is observed in."""

from __future__ import annotations

from watchkeeper.instrument.metrics import Link
from watchkeeper.instrument.recorder.span import EXCLUDED, SAMPLED, RecordedSpan

__all__ = ["exemplar", "left_out"]


def exemplar(span: RecordedSpan) -> Link | None:
    """Return what a histogram may keep of *span*, so that it never points to a trace left out."""
    if span.flags & SAMPLED:
        return (span.trace_id, span.span_id)
    return left_out(span)


def left_out(span: RecordedSpan) -> Link | None:
    """Return the same for a span that the ratio left out: with what asks for its trace."""
    # The spans of a foreign provider have no lane of ours.
    lane = getattr(span, "lane", None)
    if lane is None or lane.tail is None or span.flags & EXCLUDED:
        return None
    return (span.trace_id, span.span_id, lane.tail.link)
