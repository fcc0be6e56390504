"""The settings of the logs: which lines, in what form, where to, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TextIO

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.row import limit_row, row
from watchkeeper.instrument.settings.tracing import TraceSettings

__all__ = ["LogSettings"]

_ON = True


@dataclass(frozen=True, slots=True)
class LogSettings(TraceSettings):
    """The part of the table that the logs read."""

    log_level: str = row(
        "info",
        "Least severe level that is logged.",
        parse.log_level,
        "WATCHKEEPER_LOG_LEVEL",
    )
    log_levels: Mapping[str, str] = row(
        MappingProxyType({}),
        "Levels of single loggers and what is below them, `name=level,…`; the longest name wins.",
        parse.levels,
        "WATCHKEEPER_LOG_LEVELS",
    )
    log_level_signal: str = row(
        "",
        "Signal on which `log_level` and `log_levels` are read again from the settings file, "
        "`SIGUSR2` for example; empty installs no handler.",
        parse.signal_name,
        "WATCHKEEPER_LOG_LEVEL_SIGNAL",
    )
    log_sampling: Mapping[str, float] = row(
        MappingProxyType({}),
        "Share of lines of chatty events that is kept, `event=share,…`; warnings always pass.",
        parse.rates,
        "WATCHKEEPER_LOG_SAMPLING",
    )
    log_format: str = row(
        "auto",
        "`json`, `console`, or `auto`: console on a terminal, JSON elsewhere.",
        parse.one_of("auto", "json", "console"),
        "WATCHKEEPER_LOG_FORMAT",
    )
    log_stream: TextIO | None = row(  # noqa: RUF009 - a field like the others, its type hides it
        None,
        "Where log lines go; None is the standard output.",
        parse.stream,
    )
    log_color: bool = row(
        _ON,
        "Colour console lines on a terminal; `NO_COLOR` turns it off too.",
        parse.boolean,
        "WATCHKEEPER_LOG_COLOR",
    )
    log_stdout: bool = row(
        _ON,
        "Write log lines to the standard output, or to `log_stream`; turn it off to write "
        "`log_file` alone.",
        parse.boolean,
        "WATCHKEEPER_LOG_STDOUT",
    )
    log_file: str = row(
        "",
        "File that gets every log line as JSON; any number of processes may write the same.",
        parse.text,
        "WATCHKEEPER_LOG_FILE",
    )
    log_file_rotate: int = row(
        0,
        "Time after which a new log file begins: `hourly`, `daily` (UTC) or seconds; by default "
        "only its size counts.",
        parse.rotation,
        "WATCHKEEPER_LOG_FILE_ROTATE",
    )
    log_file_compress: bool = row(
        _ON,
        "Compress log files that nobody writes to any more.",
        parse.boolean,
        "WATCHKEEPER_LOG_FILE_COMPRESS",
    )
    admin_token: str = row(
        "",
        "Token that allows changing log levels over HTTP; while it is empty there is no such "
        "endpoint.",
        parse.text,
        "WATCHKEEPER_ADMIN_TOKEN",
        secret=True,
    )
    log_line_bytes_max: int = limit_row("log_line_bytes_max")
    log_fields_max: int = limit_row("log_fields_max", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT")
    log_burst_lines_max: int = limit_row("log_burst_lines_max")
    log_lines_per_s_max: int = limit_row("log_lines_per_s_max")
    log_repeats_max: int = limit_row("log_repeats_max")
    log_events_max: int = limit_row("log_events_max")
    log_levels_max: int = limit_row("log_levels_max")
    log_file_bytes_max: int = limit_row("log_file_bytes_max")
    log_file_days_max: int = limit_row("log_file_days_max")
    log_file_total_bytes_max: int = limit_row("log_file_total_bytes_max")
