"""Spans: the OpenTelemetry trace API in, OTLP bytes out."""

from watchkeeper.instrument.recorder.console import ConsoleSpans
from watchkeeper.instrument.recorder.current import (
    CurrentSpan,
    SilentSpan,
    activate,
    deactivate,
    silence,
)
from watchkeeper.instrument.recorder.exporters import Exporter, MemoryExporter, Outcome
from watchkeeper.instrument.recorder.grpc import GrpcExporter
from watchkeeper.instrument.recorder.http import HttpExporter
from watchkeeper.instrument.recorder.ids import IdSource, RandomIds
from watchkeeper.instrument.recorder.lane import EndHook
from watchkeeper.instrument.recorder.protocols import Tail
from watchkeeper.instrument.recorder.recorder import Recorder
from watchkeeper.instrument.recorder.records import (
    LogFields,
    LogRecord,
    RecorderLimits,
    RecorderStats,
    Signal,
)
from watchkeeper.instrument.recorder.rules import Rules
from watchkeeper.instrument.recorder.sampling import HeadSampler, ParentRatioSampler, Sampler
from watchkeeper.instrument.recorder.span import (
    RecordedSpan,
    Scope,
    SpanEvent,
    SpanLink,
    Template,
)
from watchkeeper.instrument.recorder.tail import TailLimits, TailSampler

__all__ = [
    "ConsoleSpans",
    "CurrentSpan",
    "EndHook",
    "Exporter",
    "GrpcExporter",
    "HeadSampler",
    "HttpExporter",
    "IdSource",
    "LogFields",
    "LogRecord",
    "MemoryExporter",
    "Outcome",
    "ParentRatioSampler",
    "RandomIds",
    "RecordedSpan",
    "Recorder",
    "RecorderLimits",
    "RecorderStats",
    "Rules",
    "Sampler",
    "Scope",
    "Signal",
    "SilentSpan",
    "SpanEvent",
    "SpanLink",
    "Tail",
    "TailLimits",
    "TailSampler",
    "Template",
    "activate",
    "deactivate",
    "silence",
]
