"""Whether traces arrived whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Completeness", "judge"]


@dataclass(slots=True)
class Completeness:
    """What a look at many traces found."""

    traces: int = 0
    spans: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    """Trace id to what is wrong with it."""


def judge(traces: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> Completeness:
    """Count traces and spans, and name each trace that is not whole.

    A trace is whole if exactly one of its spans has no parent and the parent of every other
    span is among its spans.

    Args:
        traces: Pairs of trace id and spans, each span as OTLP JSON with ``spanId`` and,
            unless it is a root, ``parentSpanId``.
    """
    result = Completeness()
    for trace_id, spans in traces:
        result.traces += 1
        result.spans += len(spans)
        ids = {span["spanId"] for span in spans}
        roots = sum(1 for span in spans if not span.get("parentSpanId"))
        missing = sum(1 for s in spans if s.get("parentSpanId") and s["parentSpanId"] not in ids)
        if roots != 1:
            result.broken[trace_id] = f"{roots} roots among {len(spans)} spans"
        elif missing:
            result.broken[trace_id] = f"{missing} of {len(spans)} spans have a parent not stored"
        elif len(ids) != len(spans):
            result.broken[trace_id] = f"{len(spans) - len(ids)} spans stored twice"
    return result
