"""Reads the few OTLP and gRPC answers that matter, and splits a request that was too large.

Field numbers: opentelemetry-proto 1.x, collector/*/v1; googleapis google/rpc/status.proto and
google/rpc/error_details.proto.
"""

from __future__ import annotations

from watchkeeper.instrument.recorder.records import Batch
from watchkeeper.instrument.recorder.wire import field, varint

__all__ = ["halves", "rejected_items", "retry_delay_s"]

_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"

Fields = list[tuple[int, int | bytes]]


def rejected_items(body: bytes) -> int:
    """Return the rejected count of an ``Export…ServiceResponse``; 0 if it cannot be read.

    Fields: ``partial_success`` is 1, in it the rejected count is 1 (a varint).
    """
    try:
        content = dict(_fields(body)).get(1, b"")
        count = dict(_fields(content)).get(1, 0) if isinstance(content, bytes) else 0
    except (IndexError, ValueError):
        return 0
    return count if isinstance(count, int) and count < 1 << 63 else 0


def retry_delay_s(status: bytes) -> float | None:
    """Return the delay of a ``RetryInfo`` in a ``google.rpc.Status``; None if there is none.

    Fields: ``details`` is 3, in it ``type_url`` 1 and ``value`` 2; ``retry_delay`` is 1 of that,
    with ``seconds`` 1 and ``nanos`` 2. A RetryInfo without a delay means at once.
    """
    try:
        for number, content in _fields(status):
            detail = dict(_fields(content)) if number == 3 and isinstance(content, bytes) else {}
            if detail.get(1) != _RETRY_INFO:
                continue
            value = detail.get(2, b"")
            delay = dict(_fields(value)).get(1, b"") if isinstance(value, bytes) else b""
            parts = dict(_fields(delay)) if isinstance(delay, bytes) else {}
            seconds, nanos = parts.get(1, 0), parts.get(2, 0)
            if isinstance(seconds, int) and isinstance(nanos, int):
                # A negative number is a varint with the 64th bit set.
                return 0.0 if seconds >> 63 else seconds + min(nanos, 999_999_999) / 1e9
    except (IndexError, ValueError):
        return None
    return None


def halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """Return a batch as two of about half its items; None if it cannot be divided.

    An export request of ours is one resource (field 1 of the request) with scopes (field 2), each
    of which holds its items as field 2 beside its name.
    """
    if batch.items < 2:
        return None
    try:
        (_, content), *more = _fields(batch.body)
        if more or not isinstance(content, bytes):
            return None
        resource = _fields(content)
        first, left = _part(resource, 0, batch.items // 2)
        second, _ = _part(resource, batch.items // 2, batch.items)
    except (IndexError, ValueError):
        return None
    if left:
        return None
    return (
        Batch(batch.signal, field(b"\x0a", first), batch.items // 2),
        Batch(batch.signal, field(b"\x0a", second), batch.items - batch.items // 2),
    )


def _part(resource: Fields, start: int, stop: int) -> tuple[bytes, int]:
    """Return the resource with its items from *start* to *stop*, and how many were missing."""
    parts: list[bytes] = []
    at = 0
    for number, content in resource:
        if number != 2 or not isinstance(content, bytes):
            parts.append(_encoded(number, content))
            continue
        scope: list[bytes] = []
        kept = 0
        for inner, value in _fields(content):
            if inner == 2:
                if start <= at < stop:
                    scope.append(_encoded(inner, value))
                    kept += 1
                at += 1
            else:
                scope.append(_encoded(inner, value))
        if kept:
            parts.append(field(b"\x12", b"".join(scope)))
    return b"".join(parts), max(0, stop - at)


def _encoded(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return field(varint(number << 3 | 2), value)


def _fields(body: bytes) -> Fields:
    found: Fields = []
    at = 0
    while at < len(body):
        tag, at = _read_varint(body, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _read_varint(body, at)
            found.append((number, value))
        elif kind == 2:
            size, at = _read_varint(body, at)
            if at + size > len(body):
                raise ValueError("the field is longer than the message")
            found.append((number, body[at : at + size]))
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("the wire type is unknown")
    return found


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("the number is too long")
