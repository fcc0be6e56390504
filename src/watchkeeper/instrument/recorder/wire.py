"""Protobuf's wire format, written by hand, with a memory for attributes that repeat.

Field numbers: opentelemetry-proto 1.x, common/v1/common.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import cast

from opentelemetry.util.types import AnyValue

from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.recorder.clean import clean_value, safe_text
from watchkeeper.instrument.redaction import MARGIN, Redactor
from watchkeeper.vocabulary.limits import limit

__all__ = ["KeyValues", "any_value", "field", "text", "varint"]

_CHARS_MAX = limit("attribute_value_chars_max")
_KEYS_MAX = 1_024
"""Distinct attribute keys remembered; the memory starts anew past it."""
_VALUES_MAX = 256
"""Distinct values remembered of one key; likewise."""
_REMEMBERED_CHARS_MAX = 128
_REMEMBERED_STATEMENT_MAX = 1_024
_ID_CHARS = 32
_IDS = frozenset({"request.id"})
_REMEMBERED_INT_MAX = 1 << 16
_INT64 = 1 << 63
_STATEMENTS = frozenset({"db.query.text", "db.statement"})
_SYSTEMS = ("db.system.name", "db.system")
_URLS = frozenset({"url.full", "url.query", "http.url", "http.target"})
_PLAIN = frozenset({float, bool, type(None)})

_double = struct.Struct("<d").pack


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = tuple(_varint(value) for value in range(1_024))


def varint(value: int) -> bytes:
    """Return a number from 0 to 2**64 - 1 as a varint."""
    return _SMALL[value] if value < 1_024 else _varint(value)


def field(tag: bytes, payload: bytes) -> bytes:
    """Return a length-delimited field: *tag*, the length, the payload."""
    size = len(payload)
    return tag + (_SMALL[size] if size < 1_024 else _varint(size)) + payload


def text(value: str) -> bytes:
    """Return UTF-8; what UTF-8 cannot hold (lone surrogates) becomes a question mark."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="replace")
    except AttributeError:
        return safe_text(value).encode(errors="replace")


def any_value(value: object) -> bytes:
    """Return the content of an ``AnyValue`` message; whatever *value* is, this does not raise."""
    kind = type(value)
    if kind is str:
        return field(b"\x0a", text(cast("str", value)))
    if kind is int:
        return _int_value(cast("int", value))
    if kind is float:
        return b"\x21" + _double(cast("float", value))
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if value is None:
        return b""
    if kind is tuple or kind is list:
        items = cast("list[object]", value)
        return field(b"\x2a", b"".join(field(b"\x0a", any_value(item)) for item in items))
    if kind is dict:
        pairs = cast("dict[str, object]", value).items()
        content = (field(b"\x0a", text(key)) + field(b"\x12", any_value(v)) for key, v in pairs)
        return field(b"\x32", b"".join(field(b"\x0a", pair) for pair in content))
    if kind is bytes:
        return field(b"\x3a", cast("bytes", value))
    return any_value(clean_value(value, _CHARS_MAX))


def _int_value(value: int) -> bytes:
    if -_INT64 <= value < _INT64:
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    # int64 is all that OTLP has; the digits as text lose nothing.
    return field(b"\x0a", safe_text(value)[:_CHARS_MAX].encode())


def _head(tag: bytes, prefix: bytes, start: bytes, size: int) -> bytes:
    """Return all of a ``KeyValue`` field up to the *size* bytes of its value, which *start* begins."""
    value = field(b"\x12", start + b"x" * size)
    return field(tag, prefix + value)[:-size]


class _Key:
    """The encoded forms of one key and of the values seen with it."""

    __slots__ = (
        "chars_max",
        "float_head",
        "id_head",
        "is_id",
        "name",
        "numbers",
        "prefix",
        "secret",
        "texts",
    )

    def __init__(self, name: str, prefix: bytes, tag: bytes, *, secret: bool) -> None:
        self.name = name
        self.prefix = prefix
        self.secret = secret
        self.is_id = name in _IDS
        self.chars_max = _REMEMBERED_STATEMENT_MAX if name in _STATEMENTS else _REMEMBERED_CHARS_MAX
        self.float_head = _head(tag, prefix, b"\x21", 8)
        self.id_head = _head(tag, prefix, field(b"\x0a", b"x" * _ID_CHARS)[:2], _ID_CHARS)
        self.texts: dict[str, bytes] = {}
        self.numbers: dict[int, bytes] = {}


