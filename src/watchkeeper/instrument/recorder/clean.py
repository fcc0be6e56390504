"""Attribute values from other people's code, made safe to keep and to encode.

The accepted types are those of the OpenTelemetry API: str, bool, int, float, bytes, None, and
sequences and mappings of them. What is not one of them becomes its ``str`` if its class defines
one, else None. Nothing here raises, whatever ``__str__``, ``__len__`` or ``__iter__`` of a foreign
object does.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TypeVar

from opentelemetry.util.types import AnyValue

from watchkeeper.instrument.cuts import count_cut
from watchkeeper.vocabulary.limits import limit

__all__ = ["UNPRINTABLE", "clean_attributes", "clean_value", "plain_key", "safe_text"]

UNPRINTABLE = "<unprintable>"
"""Stands for a value whose conversion to text failed."""

_T = TypeVar("_T", str, bytes)

_PLAIN = frozenset({bool, int, float})
_DEPTH_MAX = limit("attribute_depth_max")
_ITEMS_MAX = limit("attribute_items_max")


def safe_text(value: object) -> str:
    """Return ``str(value)``, or `UNPRINTABLE` if that raises."""
    try:
        # A subclass of str may override __str__ to return itself; this makes a plain one.
        return str.__str__(str(value))
    except Exception:  # noqa: BLE001 - str() runs foreign code
        return UNPRINTABLE


def clean_attributes(
    attributes: Mapping[str, AnyValue], count_max: int, chars_max: int
) -> tuple[dict[str, AnyValue], int]:
    """Return a cleaned copy of *attributes*, and how many were dropped.

    Args:
        attributes: What the caller gave.
        count_max: Attributes to keep; further ones are dropped.
        chars_max: Length of a text or bytes value; the rest is cut off.
    """
    kept: dict[str, AnyValue] = {}
    dropped = 0
    try:
        for key, value in attributes.items():
            name = key if type(key) is str else _clean_key(key)
            if not name or (len(kept) >= count_max and name not in kept):
                dropped += 1
            elif type(value) in _PLAIN or (type(value) is str and len(value) <= chars_max):
                kept[name] = value
            else:
                kept[name] = clean_value(value, chars_max)
    except Exception:  # noqa: BLE001 - a foreign mapping may fail while it is read
        dropped += 1
    return kept, dropped


def clean_value(value: object, chars_max: int, depth: int = 0) -> AnyValue:
    """Return *value* as one of the accepted types, immutable but for the dicts of mappings.

    Args:
        value: Anything.
        chars_max: Length of a text or bytes value; the rest is cut off.
        depth: Levels of nesting above *value*.
    """
    if value is None or value is True or value is False:
        return value
    try:
        # Subclasses (enumerations, NumPy's float64) become the plain type that they extend.
        if isinstance(value, str):
            text = str.__str__(value)
            return text if len(text) <= chars_max else _cut(text, chars_max)
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, bytes):
            data = bytes(value)
            return data if len(data) <= chars_max else _cut(data, chars_max)
        if isinstance(value, Sequence | Mapping):
            if depth >= _DEPTH_MAX:
                count_cut("attribute_depth")
                return reprlib.repr(value)[:chars_max]
            return _clean_container(value, chars_max, depth + 1)
        if _has_text(value):
            text = safe_text(value)
            return text if len(text) <= chars_max else _cut(text, chars_max)
    except Exception:  # noqa: BLE001 - every line above may run foreign code
        return UNPRINTABLE
    return None


def plain_key(key: object) -> str:
    """Return *key* as a plain string, or "" if it is no string."""
    return str.__str__(key) if isinstance(key, str) else ""


def _clean_container(
    value: Sequence[object] | Mapping[object, object], chars_max: int, depth: int
) -> AnyValue:
    if len(value) > _ITEMS_MAX:
        count_cut("attribute_items")
    if isinstance(value, Mapping):
        pairs = ((_clean_key(key), item) for key, item in islice(value.items(), _ITEMS_MAX))
        return {key: clean_value(item, chars_max, depth) for key, item in pairs if key}
    return tuple(clean_value(item, chars_max, depth) for item in islice(value, _ITEMS_MAX))


def _cut(value: _T, chars_max: int) -> _T:
    count_cut("attribute_length")
    return value[:chars_max]


def _clean_key(key: object) -> str:
    """Return a usable key, or "" for one that must be dropped."""
    if type(key) is str:
        return key
    if isinstance(key, str):
        return str.__str__(key)
    return safe_text(key) if key and _has_text(key) else ""


def _has_text(value: object) -> bool:
    """Whether a class of its own says how to print *value*; else the text would be an address."""
    kind = type(value)
    return kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
