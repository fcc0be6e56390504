"""Exceptions as data: type, message, frames and causes."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from watchkeeper.instrument import tracebacks
from watchkeeper.instrument.context import Bound, Left, left
from watchkeeper.instrument.logs.values import clean, shown
from watchkeeper.instrument.redaction import MARGIN, Redactor

__all__ = ["normalise", "origin", "qualified_name", "stacktrace", "structured"]

_CHAIN_MAX = 8
_FRAMES_MAX = 50
_MESSAGE_CHARS_MAX = 4_096


def normalise(exc_info: object) -> BaseException | None:
    """Return the exception that a logging call's ``exc_info`` means, or None."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found = exc_info[1] if len(exc_info) > 1 else None
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def origin(exc_info: object, bound: Bound) -> Left:
    """Return where a logged exception comes from, if no span is current.

    A server logs what left the application when the request is over, and with it its ids.

    Args:
        exc_info: As in `normalise`.
        bound: What is bound where it is logged; an own request id goes before the remembered one.
    """
    error = normalise(exc_info)
    found = None if error is None or bound.request_id else left(error)
    return found or Left(0, 0, 0, bound)


def qualified_name(kind: type[BaseException]) -> str:
    """Return ``module.Class``, or the bare name of a built-in exception."""
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def structured(error: BaseException, redactor: Redactor | None = None) -> dict[str, object]:
    """Return the exception as a dict: type, message, frames, and its chain, outermost first.

    Frames carry file, line and function but no local variables, which may hold secrets.
    """
    top = _one(error, redactor)
    current, seen = error, {id(error)}
    chain: list[object] = []
    while len(chain) < _CHAIN_MAX:
        following = current.__cause__
        if following is None and not current.__suppress_context__:
            following = current.__context__
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        chain.append(_one(following, redactor))
        current = following
    if chain:
        top["chain"] = chain
    if isinstance(error, BaseExceptionGroup):
        top["exceptions"] = [_one(inner, redactor) for inner in error.exceptions[:_CHAIN_MAX]]
    return top


def stacktrace(error: BaseException, chars: int, redactor: Redactor | None = None) -> str:
    """Return the traceback as Python prints it, without secrets, at most *chars* characters."""
    try:
        if tracebacks.is_heavy_chain(error, chars + MARGIN):
            return clean(tracebacks.formatted(error, chars + MARGIN), chars, redactor)
        lines = traceback.TracebackException(
            type(error), error, error.__traceback__, limit=-_FRAMES_MAX, compact=True,
            max_group_depth=3,
        ).format()  # fmt: skip
        return clean("".join(lines), chars, redactor)
    except Exception as failure:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"[unprintable traceback: {type(failure).__name__}]"


def _one(error: BaseException, redactor: Redactor | None) -> dict[str, object]:
    return {
        "type": qualified_name(type(error)),
        "message": _message(error, redactor),
        "frames": _frames(error.__traceback__),
    }


def _message(error: BaseException, redactor: Redactor | None) -> str:
    chars = _MESSAGE_CHARS_MAX + MARGIN
    try:
        if tracebacks.is_heavy(error, chars) and not tracebacks.is_text(error):
            return shown(tracebacks.message(error, chars + 1), _MESSAGE_CHARS_MAX, redactor)
    except Exception as failure:  # noqa: BLE001 - the arguments may be foreign objects
        return f"[unprintable {type(error).__name__}: {type(failure).__name__}]"
    return shown(error, _MESSAGE_CHARS_MAX, redactor)


def _frames(trace: TracebackType | None) -> list[dict[str, object]]:
    frames: list[dict[str, object]] = []
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        frames.append({"file": code.co_filename, "line": line, "function": code.co_qualname})
        if len(frames) > 2 * _FRAMES_MAX:
            del frames[:_FRAMES_MAX]
    return frames[-_FRAMES_MAX:]
