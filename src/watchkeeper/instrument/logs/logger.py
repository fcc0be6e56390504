"""The logger of applications: structlog's interface, without its cost at import.

`Logger` takes structured events as structlog's bound loggers do (`bind`, `unbind`, `new`, keyword
fields, ``%`` arguments, ``a…`` variants), so code written for them runs unchanged, and structlog is
told to hand it out where the application uses structlog itself (see `adopt_structlog`). It stands
directly upon the pipeline: importing structlog takes longer than all of this package, since it
brings asyncio and, where installed, rich.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.logs.pipeline import Level, LogPipeline, Options
from watchkeeper.instrument.logs.sink import Sink
from watchkeeper.vocabulary.limits import limit

__all__ = [
    "LEVELS",
    "Logger",
    "active",
    "adopt_structlog",
    "get_logger",
    "is_enabled",
    "least_level",
    "level_for",
    "release_structlog",
    "route",
    "routed",
    "set_levels",
    "watch_levels",
]

_DEBUG = Level("debug", "DEBUG", 10, 5)
_INFO = Level("info", "INFO", 20, 9)
_WARNING = Level("warning", "WARNING", 30, 13)
_ERROR = Level("error", "ERROR", 40, 17)
_CRITICAL = Level("critical", "CRITICAL", 50, 21)

LEVELS: Mapping[str, Level] = {
    level.name: level for level in (_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL)
}
"""Levels by name; severities are those of OpenTelemetry's logs data model."""


def level_for(number: int) -> Level:
    """Return the highest of our levels that is at most a number of the standard library."""
    if number >= 40:
        return _CRITICAL if number >= 50 else _ERROR
    if number >= 30:
        return _WARNING
    return _INFO if number >= 20 else _DEBUG


def _plain_pipeline() -> LogPipeline:
    options = Options(
        static={},
        console=False,
        color=False,
        line_bytes_max=limit("log_line_bytes_max"),
        value_chars_max=limit("attribute_value_chars_max"),
    )
    clock = SystemClock()
    return LogPipeline(
        options,
        Sink(None, lambda: None),
        now_ns=clock.now_ns,
        emit=None,
        failed=lambda: None,
    )


class _Route:
    """Where every logger's entries go; loggers made earlier follow a change."""

    def __init__(self) -> None:
        self.pipeline = _plain_pipeline()
        self.thresholds = Thresholds(_INFO.number)
        self.watchers: list[Callable[[], None]] = []


_ROUTE = _Route()


def route(pipeline: LogPipeline | None, levels: Thresholds | int) -> None:
    """Send the entries of all loggers to *pipeline*; None writes plain JSON lines again.

    Args:
        pipeline: Where entries go.
        levels: Entries below these are dropped at once: a table for each logger, or one number of
            the standard library's levels for all.
    """
    _ROUTE.pipeline = _plain_pipeline() if pipeline is None else pipeline
    set_levels(Thresholds(levels) if isinstance(levels, int) else levels)


def routed() -> tuple[LogPipeline, Thresholds]:
    """Return where entries go now and the levels in force, for a later `route` back."""
    return _ROUTE.pipeline, _ROUTE.thresholds


def set_levels(levels: Thresholds) -> None:
    """Drop entries below *levels* from now on."""
    _ROUTE.thresholds = levels
    for watcher in list(_ROUTE.watchers):
        watcher()


def watch_levels(callback: Callable[[], None]) -> Callable[[], None]:
    """Call *callback* whenever levels have changed; returns a function that ends it."""
    _ROUTE.watchers.append(callback)
    return lambda: _ROUTE.watchers.remove(callback)


def least_level() -> int:
    """Return the least level, a number of the standard library, that passes for some logger."""
    levels = _ROUTE.thresholds
    return min(levels.default, *levels.trees.values()) if levels.trees else levels.default


def is_enabled(name: str, number: int) -> bool:
    """Return whether entries of the logger *name* at a level of the standard library pass."""
    return number >= _ROUTE.thresholds[name]


def active() -> LogPipeline:
    """Return where entries go now."""
    return _ROUTE.pipeline


