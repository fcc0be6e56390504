"""Values of log fields, made safe to write: bounded, redacted, plain, and never raising."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import Enum

from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.redaction import Redactor
from watchkeeper.vocabulary.limits import limit

__all__ = ["Bounds", "clean", "cut", "plain", "shown"]

_INT_MAX = 2**63


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a value is kept."""

    chars: int
    """Characters of a text."""
    items: int = limit("log_value_items_max")
    """Items of a list or mapping."""
    depth: int = limit("log_value_depth_max")
    """Levels of nesting."""
    total: int = limit("log_value_chars_max")
    """Characters of a container with everything in it; an item counts for at least ten."""
    redactor: Redactor | None = None
    """Masks secrets; None if the value has been through that."""


def cut(text: str, chars: int, redactor: Redactor | None = None) -> str:
    """Return *text*, or its first *chars* characters and a marker that tells how many are gone.

    Args:
        text: Any text.
        chars: Characters to keep.
        redactor: Masks the secrets of what is kept if something is cut: half a secret at the end
            could not be recognised later.
    """
    if len(text) <= chars:
        return text
    if redactor is None:
        return _marked(text[:chars], text)
    # Without a redactor it is the second time, and counted as the first or as a whole line.
    count_cut("attribute_length")
    return _marked(redactor.cut(text, chars), text)


def _marked(kept: str, text: str) -> str:
    return f"{kept}…[cut, {len(text)} characters]"


def clean(text: str, chars: int, redactor: Redactor | None) -> str:
    """Return *text* without secrets, cut as `cut` does."""
    if redactor is None or len(text) > chars:
        return cut(text, chars, redactor)
    return redactor.text(text)


def shown(value: object, chars: int, redactor: Redactor | None = None) -> str:
    """Return ``str(value)`` without secrets, cut to *chars*, or a placeholder if that raises."""
    try:
        return _encodable(clean(str(value), chars, redactor))
    except Exception as error:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"[unprintable {type(value).__name__}: {type(error).__name__}]"


def plain(value: object, bounds: Bounds, depth: int = 0, left: list[int] | None = None) -> object:
    """Return *value* as None, bool, int, float, str, list or dict, within *bounds*.

    Values under secret names are masked. What has no plain form is shown by its text; what cannot
    even be shown becomes a placeholder. Cycles end at the depth limit.

    Args:
        value: Anything.
        bounds: How much of it is kept.
        depth: Levels of nesting around it.
        left: One number, the characters that the containers around it have left; taken from.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, bounds, depth, left)
    if isinstance(value, str):
        text = _encodable(clean(str(value), bounds.chars, bounds.redactor))
        if left is not None:
            left[0] -= len(text)
        return text
    if isinstance(value, int | float):
        return _number(value, bounds)
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        if depth >= bounds.depth:
            _count("attribute_depth", bounds)
            return f"[{type(value).__name__}, too deep]"
        try:
            return _container(value, bounds, depth, [bounds.total] if left is None else left)
        except Exception as error:  # noqa: BLE001 - a foreign container may raise anything
            return f"[unreadable {type(value).__name__}: {type(error).__name__}]"
    return _scalar(value, bounds)


def _number(value: float, bounds: Bounds) -> object:
    if isinstance(value, int):
        if not -_INT_MAX <= value < _INT_MAX:
            return cut(_digits(value), bounds.chars)
        return int(value) if bounds.redactor is None else bounds.redactor.number(int(value))
    return float(value) if math.isfinite(value) else str(value)


def _scalar(value: object, bounds: Bounds) -> object:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return shown(value, bounds.chars, bounds.redactor)


def _container(
    value: Mapping[object, object] | Collection[object],
    bounds: Bounds,
    depth: int,
    left: list[int],
) -> object:
    if isinstance(value, Mapping):
        found: dict[str, object] = {}
        for number, (key, item) in enumerate(value.items()):
            if number >= bounds.items or left[0] <= 0:
                _count("attribute_items", bounds)
                found["…"] = f"[{len(value) - number} more]"
                break
            left[0] -= 10
            name = key if isinstance(key, str) else shown(key, 200)
            found.update([_item(name, item, bounds, depth, left)])
        return found
    items: list[object] = []
    for number, item in enumerate(value):
        if number >= bounds.items or left[0] <= 0:
            _count("attribute_items", bounds)
            items.append(f"[{len(value) - number} more]")
            break
        left[0] -= 10
        items.append(plain(item, bounds, depth + 1, left))
    return items


def _count(reason: str, bounds: Bounds) -> None:
    if bounds.redactor is not None:
        count_cut(reason)


def _item(
    name: str, item: object, bounds: Bounds, depth: int, left: list[int]
) -> tuple[str, object]:
    redactor = bounds.redactor
    name = _encodable(clean(name, 200, redactor))
    if (
        redactor is not None
        and item is not None
        and not isinstance(item, bool)
        and redactor.is_secret(name)
    ):
        return name, redactor.masked(item)
    return name, plain(item, bounds, depth + 1, left)


def _digits(value: int) -> str:
    # Python refuses to print integers of more than 4,300 digits, and takes long below that.
    return str(value) if value.bit_length() < 4_096 else f"[integer of {value.bit_length()} bits]"


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
