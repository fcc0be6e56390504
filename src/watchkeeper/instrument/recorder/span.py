"""The span."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

from watchkeeper.instrument import tracebacks
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.recorder.clean import (
    UNPRINTABLE,
    clean_attributes,
    clean_value,
    plain_key,
    safe_text,
)
from watchkeeper.instrument.recorder.lane import Lane
from watchkeeper.instrument.recorder.readable import SdkNames

__all__ = [
    "RECORDED",
    "RecordedSpan",
    "Scope",
    "SpanEvent",
    "SpanLink",
    "Template",
]

SAMPLED = 0x01
EXCLUDED = 0x100
"""A flag of ours beside those of the trace context: the trace is left out, whatever happens."""

_FLAGS = tuple(TraceFlags(bits) for bits in range(4))
_OPEN = -1


class Scope(NamedTuple):
    """The instrumentation scope: which library made a span."""

    name: str
    version: str = ""
    schema_url: str = ""
    attributes: tuple[tuple[str, AttributeValue], ...] = ()


class SpanEvent(NamedTuple):
    """Something that happened at one moment of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, AttributeValue]
    dropped_attributes: int = 0


class SpanLink(NamedTuple):
    """A reference to another span."""

    context: SpanContext
    attributes: Mapping[str, AttributeValue]
    dropped_attributes: int = 0


OWN_SCOPE = Scope("watchkeeper")
"""The scope of every span that our own integrations and functions make."""


class Template:
    """Attributes that many spans share, encoded once for all of them.

    Whoever starts a span with one gives it a copy of `attributes`, adds others behind them, and
    changes none of them.
    """

    __slots__ = ("attributes", "encoded", "owner", "series")

    def __init__(self, attributes: dict[str, AttributeValue]) -> None:
        self.attributes = attributes
        self.owner: object = None
        self.series: Any = None
        """What its owner, who derives metrics from the spans, keeps at hand for them."""
        self.encoded = b""
        """The attributes as the encoder writes them, once it has."""


