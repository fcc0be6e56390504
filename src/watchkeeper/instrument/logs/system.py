"""The logs of one process: their parts, put together from the settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.logs.bridge import StdlibLogging
from watchkeeper.instrument.logs.levels import NUMBERS, Thresholds, numbers
from watchkeeper.instrument.logs.limiter import Gate, Rules, Summary
from watchkeeper.instrument.logs.logger import (
    LEVELS,
    adopt_structlog,
    level_for,
    route,
)
from watchkeeper.instrument.logs.pipeline import LogPipeline, Options
from watchkeeper.instrument.logs.sink import Sink
from watchkeeper.instrument.logs.uncaught import Uncaught
from watchkeeper.instrument.logs.upkeep import Upkeep
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.recorder import LogRecord
from watchkeeper.instrument.settings import Settings

__all__ = ["LogSystem"]

_UNCAUGHT = "py.uncaught"
"""Logger of exceptions that nobody caught, named after the standard library's ``py.warnings``."""


class LogSystem:
    """Pipeline, levels, limits and what we changed in the interpreter; `install` begins it.

    Args:
        settings: The settings in force.
        clock: Where time comes from.
        metrics: Where lines that were lost or held back are counted.
        emit: Takes the OTLP records.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        metrics: MetricSet,
        emit: Callable[[LogRecord], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._dropped = metrics.counter("watchkeeper.telemetry.dropped")
        self.upkeep = Upkeep()
        self.gate = self._new_gate(metrics)
        self.pipeline = self._new_pipeline(emit)
        self.stdlib = StdlibLogging()
        self.thresholds = Thresholds(NUMBERS[settings.log_level], numbers(settings.log_levels))
        self._uncaught = Uncaught(self._write_uncaught)
        self.upkeep.add(self._tell_of_floods)

    def install(self) -> None:
        """Take over loggers, the standard library's logging and uncaught exceptions."""
        route(self.pipeline, self.thresholds)
        self.stdlib.install(self.thresholds.default)
        self.stdlib.set_levels(self.thresholds)
        self._uncaught.install()
        adopt_structlog()

    def uninstall(self) -> None:
        """Put everything back, and tell of what was held back and not told of yet."""
        self.upkeep.stop()
        with guard("shutdown.logs"):
            self._summarise(self.gate.rest())
        self._uncaught.uninstall()
        self.stdlib.uninstall()
        route(None, LEVELS["info"].number)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.gate.after_fork()
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

    def _new_pipeline(self, emit: Callable[[LogRecord], None]) -> LogPipeline:
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
            ),
            sink,
            now_ns=self._clock.now_ns,
            emit=emit,
            failed=self._dropped.child(("logs", "entry_failed")).inc,
            gate=self.gate,
        )

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