class KeyValues:
    """Encodes attributes as repeated ``KeyValue`` fields of one enclosing message.

    Not locked: if two threads encode at once, they at worst remember the same thing twice.

    Args:
        tag: The tag of the field in the enclosing message.
        redactor: Masks secrets in values that are not remembered; None leaves everything as it is.
        chars_max: Length of a text; what is longer is cut after its redaction.
    """

    def __init__(
        self, tag: bytes, redactor: Redactor | None = None, chars_max: int = _CHARS_MAX
    ) -> None:
        self._tag = tag
        self._redactor = redactor
        self._chars_max = chars_max
        self._keys: dict[str, _Key] = {}

    def encode(self, attributes: Mapping[str, AnyValue]) -> bytes:
        """Return the encoded attributes."""
        parts: list[bytes] = []
        self.extend(parts, attributes.items(), attributes)
        return b"".join(parts)

    def extend(
        self,
        parts: list[bytes],
        pairs: Iterable[tuple[str, AnyValue]],
        attributes: Mapping[str, AnyValue],
    ) -> None:
        """Append encoded attributes to *parts*.

        Args:
            parts: Gets a field for each.
            pairs: Those to encode.
            attributes: All of their owner: what one means may depend on another.
        """
        keys = self._keys
        for name, value in pairs:
            key = keys.get(name) or self._learn(name)
            kind = type(value)
            if kind is str:
                found = key.texts.get(value)  # type: ignore[arg-type] # its type was compared
                parts.append(found or self._text(key, value, attributes))  # type: ignore[arg-type] # likewise
            elif kind is int:
                found = key.numbers.get(value)  # type: ignore[arg-type] # likewise
                parts.append(found or self._number(key, value))  # type: ignore[arg-type] # likewise
            elif kind is float:
                parts.append(key.float_head + _double(value))
            else:
                if kind not in _PLAIN and self._redactor is not None:
                    value = self._redactor.named(name, value, self._chars_max)  # noqa: PLW2901 - the redacted value takes the place of the given one
                parts.append(self._whole(key, any_value(value)))

    def _learn(self, name: str) -> _Key:
        if len(self._keys) >= _KEYS_MAX:
            self._keys.clear()
        redactor = self._redactor
        shown = name if redactor is None else redactor.text(name)
        secret = redactor is not None and redactor.is_secret(name)
        key = self._keys[name] = _Key(name, field(b"\x0a", text(shown)), self._tag, secret=secret)
        return key

    def _text(self, key: _Key, value: str, attributes: Mapping[str, AnyValue]) -> bytes:
        if key.is_id and len(value) == _ID_CHARS and value.isalnum() and value.isascii():
            # Made here, and never seen again.
            return key.id_head + value.encode()
        if self._redactor is not None:
            shown = self._redacted(self._redactor, key, value, attributes)
            if shown is not value:
                # Not remembered: no secret is kept, and each one that is masked is counted.
                return self._whole(key, field(b"\x0a", text(shown)))
        whole = self._whole(key, field(b"\x0a", text(value)))
        if len(value) <= key.chars_max:
            if len(key.texts) >= _VALUES_MAX:
                key.texts.clear()
            key.texts[value] = whole
        return whole

    def _redacted(
        self, redactor: Redactor, key: _Key, value: str, attributes: Mapping[str, AnyValue]
    ) -> str:
        if key.secret:
            return redactor.masked(value)
        if key.name in _URLS:
            value = redactor.query(value)
        elif key.name in _STATEMENTS:
            system = next((str(attributes[name]) for name in _SYSTEMS if name in attributes), "")
            value = redactor.statement(value, system)
        shown = redactor.cut(value, self._chars_max)
        # One that is as long as this was cut, and counted, when it was recorded.
        if shown is not value and self._chars_max < len(value) != self._chars_max + MARGIN:
            count_cut("attribute_length")
        return shown

    def _number(self, key: _Key, value: int) -> bytes:
        redactor = self._redactor
        if redactor is not None:
            shown = redactor.masked(value) if key.secret else redactor.number(value)
            if shown is not value:
                return self._whole(key, any_value(shown))
        whole = self._whole(key, _int_value(value))
        if 0 <= value < _REMEMBERED_INT_MAX:
            if len(key.numbers) >= _VALUES_MAX:
                key.numbers.clear()
            key.numbers[value] = whole
        return whole

    def _whole(self, key: _Key, value: bytes) -> bytes:
        return field(self._tag, key.prefix + field(b"\x12", value))
