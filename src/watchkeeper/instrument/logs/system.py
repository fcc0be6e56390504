"""The logs of one process: their parts, put together from the settings."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.logs.admin import PATH, level_page
from watchkeeper.instrument.logs.archive import Archive
from watchkeeper.instrument.logs.bridge import StdlibLogging
from watchkeeper.instrument.logs.control import LevelControl
from watchkeeper.instrument.logs.file import LogFile
from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.logs.limiter import Gate, Rules, Summary
from watchkeeper.instrument.logs.logger import (
    LEVELS,
    adopt_structlog,
    level_for,
    release_structlog,
    route,
    set_levels,
)
from watchkeeper.instrument.logs.pipeline import LogPipeline, Options
from watchkeeper.instrument.logs.signals import LevelSignal
from watchkeeper.instrument.logs.sink import Sink
from watchkeeper.instrument.logs.uncaught import Uncaught
from watchkeeper.instrument.logs.upkeep import Upkeep
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.pages import Pages
from watchkeeper.instrument.recorder import LogFields
from watchkeeper.instrument.redaction import Redactor
from watchkeeper.instrument.settings import Settings, log_levels_again

__all__ = ["LogSystem"]

_LOGGER = logging.getLogger("watchkeeper")
_UNCAUGHT = "py.uncaught"
"""Logger of exceptions that nobody caught, named after the standard library's ``py.warnings``."""


