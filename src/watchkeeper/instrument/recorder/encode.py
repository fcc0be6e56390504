"""Spans and log records as OTLP export requests, in bytes.

Field numbers: opentelemetry-proto 1.x, trace/v1/trace.proto and logs/v1/logs.proto.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar, cast

from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceState
from opentelemetry.util.types import AnyValue

from watchkeeper.instrument.guard import log_once
from watchkeeper.instrument.recorder.records import Batch, LogFields, Signal
from watchkeeper.instrument.recorder.span import (
    OWN_SCOPE,
    RecordedSpan,
    Scope,
    SpanEvent,
    SpanLink,
    Template,
)
from watchkeeper.instrument.recorder.wire import KeyValues, any_value, field, text, varint
from watchkeeper.instrument.redaction import Off, Redactor
from watchkeeper.vocabulary.limits import limit

__all__ = ["BatchEncoder", "ItemEncoder", "LogEncoder", "SpanFields", "TraceEncoder"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_MASK64 = 0xFFFF_FFFF_FFFF_FFFF
_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200
_REMOTE_PARENT = _HAS_IS_REMOTE | _IS_REMOTE
_HEADS_MAX = 2_048
_BODY_CHARS_MAX = 128
"""Length of a body that is remembered."""
_CHARS_MAX = limit("attribute_value_chars_max")
_LENGTHS = 12
"""Bytes of two tags and their lengths around a message, at most."""

_ids = struct.Struct(">2sQQ2sQ").pack
_times = struct.Struct("<BQBQ").pack
_fixed64 = struct.Struct("<Q").pack
_fixed32 = struct.Struct("<I").pack
_parent = struct.Struct(">2sQ").pack

_FLAGS = tuple(b"\x45" + _fixed32(flags) for flags in range(4))
_KINDS = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.CLIENT: b"\x30\x03",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
_STATUS_UNSET = b"\x7a\x00"
_STATUS_OK = b"\x7a\x02\x18\x01"
_STATUS_ERROR = b"\x18\x02"
_SCOPE_ATTRIBUTES = KeyValues(b"\x1a")
_RESOURCE_ATTRIBUTES = KeyValues(b"\x0a")


SpanFields = tuple[bytes, int, int, int, int, int, int, bytes, int, Mapping[str, AnyValue]]
"""Name and kind encoded, trace id, span id, parent id, flags, start, end, the template encoded, how
many attributes that covers, all attributes."""


class TraceEncoder:
    """Encodes one span at a time as a field of ``ScopeSpans``.

    Args:
        redactor: Masks secrets in every text that is written; None leaves them.
        chars_max: Length of a text; what is longer is cut after its redaction.
    """

    signal: Signal = "traces"

    def __init__(self, redactor: Redactor | None = None, chars_max: int = _CHARS_MAX) -> None:
        self._redact = (redactor or Off()).cut
        self._chars_max = chars_max
        self._attributes = KeyValues(b"\x4a", redactor, chars_max)
        self._event_attributes = KeyValues(b"\x1a", redactor, chars_max)
        self._link_attributes = KeyValues(b"\x22", redactor, chars_max)
        self._heads: dict[str, tuple[SpanKind, bytes]] = {}
        self._flags = {
            flags | remote: b"\x85\x01" + _fixed32(flags | remote)
            for flags in range(4)
            for remote in (_HAS_IS_REMOTE, _HAS_IS_REMOTE | _IS_REMOTE)
        }

    def pack(self, span: RecordedSpan) -> RecordedSpan | SpanFields:
        """Return what of a span is to wait for `finish`: of a usual one of ours only values.

        A tuple and a dict of texts and numbers are no burden for the garbage collector while they
        wait. Spans of other scopes, failed ones and those with events or links come back whole.
        """
        if type(span) is not RecordedSpan or span.unusual or span.scope is not OWN_SCOPE:
            return span
        name = span.name
        head = self._heads.get(name)
        if head is None or head[0] is not span.kind:
            head = self._head(name, span.kind)
        template = span.template
        known, count = b"", 0
        if template is not None:
            count = len(template.attributes)
            known = template.encoded or self._known(template)
        flags = span.flags & 3 | (_REMOTE_PARENT if span.parent_remote else _HAS_IS_REMOTE)
        return (
            head[1], span.trace_id, span.span_id, span.parent_id, flags, span.start_ns, span.end_ns,
            known, count, span.attributes,
        )  # fmt: skip

    def finish(self, item: RecordedSpan | SpanFields) -> tuple[Scope, bytes]:
        """Return the scope of a span, and the span, tag and length included."""
        if type(item) is not tuple:
            span = cast("RecordedSpan", item)
            return span.scope, self._whole(span)
        head, trace_id, span_id, parent_id, flags, start_ns, end_ns, known, count, attributes = item
        parts = [
            _ids(b"\x0a\x10", trace_id >> 64, trace_id & _MASK64, b"\x12\x08", span_id),
            _parent(b"\x22\x08", parent_id) if parent_id else b"",
            head,
            _span_times(start_ns, end_ns),
            known,
        ]
        self._attributes.extend(parts, islice(attributes.items(), count, None), attributes)
        parts += (_STATUS_UNSET, self._flags[flags])
        return OWN_SCOPE, field(b"\x12", b"".join(parts))

    def _known(self, template: Template) -> bytes:
        encoded = template.encoded = self._attributes.encode(template.attributes)
        return encoded

    def _whole(self, span: RecordedSpan) -> bytes:
        trace_id = span.trace_id
        parts = [_ids(b"\x0a\x10", trace_id >> 64, trace_id & _MASK64, b"\x12\x08", span.span_id)]
        if span.trace_state:
            parts.append(field(b"\x1a", self._state(span.trace_state)))
        flags = span.flags & 3 | _HAS_IS_REMOTE
        if span.parent_id:
            parts.append(_parent(b"\x22\x08", span.parent_id))
            if span.parent_remote:
                flags |= _IS_REMOTE
        head = self._heads.get(span.name)
        if head is None or head[0] is not span.kind:
            head = self._head(span.name, span.kind)
        parts.append(head[1])
        parts.append(_span_times(span.start_ns, span.end_ns))
        self._attributes.extend(parts, span.attributes.items(), span.attributes)
        self._extras(parts, span)
        parts.append(_STATUS_UNSET if span.status_code is StatusCode.UNSET else self._status(span))
        parts.append(self._flags[flags])
        return field(b"\x12", b"".join(parts))

    def _head(self, name: str, kind: SpanKind) -> tuple[SpanKind, bytes]:
        if len(self._heads) >= _HEADS_MAX:
            self._heads.clear()
        shown = text(self._redact(name, self._chars_max))
        encoded = field(b"\x2a", shown) + _KINDS.get(kind, b"\x30\x01")
        head = self._heads[name] = (kind, encoded)
        return head

    def _extras(self, parts: list[bytes], span: RecordedSpan) -> None:
        """Append what few spans have."""
        if span.dropped_attributes:
            parts.append(b"\x50" + varint(span.dropped_attributes))
        parts.extend(field(b"\x5a", self._event(event)) for event in span.events)
        if span.dropped_events:
            parts.append(b"\x60" + varint(span.dropped_events))
        parts.extend(field(b"\x6a", self._link(link)) for link in span.links)
        if span.dropped_links:
            parts.append(b"\x70" + varint(span.dropped_links))

    def _event(self, event: SpanEvent) -> bytes:
        encoded = (
            b"\x09"
            + _fixed64(_time(event.time_ns))
            + field(b"\x12", text(self._redact(event.name, self._chars_max)))
        )
        encoded += self._event_attributes.encode(event.attributes)
        if event.dropped_attributes:
            encoded += b"\x20" + varint(event.dropped_attributes)
        return encoded

    def _link(self, link: SpanLink) -> bytes:
        context: SpanContext = link.context
        encoded = b"\x0a\x10" + context.trace_id.to_bytes(16, "big")
        encoded += b"\x12\x08" + context.span_id.to_bytes(8, "big")
        if context.trace_state:
            encoded += field(b"\x1a", self._state(context.trace_state))
        encoded += self._link_attributes.encode(link.attributes)
        if link.dropped_attributes:
            encoded += b"\x28" + varint(link.dropped_attributes)
        flags = context.trace_flags & 0xFF | _HAS_IS_REMOTE
        if context.is_remote:
            flags |= _IS_REMOTE
        return encoded + b"\x35" + _fixed32(flags)

    def _status(self, span: RecordedSpan) -> bytes:
        if span.status_code is StatusCode.OK:
            return _STATUS_OK
        if span.status_description:
            shown = text(self._redact(span.status_description, self._chars_max))
            return field(b"\x7a", field(b"\x12", shown) + _STATUS_ERROR)
        return field(b"\x7a", _STATUS_ERROR)

    def _state(self, state: TraceState) -> bytes:
        shown = ",".join(f"{key}={value}" for key, value in state.items())
        return text(self._redact(shown, self._chars_max))


class LogEncoder:
    """Encodes one log record at a time as a field of ``ScopeLogs``."""

    signal: Signal = "logs"

    def __init__(self) -> None:
        self._attributes = KeyValues(b"\x32")
        self._scopes: dict[str, Scope] = {}
        self._heads: dict[tuple[int, str, str, str], bytes] = {}

    def finish(self, item: LogFields) -> tuple[Scope, bytes]:
        """Return the scope, which stands for the logger, and the record, tag and length included."""
        time_ns, number, name, body, attributes, trace_id, span_id, flags, event, logger = item
        if type(body) is str:
            head = self._heads.get((number, body, name, event)) or self._head(
                number, body, name, event
            )
        else:
            head = self._head(number, body, name, event)
        try:
            parts = [_times(0x09, time_ns, 0x59, time_ns), head]
        except struct.error:
            parts = [_times(0x09, _time(time_ns), 0x59, _time(time_ns)), head]
        self._attributes.extend(parts, attributes.items(), attributes)
        if flags:
            parts.append(_FLAGS[flags] if flags < 4 else b"\x45" + _fixed32(flags & 0xFF))
        if trace_id:
            parts.append(
                _ids(b"\x4a\x10", trace_id >> 64, trace_id & _MASK64, b"\x52\x08", span_id)
                if span_id
                else b"\x4a\x10" + trace_id.to_bytes(16, "big")
            )
        elif span_id:
            parts.append(b"\x52\x08" + span_id.to_bytes(8, "big"))
        return self._scope(logger), field(b"\x12", b"".join(parts))

    def _scope(self, logger: str) -> Scope:
        found = self._scopes.get(logger)
        if found is None:
            if len(self._scopes) >= _HEADS_MAX:
                self._scopes.clear()
            found = self._scopes[logger] = Scope(logger)
        return found

    def _head(self, number: int, body: str, name: str, event: str) -> bytes:
        """Return level, body and event, which repeat in most records of an event."""
        encoded = (b"\x10" + varint(number) if number > 0 else b"") + (
            field(b"\x1a", text(name)) if name else b""
        )
        encoded += field(b"\x2a", any_value(body))
        if event:
            encoded += field(b"\x62", text(event))
        if type(body) is str and len(body) <= _BODY_CHARS_MAX:
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[number, body, name, event] = encoded
        return encoded


class ItemEncoder(Protocol[T_contra]):
    """What `BatchEncoder` needs of an encoder for one kind of item."""

    signal: Signal

    def finish(self, item: T_contra, /) -> tuple[Scope, bytes]:
        """Return the scope of an item, and the item as a field, tag and length included."""
        ...


class BatchEncoder(Generic[T]):
    """Packs items into export requests of one resource.

    Args:
        encoder: Encodes one item.
        resource: Attributes of the resource.
        schema_url: Schema of the resource's attributes, or "".
        items_max: Items in one request.
        bytes_max: Encoded size of a request; only an item that is larger by itself exceeds it.
    """

    def __init__(
        self,
        encoder: ItemEncoder[T],
        resource: Mapping[str, AnyValue],
        *,
        schema_url: str = "",
        items_max: int,
        bytes_max: int,
    ) -> None:
        self._signal = encoder.signal
        self._finish = encoder.finish
        self._resource = field(b"\x0a", _RESOURCE_ATTRIBUTES.encode(resource))
        self._resource_schema = field(b"\x1a", text(schema_url)) if schema_url else b""
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._overhead = len(self._resource) + len(self._resource_schema) + _LENGTHS

    def encode(self, items: Iterable[T]) -> tuple[list[Batch], int]:
        """Return the requests, and how many items could not be encoded."""
        batches: list[Batch] = []
        failed = count = 0
        size = self._overhead
        groups: dict[int, tuple[Scope, list[bytes]]] = {}
        for item in items:
            try:
                scope, encoded = self._finish(item)
            except Exception as error:  # noqa: BLE001 - one bad item must not cost the others
                failed += 1
                log_once(
                    ("encode", self._signal, type(error)),
                    logging.WARNING,
                    "watchkeeper: an item of %s cannot be encoded and is left out: %r. It is "
                    "counted as dropped with reason encode.",
                    self._signal,
                    error,
                )
                continue
            if count and size + len(encoded) > self._bytes_max:
                batches.append(self._close(groups.values(), count))
                groups, count, size = {}, 0, self._overhead
            group = groups.get(id(scope))
            if group is None:
                # The group keeps the scope alive, so its id stays its own.
                group = groups[id(scope)] = (scope, [])
                size += sum(map(len, self._scope(scope))) + _LENGTHS
            group[1].append(encoded)
            count += 1
            size += len(encoded)
            if count >= self._items_max:
                batches.append(self._close(groups.values(), count))
                groups, count, size = {}, 0, self._overhead
        if count:
            batches.append(self._close(groups.values(), count))
        return batches, failed

    def _close(self, groups: Iterable[tuple[Scope, Sequence[bytes]]], count: int) -> Batch:
        # Put together in one go: copies of a whole request are what costs most of its making.
        parts = [b"", self._resource]
        for scope, items in groups:
            before, after = self._scope(scope)
            size = len(before) + sum(map(len, items)) + len(after)
            parts += (b"\x12" + varint(size), before, *items, after)
        parts.append(self._resource_schema)
        parts[0] = b"\x0a" + varint(sum(map(len, parts)))
        return Batch(self._signal, b"".join(parts), count)

    def _scope(self, scope: Scope) -> tuple[bytes, bytes]:
        content = field(b"\x0a", text(scope.name)) if scope.name else b""
        if scope.version:
            content += field(b"\x12", text(scope.version))
        content += _SCOPE_ATTRIBUTES.encode(dict(scope.attributes))
        after = field(b"\x1a", text(scope.schema_url)) if scope.schema_url else b""
        return field(b"\x0a", content), after


def _span_times(start_ns: int, end_ns: int) -> bytes:
    try:
        return _times(0x39, start_ns, 0x41, end_ns)
    except struct.error:
        return _times(0x39, _time(start_ns), 0x41, _time(end_ns))


def _time(value: float) -> int:
    """Return a time that OTLP can hold; other people's code passes floats and negative numbers."""
    return min(max(int(value), 0), _MASK64)
