"""W3C trace context, read and written by hand: it runs once per request.

Source: W3C Trace Context, sections 3.2 (traceparent) and 3.3 (tracestate).
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["extract", "inject"]

_HEX = frozenset(b"0123456789abcdef")
_LENGTH = 55
_TRACESTATE_MAX = 4_096


def extract(traceparent: bytes | None, tracestate: bytes | None = None) -> Context | None:
    """Return a context with the remote parent that the headers name, or None.

    A malformed header counts as absent, as the specification asks.
    """
    if traceparent is None:
        return None
    header = traceparent.strip()
    if len(header) < _LENGTH or header[2:3] != b"-" or header[35:36] != b"-":
        return None
    version, trace, span, flags = header[:2], header[3:35], header[36:52], header[53:55]
    if header[52:53] != b"-" or version == b"ff":
        return None
    # A later version may append fields, version 00 may not.
    if len(header) > _LENGTH and (version == b"00" or header[55:56] != b"-"):
        return None
    if not _HEX.issuperset(version + trace + span + flags):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not (trace_id and span_id):
        return None
    state = None
    if tracestate and len(tracestate) <= _TRACESTATE_MAX:
        state = TraceState.from_header([tracestate.decode("latin-1")])
    parent = SpanContext(
        trace_id,
        span_id,
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16) & 0x03),
        trace_state=state,
    )
    return set_span_in_context(NonRecordingSpan(parent))


def inject(span: RecordedSpan) -> str:
    """Return the ``traceparent`` header that makes *span* the parent on the other side."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.flags & 0x03:02x}"
