"""Texts of exceptions that hold a lot: made in bounded time, where Python would first write it all.

Nothing here is asked for a usual exception but whether it is one.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice
from typing import Any

__all__ = ["formatted", "is_heavy", "is_heavy_chain", "is_text", "message"]

_STANDARD = frozenset({BaseException.__str__, KeyError.__str__})
"""How built-in exceptions show their arguments; what another class writes cannot be known."""
_CONTAINERS = (list, tuple, set, frozenset)
_TEXTS = (str, bytes, bytearray)
_DEPTH_MAX = 16
_CHAIN_MAX = 64
"""Exceptions of one chain or group that are looked at; more are heavy by themselves."""
_SHOWN_MAX = 8
_FRAMES_MAX = 50
_INT_BITS_MAX = 4_096
_OTHER_CHARS = 20
"""What an object of another class counts for."""


def is_heavy(error: BaseException, chars: int) -> bool:
    """Return whether the text of *error* is known to be longer than about *chars* characters."""
    if type(error).__str__ not in _STANDARD:
        return False
    args = error.args
    if type(args) is not tuple:
        return False
    if len(args) == 1 and type(args[0]) is str:
        return len(args[0]) > chars
    return _left(args, chars, 0) < 0


def is_heavy_chain(error: BaseException, chars: int) -> bool:
    """Return whether *error*, a cause, a context or a member of a group is heavy, or they are many."""
    for number, one in enumerate(_related(error)):
        if number >= _CHAIN_MAX or is_heavy(one, chars):
            return True
        if any(len(note) > chars for note in _notes(one)):
            return True
    return False


def message(error: BaseException, chars: int) -> str:
    """Return the text of a heavy exception as Python would write it, up to about *chars* characters."""
    args = error.args
    if is_text(error):
        return str(args[0][:chars])
    return _shown(args[0] if len(args) == 1 else args, chars, 0)[:chars]


def is_text(error: BaseException) -> bool:
    """Return whether a heavy exception's text is there already: its only argument."""
    args = error.args
    return len(args) == 1 and type(args[0]) is str and type(error).__str__ is BaseException.__str__


def formatted(error: BaseException, chars: int) -> str:
    """Return the traceback of a heavy chain, innermost cause last, each text within *chars*.

    Args:
        error: The exception.
        chars: Length of each text and of the whole, roughly.
    """
    parts: list[str] = []
    for number, one in enumerate(islice(_related(error), _SHOWN_MAX)):
        if number:
            parts.append("\nRelated exception:\n\n")
        frames = traceback.format_tb(one.__traceback__, -_FRAMES_MAX)
        if frames:
            parts += ("Traceback (most recent call last):\n", *frames)
        kind = type(one)
        name = kind.__qualname__
        if kind.__module__ not in ("builtins", "__main__"):
            name = f"{kind.__module__}.{name}"
        text = message(one, chars) if is_heavy(one, chars) else str(one)[:chars]
        parts.append(f"{name}: {text}\n")
        parts += (f"{note[:chars]}\n" for note in islice(_notes(one), _SHOWN_MAX))
        if sum(map(len, parts)) > chars:
            break
    return "".join(parts)


def _related(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that its traceback shows with it, each once."""
    waiting, seen = [error], {id(error)}
    while waiting:
        one = waiting.pop(0)
        yield one
        following = one.__cause__
        if following is None and not one.__suppress_context__:
            following = one.__context__
        more = [] if following is None else [following]
        if isinstance(one, BaseExceptionGroup):
            more += one.exceptions[:_CHAIN_MAX]
        for found in more:
            if id(found) not in seen:
                seen.add(id(found))
                waiting.append(found)


def _notes(error: BaseException) -> list[str]:
    notes = error.__dict__.get("__notes__")
    return [note for note in notes if type(note) is str] if type(notes) is list else []


def _left(value: Any, left: int, depth: int) -> int:
    """Return *left* less the characters of *value*; stops below zero."""
    kind = type(value)
    if kind in _TEXTS:
        return left - len(value)
    if kind is int:
        return left - int(value.bit_length()) // 3
    if kind is not dict and kind not in _CONTAINERS:
        return left - _OTHER_CHARS
    if depth >= _DEPTH_MAX:
        return -1
    for item in value.items() if kind is dict else value:
        left = _left(item, left - 2, depth + 1)
        if left < 0:
            break
    return left


def _shown(value: Any, chars: int, depth: int) -> str:
    kind = type(value)
    if kind in _TEXTS:
        return repr(value[:chars])
    if kind is int and value.bit_length() > _INT_BITS_MAX:
        return "<large int>"
    if kind is not dict and kind not in _CONTAINERS:
        return repr(value)[:chars]
    if depth >= _DEPTH_MAX:
        return "..."
    parts: list[str] = []
    left = chars
    for item in value.items() if kind is dict else value:
        if left <= 0:
            break
        if kind is dict:
            key, inner = item
            part = f"{_shown(key, left, depth + 1)}: {_shown(inner, left, depth + 1)}"
        else:
            part = _shown(item, left, depth + 1)
        parts.append(part)
        left -= len(part) + 2
    text = ", ".join(parts)
    if kind is tuple:
        return f"({text},)" if len(parts) == 1 else f"({text})"
    return f"[{text}]" if kind is list else f"{{{text}}}"
