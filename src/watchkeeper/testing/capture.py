"""Telemetry captured in memory, through the same path that production takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.clock import Clock
from watchkeeper.instrument import host, redaction
from watchkeeper.instrument.logs.logger import route, routed
from watchkeeper.instrument.recorder.exporters import MemoryExporter
from watchkeeper.instrument.runtime import Runtime, build
from watchkeeper.instrument.settings import load
from watchkeeper.instrument.usage import claims
from watchkeeper.server.otlp.values import attributes
from watchkeeper.testing.clock import FixedClock
from watchkeeper.testing.ids import CountingIds

__all__ = ["Captured", "CapturedLog", "CapturedSpan", "capture"]


@dataclass(frozen=True, slots=True)
class CapturedSpan:
    """A span as it would have been exported."""

    name: str
    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str
    """Empty for a root."""
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CapturedLog:
    """A log record as it would have been exported."""

    body: str
    severity_number: int
    trace_id: str
    """Empty outside a span."""
    attributes: dict[str, Any]


class Captured:
    """What was recorded since `capture` began.

    Attributes:
        clock: The clock in force; a `FixedClock` unless another was given.
        runtime: The instrumentation itself.
    """

    def __init__(self, runtime: Runtime, exporter: MemoryExporter, clock: Clock) -> None:
        self.runtime = runtime
        self.clock = clock
        self._exporter = exporter

    @property
    def spans(self) -> list[CapturedSpan]:
        """Every ended span, in order of their ends."""
        self.runtime.flush()
        return [
            CapturedSpan(
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                span.status.code == Status.STATUS_CODE_ERROR,
                orjson.loads(attributes(span.attributes)),
            )
            for body in self._exporter.bodies("traces")
            for group in ExportTraceServiceRequest.FromString(body).resource_spans
            for scoped in group.scope_spans
            for span in scoped.spans
        ]

    @property
    def logs(self) -> list[CapturedLog]:
        """Every log record, in order."""
        self.runtime.flush()
        return [
            CapturedLog(
                record.body.string_value,
                record.severity_number,
                record.trace_id.hex(),
                orjson.loads(attributes(record.attributes)),
            )
            for body in self._exporter.bodies("logs")
            for group in ExportLogsServiceRequest.FromString(body).resource_logs
            for scoped in group.scope_logs
            for record in scoped.log_records
        ]

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples called *name* that have these labels; 0 if there is none.

        Args:
            name: The name on the wire, ``http_server_request_duration_seconds_count`` for example.
            labels: Labels that a sample must have.
        """
        page = self.runtime.metrics.exposition(openmetrics=False).decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@contextmanager
def capture(clock: Clock | None = None, **settings: Any) -> Iterator[Captured]:
    """Record into memory for the length of a ``with`` block.

    The domain functions (`watchkeeper.agent_run` and the others) and our loggers record here;
    libraries, ``logging`` among them, are instrumented by `watchkeeper.configure` only. Ids count up from 1.

    Args:
        clock: Where time comes from; a new `FixedClock` if None.
        settings: As for `watchkeeper.configure`; log lines go nowhere unless ``log_stream`` is
            given.

    Raises:
        SettingError: A setting is unknown or cannot be read.
    """
    time = clock or FixedClock()
    exporter = MemoryExporter()
    given = {"log_stream": io.StringIO(), "log_format": "json", "spool_dir": "", **settings}
    runtime = build(load(given, {}), clock=time, exporter=exporter, ids=CountingIds())
    before, way, redactor = host.current(), routed(), redaction.active()
    claims.clear()  # of an earlier capture, whose ids were the same
    host.attach(runtime)
    route(runtime.logs, runtime.log_system.thresholds)
    redaction.use(runtime.redactor)
    try:
        yield Captured(runtime, exporter, time)
    finally:
        redaction.use(redactor)
        route(*way)
        if before is None:
            host.detach()
        else:
            host.attach(before)
        runtime.stop()