class Logger:
    """Writes structured events: ``log.info("order.paid", order_id=17)``.

    Immutable: `bind` returns a new logger. Keywords with a meaning of their own are ``exc_info``
    (as in the standard library) and ``stack_info`` (ignored, an exception's frames are recorded).

    Args:
        name: Name of the logger, or "".
        context: Fields of every entry.
    """

    __slots__ = ("_context", "_name")

    def __init__(self, name: str = "", context: Mapping[str, object] | None = None) -> None:
        self._name = name
        self._context: Mapping[str, object] = context or {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} {dict(self._context)!r}>"

    def bind(self, /, **fields: object) -> Logger:
        """Return a logger with *fields* in every entry."""
        return Logger(self._name, {**self._context, **fields})

    def unbind(self, *names: str) -> Logger:
        """Return a logger without these fields.

        Raises:
            KeyError: A field is not bound.
        """
        rest = dict(self._context)
        for name in names:
            del rest[name]
        return Logger(self._name, rest)

    def try_unbind(self, *names: str) -> Logger:
        """Return a logger without these fields; those that are not bound do not matter."""
        return Logger(self._name, {k: v for k, v in self._context.items() if k not in names})

    def new(self, /, **fields: object) -> Logger:
        """Return a logger with these fields only."""
        return Logger(self._name, fields)

    def debug(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at level debug."""
        if _ROUTE.thresholds[self._name] <= 10:
            self._log(_DEBUG, event, args, fields)

    def info(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at level info."""
        if _ROUTE.thresholds[self._name] <= 20:
            self._log(_INFO, event, args, fields)

    def warning(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at level warning."""
        if _ROUTE.thresholds[self._name] <= 30:
            self._log(_WARNING, event, args, fields)

    def error(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at level error."""
        if _ROUTE.thresholds[self._name] <= 40:
            self._log(_ERROR, event, args, fields)

    def critical(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at level critical."""
        self._log(_CRITICAL, event, args, fields)

    def exception(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at level error, with the exception that is being handled."""
        fields.setdefault("exc_info", True)
        self._log(_ERROR, event, args, fields)

    def log(self, level: int, event: object = "", /, *args: object, **fields: object) -> None:
        """Log at a numeric level of the standard library."""
        if level >= _ROUTE.thresholds[self._name]:
            self._log(level_for(level), event, args, fields)

    async def adebug(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Do as `debug`; an entry takes microseconds, so nothing is awaited."""
        self.debug(event, *args, **fields)

    async def ainfo(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Do as `info`."""
        self.info(event, *args, **fields)

    async def awarning(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Do as `warning`."""
        self.warning(event, *args, **fields)

    async def aerror(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Do as `error`."""
        self.error(event, *args, **fields)

    async def acritical(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Do as `critical`."""
        self.critical(event, *args, **fields)

    async def aexception(self, event: object = "", /, *args: object, **fields: object) -> None:
        """Do as `exception`."""
        self.exception(event, *args, **fields)

    warn = warning
    fatal = critical
    msg = info

    def _log(
        self, level: Level, event: object, args: tuple[object, ...], fields: dict[str, object]
    ) -> None:
        exc_info = fields.pop("exc_info", None)
        fields.pop("stack_info", None)
        template = ""
        if type(event) is str and not event and "event" in fields:
            # structlog takes the event as a keyword too.
            event = fields.pop("event")
        if args:
            template = event if type(event) is str else ""
            event = _filled(event, args)
        if self._context:
            fields = {**self._context, **fields}
        if "structlog" in sys.modules:
            fields = {**_structlog_context(), **fields}
        _ROUTE.pipeline.write(level, self._name, event, fields, exc_info, 0, "", template)


def get_logger(name: str | None = None, **fields: object) -> Logger:
    """Return a logger; it may be made before `watchkeeper.configure` and follows it.

    Args:
        name: Shown as ``logger``; usually ``__name__``.
        fields: Bound to every entry.
    """
    return Logger(name or "", fields)


def adopt_structlog() -> bool:
    """Have structlog hand out our loggers, unless the application configured it itself.

    Returns:
        Whether it does: False if structlog is not imported, or is configured already.
    """
    structlog: Any = sys.modules.get("structlog")
    if structlog is None or structlog.is_configured():
        return False
    structlog.configure(
        processors=[],
        wrapper_class=_wrapped,
        logger_factory=lambda *names: names[0] if names and isinstance(names[0], str) else "",
        cache_logger_on_first_use=True,
    )
    return True


def release_structlog() -> None:
    """Undo `adopt_structlog`, unless the application has configured structlog since."""
    structlog: Any = sys.modules.get("structlog")
    if structlog is not None and structlog.get_config()["wrapper_class"] is _wrapped:
        structlog.reset_defaults()


def _wrapped(logger: object, processors: object, context: Mapping[str, object]) -> Logger:
    """Make a logger where structlog makes its wrapper; *logger* is what our factory returned."""
    del processors
    return Logger(str(logger), dict(context))


def _filled(event: object, args: tuple[object, ...]) -> object:
    values: Any = args
    if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        values = args[0]
    with contextlib.suppress(Exception):
        return str(event) % values
    return f"{event} {args!r}"


def _structlog_context() -> dict[str, object]:
    contextvars: Any = sys.modules.get("structlog.contextvars")
    found: dict[str, object] = {} if contextvars is None else contextvars.get_contextvars()
    return found
