"""loguru: its lines come out as ours, with extra as fields, exceptions as data, redaction and ids.

A handler of ours stands beside loguru's own in its core. It is no sink, for loguru formats the line
and the exception, with the values of variables, before it calls one. Sinks of the standard streams
would print every line twice, so they are set aside; files and everything else stay.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.logs.bridge import RELAY, Bridge
from watchkeeper.instrument.logs.logger import (
    LEVELS,
    active,
    is_enabled,
    least_level,
    level_for,
    watch_levels,
)

__all__ = ["instrument"]

_HOOK = "logs.loguru"
_ID = -1
"""Our place among loguru's handlers, whose ids begin at 0."""
_NEVER = 2**31 - 1
"""Level of a handler that is set aside; loguru formats levels as integers."""
_FRAMES_MAX = 10
_CALL_HANDLERS: CodeType = logging.Logger.callHandlers.__code__


def instrument(host: Host) -> Callable[[], None]:
    """Write the lines of loguru's logger as ours.

    Returns:
        A function that undoes it.
    """
    from loguru import logger
    from loguru._simple_sinks import StandardSink

    core = logger._core  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to its handlers
    handler = _Handler(core)
    aside = _Aside(core)
    handler.join()
    undos = [handler.leave, watch_levels(handler.join)]
    if host.settings.log_stdout:
        aside.look()
        kind = type(logger)
        undos += [aside.undo, replace(kind, "add", _then(kind.__dict__["add"], aside.look))]
    undos.append(replace(StandardSink, "write", _relaying(StandardSink.__dict__["write"])))
    return all_of(*undos)


class _Handler:
    """Has what loguru asks of a handler.

    Args:
        core: What loguru's loggers share; None stays away from it.
    """

    levelno = 0

    def __init__(self, core: Any = None) -> None:
        self._core = core

    def __repr__(self) -> str:
        return "(watchkeeper)"

    def __reduce__(self) -> tuple[Any, ...]:
        # A logger that is copied or goes to another process takes a handler along that only writes.
        return _Handler, ()

    def join(self) -> None:
        """Stand among the handlers, at the least level that any logger lets pass."""
        core = self._core
        if core is None:
            return
        self.levelno = least_level()
        with core.lock:
            self._enter(core)

    def leave(self) -> None:
        """Stand there no more."""
        core, self._core = self._core, None
        if core is not None:
            with core.lock:
                core.handlers = {key: one for key, one in core.handlers.items() if one is not self}
                _level_again(core)

    def emit(
        self,
        record: dict[str, Any],
        level_id: object,
        from_decorator: object,
        is_raw: object,
        colored_message: object,
    ) -> None:
        """Write one record; never raises."""
        del level_id, from_decorator, is_raw, colored_message
        try:
            level = record["level"]
            name = record["name"] or ""
            if not is_enabled(name, level.no) or _came_from_logging():
                return
            fields = record["extra"]
            if level.name.lower() not in LEVELS:
                fields = {**fields, "level_name": level.name}
            exception = record["exception"]
            active().write(
                level_for(level.no),
                name,
                record["message"],
                fields,
                None if exception is None else exception.value,
                int(record["time"].timestamp() * 1e9),
            )
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def stop(self) -> None:
        """Come back: ``logger.remove()`` and ``configure`` mean the handlers that one has added."""
        if self._core is not None:
            # loguru holds the lock here, and has taken us out already.
            self._enter(self._core)

    def complete_queue(self) -> None:
        """Nothing waits."""

    def tasks_to_complete(self) -> list[Any]:
        """Return nothing: no line is written by a task."""
        return []

    def update_format(self, level_id: object) -> None:
        """Do nothing: levels have no colours of their own here."""

    def _enter(self, core: Any) -> None:
        core.handlers = {**core.handlers, _ID: self}
        _level_again(core)


class _Aside:
    """Sinks of the standard streams, which write nothing until they are put back."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._levels: list[tuple[Any, int]] = []

    def look(self) -> None:
        """Set aside what was added since the last time."""
        with self._core.lock:
            for handler in self._core.handlers.values():
                if handler.levelno != _NEVER and _is_standard(handler):
                    self._levels.append((handler, handler.levelno))
                    handler._levelno = _NEVER  # noqa: SLF001 - there is no other way
            _level_again(self._core)

    def undo(self) -> None:
        """Put everything back."""
        with self._core.lock:
            for handler, level in self._levels:
                handler._levelno = level  # noqa: SLF001 - as above
            _level_again(self._core)
        self._levels = []


def _level_again(core: Any) -> None:
    """Let loguru drop at once what no handler wants."""
    core.min_level = min((one.levelno for one in core.handlers.values()), default=float("inf"))


def _is_standard(handler: Any) -> bool:
    stream = getattr(getattr(handler, "_sink", None), "_stream", None)
    return stream is not None and stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)


def _then(original: Callable[..., Any], look: Callable[[], None]) -> Callable[..., Any]:
    def add(logger: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(logger, *args, **kwargs)
        try:
            look()
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
        return found

    return add


def _relaying(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for the sink that hands lines to a handler of ``logging``.

    If that one hands them to a logger, they would come to us a second time.
    """

    def write(sink: Any, message: Any) -> None:
        RELAY.on = True
        try:
            original(sink, message)
        finally:
            RELAY.on = False

    return write


def _came_from_logging() -> bool:
    """Tell whether a handler of ``logging`` hands on a record that we have written already."""
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 - above loguru's own two
    for _ in range(_FRAMES_MAX):
        if frame is None:
            return False
        if frame.f_code is _CALL_HANDLERS:
            return _reaches_us(frame.f_locals.get("self"))
        frame = frame.f_back
    return False


def _reaches_us(logger: Any) -> bool:
    while logger is not None:
        if any(isinstance(handler, Bridge) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