class RecordedSpan(SdkNames, Span):
    """A span that records: readable by our hooks, writable through the OpenTelemetry API.

    Make spans with `Recorder.start` or a tracer. Code of ours may write to ``attributes`` until
    the span ends; values put there directly are not cleaned, and must be of the API's types.
    After the end nothing changes any more, and calls that would change something do nothing.

    Attributes:
        name: Name of the span.
        kind: Kind of the span.
        trace_id: 128 bits.
        span_id: 64 bits.
        flags: Trace flags: 1 sampled, 2 random trace id; beside them our own `EXCLUDED`.
        trace_state: W3C trace state, the parent's, or None.
        parent_id: Span id of the parent, 0 for a root span.
        parent_remote: Whether the parent is in another process.
        start_ns: Start, nanoseconds since the epoch.
        end_ns: End, nanoseconds since the epoch; -1 until the span ends.
        attributes: Attributes by name.
        events: Events, oldest first.
        links: Links.
        status_code: UNSET, OK or ERROR.
        status_description: Text of an ERROR status, or None.
        template: What `attributes` begins with, or None if that is not known or was changed.
        scope: Instrumentation scope.
        lane: Where the span goes when it ends.
        dropped_attributes: Attributes beyond the limit.
        dropped_events: Events beyond the limit.
        dropped_links: Links beyond the limit.
        unusual: Whether it may have a status, events, links, a trace state, or dropped anything.
    """

    __slots__ = (
        "_parent_flags",
        "_record_exception",
        "_set_status_on_exception",
        "attributes",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "end_ns",
        "events",
        "flags",
        "kind",
        "lane",
        "links",
        "name",
        "parent_id",
        "parent_remote",
        "scope",
        "span_id",
        "start_ns",
        "status_code",
        "status_description",
        "template",
        "trace_id",
        "trace_state",
        "unusual",
    )

    events: Sequence[SpanEvent]
    links: Sequence[SpanLink]

    def __init__(  # noqa: PLR0913, PLR0917 - internal; keywords would cost time
        self,
        lane: Lane,
        name: str,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        scope: Scope,
        trace_id: int,
        span_id: int,
        flags: int,
        start_ns: int,
        parent_id: int,
        parent_flags: int,
        parent_remote: bool,  # noqa: FBT001 - as above
        trace_state: TraceState | None,
        template: Template | None = None,
    ) -> None:
        self.lane = lane
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.scope = scope
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.start_ns = start_ns
        self.end_ns = _OPEN
        self.parent_id = parent_id
        self._parent_flags = parent_flags
        self.parent_remote = parent_remote
        self.trace_state = trace_state
        self.template = template
        self.events = ()
        self.links = ()
        self.status_code = StatusCode.UNSET
        self.status_description: str | None = None
        self.dropped_attributes = self.dropped_events = self.dropped_links = 0
        self._record_exception = self._set_status_on_exception = True
        self.unusual = trace_state is not None

    def __repr__(self) -> str:
        """Show name and ids."""
        return f"RecordedSpan({self.name!r}, {self.trace_id:032x}, {self.span_id:016x})"

    # reading

    @property
    def context(self) -> SpanContext:
        """The span's context, made anew at each reading; `trace_id` and `span_id` are cheaper."""
        return self.get_span_context()

    def get_span_context(self) -> SpanContext:
        """Return the span's context."""
        return SpanContext(
            self.trace_id,
            self.span_id,
            is_remote=False,
            trace_flags=_FLAGS[self.flags & 3],
            trace_state=self.trace_state,
        )

    @property
    def parent(self) -> SpanContext | None:
        """The parent's context, or None for a root span."""
        if not self.parent_id:
            return None
        return SpanContext(
            self.trace_id,
            self.parent_id,
            self.parent_remote,
            TraceFlags(self._parent_flags & 0xFF),
            self.trace_state,
        )

    @property
    def scope_name(self) -> str:
        """Name of the library that made the span."""
        return self.scope.name

    @property
    def sampled(self) -> bool:
        """Whether the span was chosen when it started; hooks see it either way."""
        return self.flags & SAMPLED != 0

    def is_recording(self) -> bool:
        """Return True until the span ends, sampled or not: metrics derive from its attributes."""
        return self.end_ns == _OPEN

    # writing

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute; see `watchkeeper.instrument.recorder.clean` for what is kept."""
        if self.end_ns != _OPEN:
            return
        kind = type(value)
        attributes = self.attributes
        if type(key) is not str:
            key = plain_key(key)
        if key in attributes:
            self.template = None
        if not key or (key not in attributes and len(attributes) >= self.lane.attributes_max):
            self.leave_out(1)
        elif kind is int or kind is float or kind is bool:
            attributes[key] = value
        else:
            attributes[key] = clean_value(value, self.lane.chars_max)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set several attributes."""
        if self.end_ns != _OPEN or not attributes:
            return
        self.template = None
        lane = self.lane
        cleaned, dropped = clean_attributes(attributes, lane.attributes_max, lane.chars_max)
        for key, value in cleaned.items():
            if key in self.attributes or self._has_room():
                self.attributes[key] = value
            else:
                dropped += 1
        if dropped:
            self.leave_out(dropped)

    def leave_out(self, dropped: int) -> None:
        """Count attributes that were left out."""
        self.unusual = True
        self.dropped_attributes += dropped

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Add an event at *timestamp* (nanoseconds since the epoch; default now)."""
        if self.end_ns != _OPEN:
            return
        lane = self.lane
        self.unusual = True
        if not isinstance(self.events, list):
            self.events = []
        if len(self.events) >= lane.events_max:
            self.dropped_events += 1
            return
        cleaned, dropped = _cleaned(attributes, lane.event_attributes_max, lane.chars_max)
        time_ns = lane.now() if timestamp is None else timestamp
        self.events.append(SpanEvent(name, time_ns, cleaned, dropped))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link to another span; a link without a valid context needs attributes or a state."""
        if self.end_ns != _OPEN or not context:
            return
        if not (context.is_valid or attributes or context.trace_state):
            return
        lane = self.lane
        self.unusual = True
        if not isinstance(self.links, list):
            self.links = []
        if len(self.links) >= lane.links_max:
            self.dropped_links += 1
            return
        cleaned, dropped = _cleaned(attributes, lane.link_attributes_max, lane.chars_max)
        self.links.append(SpanLink(context, cleaned, dropped))

    def update_name(self, name: str) -> None:
        """Replace the name."""
        if self.end_ns == _OPEN:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status: OK is final, UNSET is ignored, a description needs ERROR."""
        if self.end_ns != _OPEN or self.status_code is StatusCode.OK:
            return
        if isinstance(status, Status):
            code, text = status.status_code, status.description
        else:
            code, text = status, description
        self.unusual = True
        if code is StatusCode.OK:
            self.status_code, self.status_description = code, None
        elif code is StatusCode.ERROR:
            self.status_code = code
            kept = isinstance(text, str) and text
            self.status_description = safe_text(text)[: self.lane.chars_max] if kept else None

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - the API's signature
    ) -> None:
        """Add an ``exception`` event with type, message and traceback."""
        if self.end_ns != _OPEN:
            return
        kind = type(exception)
        module = kind.__module__
        values: dict[str, AttributeValue] = {
            "exception.type": (
                f"{module}.{kind.__qualname__}"
                if module and module != "builtins"
                else kind.__qualname__
            ),
            "exception.message": _message(exception, self.lane.chars_max),
            "exception.stacktrace": _traceback(exception, self.lane.chars_max),
            "exception.escaped": str(escaped),
        }
        if attributes:
            values.update(clean_attributes(attributes, 1 << 30, self.lane.chars_max)[0])
        self.add_event("exception", values, timestamp)

    def fail(self, error: BaseException, *, record: bool = True, set_status: bool = True) -> None:
        """Record *error* as the span's failure, as leaving a ``with`` block by it does."""
        if record:
            self.record_exception(error)
        if set_status:
            text = f"{type(error).__name__}: {_message(error, self.lane.chars_max)}"
            self.set_status(StatusCode.ERROR, text)

    def end(self, end_time: int | None = None) -> None:
        """End the span at *end_time* (nanoseconds since the epoch; default now), once."""
        lane = self.lane
        if end_time is None:
            end_time = lane.now()
            # The host's clock may have been set back; an own reading never makes a span negative.
            end_time = max(end_time, self.start_ns)
        # CPython does not switch threads between these two statements: one caller wins.
        if self.end_ns != _OPEN:
            return
        self.end_ns = end_time
        lane.ended += 1
        for name, hook in lane.hooks:
            try:
                hook(self)
            except Exception as error:  # noqa: BLE001 - the guard's hand-written form
                record_failure(name, error)
        if self.flags & SAMPLED:
            queue = lane.spans
            if len(queue) < lane.wake_at:
                queue.append(lane.pack(self))
            else:
                lane.crowded(self)
        elif self.flags & EXCLUDED:
            lane.excluded += 1
        elif lane.tail is not None:
            lane.offer(self, lane.tail)
        else:
            lane.sampled_out += 1

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Record what was raised, and end the span."""
        if exc_val is not None and self.end_ns == _OPEN:
            if self._record_exception:
                self.record_exception(exc_val, escaped=True)
            self.fail(exc_val, record=False, set_status=self._set_status_on_exception)
        self.end()

    def exceptions(self, *, record: bool, set_status: bool) -> None:
        """Say what leaving a ``with`` block by an exception does to this span."""
        self._record_exception = record
        self._set_status_on_exception = set_status

    def _has_room(self) -> bool:
        return len(self.attributes) < self.lane.attributes_max


def _cleaned(
    attributes: Attributes, count_max: int, chars_max: int
) -> tuple[Mapping[str, AttributeValue], int]:
    if not attributes:
        return {}, 0
    return clean_attributes(attributes, count_max, chars_max)


def _message(error: BaseException, chars: int) -> str:
    try:
        if tracebacks.is_heavy(error, chars):
            # One more than is kept, so that the cut is seen and counted.
            return tracebacks.message(error, chars + 1)
    except Exception:  # noqa: BLE001 - the arguments may be foreign objects
        return UNPRINTABLE
    return safe_text(error)


def _traceback(error: BaseException, chars: int) -> str:
    try:
        if tracebacks.is_heavy_chain(error, chars):
            return tracebacks.formatted(error, chars)
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - formatting runs foreign code
        return "".join(traceback.format_tb(error.__traceback__))


RECORDED: set[type] = {RecordedSpan}
"""The class and those derived from it, for a look-up that is quicker than ``isinstance``."""
