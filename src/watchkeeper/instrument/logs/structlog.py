"""Processors for applications that configure structlog themselves.

An application that leaves structlog unconfigured needs none of this: its loggers are ours already.

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, send])
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NoReturn

from structlog import DropEvent

from watchkeeper.instrument.logs.logger import LEVELS, active, is_enabled
from watchkeeper.instrument.logs.pipeline import Level

__all__ = ["copy", "send"]

_NAMES = {
    "warn": "warning",
    "err": "error",
    "exception": "error",
    "fatal": "critical",
    "msg": "info",
    "notset": "debug",
}
"""Methods of structlog's loggers that are not called like their level."""
_OURS = frozenset({"event", "level", "level_number", "logger", "timestamp", "exc_info", "stack"})
"""Keys that structlog's own processors set and that a line of ours has in its own form."""


def send(logger: object, method: str, event_dict: MutableMapping[str, Any]) -> NoReturn:
    """Write the entry as one of ours and end it there: the last processor of the chain.

    It gets trace and request ids, redaction, limits and export like every other entry. Processors
    that format an exception or render the line are not needed before it.

    Args:
        logger: What structlog wraps; its ``name`` is the logger's unless the entry has one.
        method: Name of the method that was called.
        event_dict: The entry.

    Raises:
        DropEvent: Always; it tells structlog that nothing is left to do.
    """
    copy(logger, method, event_dict)
    raise DropEvent


def copy(
    logger: object, method: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Write the entry as one of ours and pass it on unchanged, to the application's own renderer.

    Set ``log_stdout=False`` if both would write to the standard output.

    Args:
        logger: As in `send`.
        method: As in `send`.
        event_dict: As in `send`.

    Returns:
        *event_dict*.
    """
    level = _level(method)
    name = event_dict.get("logger") or getattr(logger, "name", None)
    name = name if isinstance(name, str) else ""
    if is_enabled(name, level.number):
        fields = {key: value for key, value in event_dict.items() if key not in _OURS}
        exc_info = event_dict.get("exc_info") or method == "exception"
        active().write(level, name, event_dict.get("event", ""), fields, exc_info)
    return event_dict


def _level(method: str) -> Level:
    found = LEVELS.get(_NAMES.get(method, method))
    return LEVELS["info"] if found is None else found
