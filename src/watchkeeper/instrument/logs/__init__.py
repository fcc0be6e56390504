"""Logs: structured lines with trace and request ids, and the same entries as OTLP records."""

from watchkeeper.instrument.logs.api import ApiLoggerProvider
from watchkeeper.instrument.logs.bridge import StdlibLogging
from watchkeeper.instrument.logs.logger import (
    LEVELS,
    Logger,
    adopt_structlog,
    get_logger,
    level_for,
    route,
)
from watchkeeper.instrument.logs.pipeline import Level, LogPipeline, Options
from watchkeeper.instrument.logs.sink import Sink
from watchkeeper.instrument.logs.system import LogSystem

__all__ = [
    "LEVELS",
    "ApiLoggerProvider",
    "Level",
    "LogPipeline",
    "LogSystem",
    "Logger",
    "Options",
    "Sink",
    "StdlibLogging",
    "adopt_structlog",
    "get_logger",
    "level_for",
    "route",
]
