"""Trace context and baggage, read from what comes in and written on what goes out.

W3C trace context and baggage are read and written by hand: it happens once per request. Other
formats (b3, jaeger) go through their OpenTelemetry propagators, if `use` was told to.

Integrations call two functions. `extract` makes the context that a unit of work starts in, and
`inject` writes the headers of a call::

    parent = propagation.extract(headers.get)
    propagation.inject(span, headers.__setitem__)

Source: W3C Trace Context, sections 3.2 (traceparent) and 3.3 (tracestate).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument import redaction
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.integrations import baggage
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.vocabulary.limits import LIMITS

__all__ = ["W3C", "extract", "extract_w3c", "foreign", "inject", "traceparent", "use", "wanted"]

W3C = ("tracecontext", "baggage")
"""The propagators in use unless the settings say otherwise."""

_HOOK = "propagation"
_HEX = frozenset("0123456789abcdef")
_LENGTH = 55
_TRACESTATE_MAX = 4_096
_GROUP = "opentelemetry_propagator"

Header = str | bytes | None
Get = Callable[[str], Any]
Put = Callable[[str, str], object]


class _Chosen:
    """The propagators in use, in this process."""

    __slots__ = ("baggage", "foreign", "trace")

    def __init__(self) -> None:
        self.trace = True
        self.baggage = True
        self.foreign: tuple[Any, ...] = ()


_CHOSEN = _Chosen()


def use(names: Sequence[str] = W3C) -> None:
    """Choose the propagators of this process.

    Args:
        names: ``tracecontext``, ``baggage``, or names under which installed packages register
            propagators; none of them reads and writes nothing.
    """
    _CHOSEN.trace = "tracecontext" in names
    _CHOSEN.baggage = "baggage" in names
    found = []
    for name in names:
        if name in W3C:
            continue
        try:
            found += [entry.load()() for entry in entry_points(group=_GROUP, name=name)]
        except Exception as error:  # noqa: BLE001 - foreign code, and never into the application
            record_failure(_HOOK, error)
    _CHOSEN.foreign = tuple(found)


def foreign() -> bool:
    """Return whether headers other than ``traceparent``, ``tracestate``, ``baggage`` are read."""
    return bool(_CHOSEN.foreign)


def extract(get: Get) -> Context | None:
    """Return the context that the headers describe, or None if they say nothing.

    It is the current context with the remote parent span and the baggage put in. A malformed
    header counts as absent, as the specifications ask.

    Args:
        get: Returns the value of a header by its name in lower case, or None.
    """
    if _CHOSEN.foreign:
        return _extract_foreign(get)
    return extract_w3c(get("traceparent"), get("tracestate"), get("baggage"))


def extract_w3c(
    traceparent: Header, tracestate: Header = None, baggage_header: Header = None
) -> Context | None:
    """Do what `extract` does, for the values of the W3C headers; several joined by commas."""
    found: Context | None = None
    if traceparent and _CHOSEN.trace:
        parent = _parent(_text(traceparent), tracestate)
        if parent is not None:
            found = set_span_in_context(NonRecordingSpan(parent))
    if baggage_header and _CHOSEN.baggage:
        entries = baggage.parse(_text(baggage_header), refuse)
        if entries:
            found = baggage.with_entries(entries, found)
    return found


def inject(span: RecordedSpan, put: Put, context: Context | None = None) -> None:
    """Write the headers that make *span* the parent on the other side, and hand on the baggage.

    Args:
        span: The span of the call.
        put: Sets a header, by its name in lower case.
        context: Where the baggage is; default the current context.
    """
    if _CHOSEN.trace:
        put("traceparent", traceparent(span))
        if span.trace_state:
            put("tracestate", span.trace_state.to_header())
    if _CHOSEN.baggage:
        header = baggage.render(context, refuse)
        if header:
            put("baggage", header)
    if _CHOSEN.foreign:
        within = set_span_in_context(span, context)
        for propagator in _CHOSEN.foreign:
            propagator.inject(put, within, _SETTER)


def traceparent(span: RecordedSpan) -> str:
    """Return the ``traceparent`` header that names *span*."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.flags & 0x03:02x}"


def wanted(context: Context, keys: Sequence[str], chars_max: int) -> dict[str, str]:
    """Return the baggage of *context* under *keys*; longer values are cut and counted.

    Args:
        context: Where the baggage is, as `extract` returned it.
        keys: The entries that are wanted; those that are not there are left out.
        chars_max: Length of a value, in characters.
    """
    entries = baggage.entries_of(context)
    found = {}
    for key in keys:
        value = entries.get(key)
        if value is None:
            continue
        text = str(value)
        if len(text) > chars_max:
            text = redaction.cut(text, chars_max)
            refuse(LIMITS["baggage_value_chars_max"].reason)
        found[key] = text
    return found


def refuse(reason: str) -> None:
    """Count something that was refused, by the limit's or the header's reason."""
    host = hosts.current()
    if host is not None:
        host.metrics.counter("watchkeeper.context.refused").child((reason,)).inc()


def _text(header: str | bytes) -> str:
    return header if isinstance(header, str) else header.decode("latin-1")


def _parent(traceparent: str, tracestate: Header) -> SpanContext | None:
    header = traceparent.strip()
    if not _is_well_formed(header):
        refuse("traceparent")
        return None
    trace_id, span_id = int(header[3:35], 16), int(header[36:52], 16)
    if not (trace_id and span_id):
        refuse("traceparent")
        return None
    state = None
    if tracestate:
        if len(tracestate) <= _TRACESTATE_MAX:
            state = TraceState.from_header([_text(tracestate)])
        else:
            refuse("tracestate")
    return SpanContext(
        trace_id,
        span_id,
        is_remote=True,
        trace_flags=TraceFlags(int(header[53:55], 16) & 0x03),
        trace_state=state,
    )


def _is_well_formed(header: str) -> bool:
    if len(header) < _LENGTH or header[2] != "-" or header[35] != "-" or header[52] != "-":
        return False
    version = header[:2]
    # A later version may append fields, version 00 may not.
    if len(header) > _LENGTH and (version == "00" or header[55] != "-"):
        return False
    digits = version + header[3:35] + header[36:52] + header[53:55]
    return version != "ff" and _HEX.issuperset(digits)


def _extract_foreign(get: Get) -> Context | None:
    found = extract_w3c(get("traceparent"), get("tracestate"), get("baggage"))
    for propagator in _CHOSEN.foreign:
        base = get_current() if found is None else found
        try:
            made = propagator.extract(get, base, _GETTER)
        except Exception as error:  # noqa: BLE001 - foreign code, and never into the application
            record_failure(_HOOK, error)
        else:
            # What finds nothing gives back what it was given.
            found = found if made is base else made
    return found


class _Getter:
    """Reads a header in the way that OpenTelemetry's propagators ask."""

    @staticmethod
    def get(carrier: Get, key: str) -> list[str] | None:
        value = carrier(key.lower())
        return None if value is None else [_text(value)]

    @staticmethod
    def keys(carrier: Get) -> list[str]:  # noqa: ARG004 - the API's signature
        return []


class _Setter:
    """Writes a header in the way that OpenTelemetry's propagators ask."""

    @staticmethod
    def set(carrier: Put, key: str, value: str) -> None:
        carrier(key, value)


_GETTER = _Getter()
_SETTER = _Setter()