class LogSystem:
    """Pipeline, levels, limits and what we changed in the interpreter; `install` begins it.

    Args:
        settings: The settings in force.
        clock: Where time comes from.
        metrics: Where lines that were lost or held back are counted.
        emit: Takes the OTLP records.
        redactor: Masks secrets; by default as the default settings say.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        metrics: MetricSet,
        emit: Callable[[LogFields], None],
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor
        self._settings = settings
        self._clock = clock
        self._dropped = metrics.counter("watchkeeper.telemetry.dropped")
        self.upkeep = Upkeep()
        self._file = self._new_file()
        self._archive = self._new_archive()
        self._set_aside = 0
        self.gate = self._new_gate(metrics)
        self.pipeline = self._new_pipeline(emit)
        self.stdlib = StdlibLogging()
        self._levels = LevelControl(
            settings.log_level,
            settings.log_levels,
            now_ns=clock.now_ns,
            file=_levels_file(settings) if settings.admin_token else None,
            apply=self._use_levels,
            levels_max=settings.log_levels_max,
        )
        self.thresholds = self._levels.thresholds
        self.pages: Pages = (
            {PATH: level_page(self._levels, settings.admin_token)} if settings.admin_token else {}
        )
        self._signal = (
            LevelSignal(settings.log_level_signal, self._ask_for_levels)
            if settings.log_level_signal
            else None
        )
        self._asked = False
        self._installed = False
        self._uncaught = Uncaught(self._write_uncaught)
        self.upkeep.add(self._tell_of_floods)
        self.upkeep.add(self._tend_files)
        self.upkeep.add(self._follow_levels)

    def install(self) -> None:
        """Take over loggers, the standard library's logging and uncaught exceptions."""
        route(self.pipeline, self.thresholds)
        self.stdlib.install(self.thresholds.default)
        self.stdlib.set_levels(self.thresholds)
        self._uncaught.install()
        adopt_structlog()
        if self._signal is not None and not self._signal.install():
            _LOGGER.warning(
                "watchkeeper: log_level_signal is not in force: handlers can be installed in the "
                "main thread only. Call watchkeeper.configure() there."
            )
        self._installed = True
        if self.pages:
            # Changes that an earlier process made are still in force.
            self._levels.poll()
        if self.pages or self._file is not None or self._signal is not None:
            self.upkeep.start()

    def uninstall(self) -> None:
        """Put everything back, and tell of what was held back and not told of yet."""
        self.upkeep.stop()
        with guard("shutdown.logs"):
            self._summarise(self.gate.rest())
        self._installed = False
        if self._signal is not None:
            self._signal.uninstall()
        self._uncaught.uninstall()
        self.stdlib.uninstall()
        release_structlog()
        route(None, LEVELS["info"].number)
        if self._file is not None:
            self._file.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        if self._file is not None:
            self._file.after_fork()
        self.gate.after_fork()
        self._levels.after_fork()
        self.upkeep.after_fork()

    def _new_gate(self, metrics: MetricSet) -> Gate:
        settings = self._settings
        counter = metrics.counter("watchkeeper.logs.suppressed")
        suppressed = {reason: counter.child((reason,)) for reason in ("rate", "repeat", "sampled")}
        return Gate(
            Rules(
                burst_lines=settings.log_burst_lines_max,
                lines_per_s=settings.log_lines_per_s_max,
                repeats=settings.log_repeats_max,
                events=settings.log_events_max,
                rates=settings.log_sampling,
            ),
            count=lambda reason: suppressed[reason].inc(),
            chance=random.random,
            holding=self.upkeep.start,
        )

    def _new_pipeline(self, emit: Callable[[LogFields], None]) -> LogPipeline:
        settings = self._settings
        sink = Sink(settings.log_stream, self._dropped.child(("logs", "stream_closed")).inc)
        console = settings.log_format == "console" or (
            settings.log_format == "auto" and sink.is_terminal()
        )
        static = {
            "service": settings.service,
            "version": settings.version,
            "environment": settings.environment,
        }
        return LogPipeline(
            Options(
                static={name: value for name, value in static.items() if value},
                console=console,
                color=settings.log_color and sink.is_terminal(),
                line_bytes_max=settings.log_line_bytes_max,
                value_chars_max=settings.attribute_value_chars_max,
                fields_max=settings.log_fields_max,
                stdout=settings.log_stdout,
            ),
            sink,
            now_ns=self._clock.now_ns,
            emit=emit,
            failed=self._dropped.child(("logs", "entry_failed")).inc,
            gate=self.gate,
            file=None if self._file is None else self._file.write,
            redactor=self._redactor,
        )

    def _new_file(self) -> LogFile | None:
        settings = self._settings
        if not settings.log_file:
            return None
        return LogFile(
            Path(settings.log_file).absolute(),
            bytes_max=settings.log_file_bytes_max,
            period_s=settings.log_file_rotate,
            lost=self._dropped.child(("logs", "file_failed")).inc,
            fallback=None if settings.log_stdout else _to_stderr,
        )

    def _new_archive(self) -> Archive | None:
        settings = self._settings
        if self._file is None:
            return None
        return Archive(
            self._file.path,
            compress=settings.log_file_compress,
            days_max=settings.log_file_days_max,
            bytes_max=settings.log_file_total_bytes_max,
        )

    def _tend_files(self) -> None:
        if self._file is None or self._archive is None:
            return
        now_ns = self._clock.now_ns()
        self._file.look(now_ns)
        soon, self._set_aside = self._file.set_aside != self._set_aside, self._file.set_aside
        self._archive.tend(now_ns, soon=soon)

    def _use_levels(self, levels: Thresholds, source: str) -> None:
        self.thresholds = levels
        if not self._installed:
            return
        set_levels(levels)
        self.stdlib.set_levels(levels)
        self.pipeline.write(
            LEVELS["info"],
            "watchkeeper",
            "log.levels",
            {"log.levels.source": source, "log.levels.changed": self._levels.described()},
            event_name="log.levels",
        )

    def _ask_for_levels(self) -> None:
        # In a signal handler, in the middle of any code: the thread, which runs already, does it.
        self._asked = True
        self.upkeep.wake()

    def _follow_levels(self) -> None:
        if self._asked:
            self._asked = False
            self._levels.restart(*log_levels_again(self._settings))
        if self.pages:
            self._levels.poll()

    def _tell_of_floods(self) -> None:
        self._summarise(self.gate.over(self._clock.now_ns()))

    def _summarise(self, summaries: list[Summary]) -> None:
        for summary in summaries:
            self.pipeline.write(
                level_for(summary.number),
                summary.logger,
                "log.suppressed",
                {
                    "log.suppressed.event": summary.event,
                    "log.suppressed.lines": summary.lines,
                },
                event_name="log.suppressed",
            )

    def _write_uncaught(
        self, level: str, event: str, fields: Mapping[str, object], error: BaseException
    ) -> None:
        self.pipeline.write(LEVELS[level], _UNCAUGHT, event, fields, error)


def _to_stderr(line: bytes) -> None:
    # Where that fails too nothing is left; the line is counted already.
    with contextlib.suppress(Exception):
        sys.stderr.write(line.decode("utf-8", "replace"))


def _levels_file(settings: Settings) -> Path | None:
    """Return where the processes of this service and environment, under this user, keep changes."""
    if not settings.home:
        return None
    whole = f"{settings.service}/{settings.environment}"
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", whole)[:80]
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:8]
    return Path(settings.home, "levels", f"{slug}-{digest}.json")
