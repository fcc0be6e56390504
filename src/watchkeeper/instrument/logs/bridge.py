"""Records of the standard library's ``logging``, in the same shape and exactly once."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.logs.logger import LEVELS, active, level_for
from watchkeeper.instrument.logs.reconfigured import after_basic_config, after_config

__all__ = ["RELAY", "Bridge", "StdlibLogging"]

_SERVERS = (
    "uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "hypercorn.error",
    "django", "django.server", "celery.task",
)  # fmt: skip
"""Loggers of servers and frameworks that bring handlers of their own, or do not propagate."""
_ACCESS = ("uvicorn.access", "gunicorn.access", "hypercorn.access")
_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""Attributes of every record; the others are the caller's ``extra``."""
_LEVELS = {level.number: level for level in LEVELS.values()}
_STRUCTLOG = frozenset({"event", "level", "logger", "timestamp", "exc_info", "stack_info"})
"""Keys of a structlog entry that a line of ours has in its own form."""


class _Relay(threading.local):
    on = False


RELAY = _Relay()
"""``on`` while another library's sink hands ``logging`` a record that we have written already."""


class Bridge(logging.Handler):
    """Hands records to the pipeline that is active at that moment."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write one record that passes the filters; without a lock, which the pipeline does not need."""
        passed: Any = self.filter(record) if self.filters else True
        if passed:
            # A filter may put another record in its place.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; never raises."""
        if RELAY.on and "extra" in record.__dict__:
            return
        message = template = record.msg
        if type(message) is dict and "event" in message:
            # What structlog's ``wrap_for_formatter`` leaves to the handler to render.
            _write_event_dict(record, message)
            return
        is_plain = type(record) is logging.LogRecord
        if record.args or type(message) is not str or not is_plain:
            try:
                message = record.getMessage()
            except Exception:  # noqa: BLE001 - arguments that do not fit the message, or cannot be shown
                message = record.msg
        values = record.__dict__
        fields: dict[str, object] = {}
        if not is_plain or len(values) > _STANDARD_COUNT:
            # What callers add comes behind what every record has.
            given = values.items()
            more = islice(given, _STANDARD_COUNT, None) if is_plain else given
            fields = {name: value for name, value in more if name not in _STANDARD}
        number = record.levelno
        active().write(
            _LEVELS.get(number) or level_for(number),
            record.name,
            message,
            fields,
            record.exc_info,
            int(record.created * 1e9),
            "",
            template if type(template) is str else "",
        )


def _write_event_dict(record: logging.LogRecord, given: dict[str, object]) -> None:
    fields = {key: value for key, value in given.items() if key not in _STRUCTLOG}
    active().write(
        level_for(record.levelno),
        record.name,
        given["event"],
        fields,
        record.exc_info or given.get("exc_info"),
        int(record.created * 1e9),
    )


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's signature
        return False


class StdlibLogging:
    """What we changed in ``logging``, so that it can be put back.

    Plain stream handlers of the root logger that write to the standard streams, and those of
    servers, would print every line twice; they are set aside. Handlers that write files or
    send records elsewhere stay.
    """

    def __init__(self) -> None:
        self._bridge = Bridge()
        self._silence = _Silence()
        self._set_aside: list[tuple[logging.Logger, logging.Handler]] = []
        self._propagate: list[tuple[logging.Logger, bool]] = []
        self._level: int | None = None
        self._captures = False
        self._levels: dict[str, int] = {}
        self._thresholds: Thresholds | None = None
        self._undo: list[Callable[[], None]] = []

    def install(self, threshold: int) -> None:
        """Put the bridge on the root logger, take over servers' loggers and capture warnings."""
        root = logging.getLogger()
        self._level = root.level
        self._take_handlers(root)
        root.addHandler(self._bridge)
        root.setLevel(threshold)
        self.take_over()
        self._captures = logging._warnings_showwarning is None  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to see whether someone captures already
        logging.captureWarnings(capture=True)
        self._undo.append(after_basic_config(self.reclaim))

    def watch_config(self, config: Any) -> None:
        """Hear of what the application configures by the module ``logging.config``, just imported."""
        self._undo.append(after_config(config, self.reclaim))

    def reclaim(self) -> None:
        """Take over again, after the application or a server has configured ``logging`` anew."""
        if self._level is None:
            return
        root = logging.getLogger()
        if self._bridge not in root.handlers:
            # What was there before is gone by the application's own will.
            self._set_aside = [kept for kept in self._set_aside if kept[0] is not root]
            self._level = root.level
            self._take_handlers(root)
            root.addHandler(self._bridge)
        self.take_over()
        if self._thresholds is not None:
            for name in ("watchkeeper", *self._thresholds.trees):
                # Off by ``disable_existing_loggers``, whose author did not know that they exist.
                logging.getLogger(name).disabled = False
            self.set_levels(self._thresholds)

    def set_levels(self, levels: Thresholds) -> None:
        """Give the root logger and the roots of trees their levels; others get theirs back.

        Below them ``logging`` itself finds the longest name that fits. A logger that the
        application gave a level of its own keeps it, unless it is named here.
        """
        self._thresholds = levels
        for name in [name for name in self._levels if name not in levels.trees]:
            logging.getLogger(name).setLevel(self._levels.pop(name))
        for name, number in levels.trees.items():
            logger = logging.getLogger(name)
            self._levels.setdefault(name, logger.level)
            logger.setLevel(number)
        logging.getLogger().setLevel(levels.default)

    def take_over(self, names: Iterable[str] = _SERVERS) -> None:
        """Route loggers that have handlers of their own through the root logger.

        Servers may configure logging after us; call this again once one is running.
        """
        for name in names:
            logger = logging.getLogger(name)
            self._take_handlers(logger)
            if not logger.propagate:
                self._propagate.append((logger, False))
                logger.propagate = True

    def silence_access_log(self) -> None:
        """Drop the access lines of servers: our middleware writes one for each request."""
        for name in _ACCESS:
            logging.getLogger(name).addFilter(self._silence)

    def uninstall(self) -> None:
        """Put everything back."""
        for undo in self._undo:
            undo()
        root = logging.getLogger()
        root.removeHandler(self._bridge)
        for logger, handler in self._set_aside:
            logger.addHandler(handler)
        for logger, propagate in self._propagate:
            logger.propagate = propagate
        for name in _ACCESS:
            logging.getLogger(name).removeFilter(self._silence)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._levels = {}
        self._thresholds, self._undo = None, []
        if self._level is not None:
            root.setLevel(self._level)
        if self._captures:
            logging.captureWarnings(capture=False)
        self._set_aside, self._propagate, self._level, self._captures = [], [], None, False

    def _take_handlers(self, logger: logging.Logger) -> None:
        for handler in list(logger.handlers):
            stream = getattr(handler, "stream", None)
            standard = stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
            if type(handler) is logging.StreamHandler and standard and stream is not None:
                logger.removeHandler(handler)
                self._set_aside.append((logger, handler))
