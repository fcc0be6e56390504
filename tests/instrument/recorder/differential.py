"""Runs one program on the OpenTelemetry SDK and on the recorder, and levels what may differ."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.util.types import AttributeValue
from tests.instrument.recorder.collector import CountingIds, TickingClock

from watchkeeper.instrument.recorder import MemoryExporter, Recorder, RecorderLimits

__all__ = [
    "LIMITS",
    "RESOURCE",
    "Program",
    "assert_same",
    "normalised",
    "on_recorder",
    "on_sdk",
    "timeless",
]

RUN_ID = re.compile(r"lc_run--[0-9a-f-]{36}")
OWN_FRAME = re.compile(r'  File "[^"]*/watchkeeper/instrument/.*\n    .*\n(?: +[~^]+\n)?')
Program = Callable[[trace.TracerProvider], None]

RESOURCE: dict[str, AttributeValue] = {
    "service.name": "shop",
    "service.instance.id": "i-1",
    "process.pid": 42,
    "host.tags": ["a", "b"],
}
LIMITS = RecorderLimits(
    span_attributes_max=10,
    event_attributes_max=10,
    link_attributes_max=10,
    span_events_max=3,
    span_links_max=2,
    attribute_value_chars_max=200_000,
)


def on_sdk(
    program: Program, monkeypatch: pytest.MonkeyPatch, limits: RecorderLimits = LIMITS
) -> ExportTraceServiceRequest:
    """Run a program on the SDK."""
    counting = CountingIds()

    class Ids(IdGenerator):
        def generate_span_id(self) -> int:
            return counting.span_id()

        def generate_trace_id(self) -> int:
            return counting.trace_id()

        def is_trace_id_random(self) -> bool:
            return True

    monkeypatch.setattr("opentelemetry.sdk.trace.time_ns", TickingClock().now_ns)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=Resource(RESOURCE),
        id_generator=Ids(),
        shutdown_on_exit=False,
        span_limits=SpanLimits(
            max_span_attributes=limits.span_attributes_max,
            max_event_attributes=limits.span_attributes_max,
            max_link_attributes=limits.span_attributes_max,
            max_events=limits.span_events_max,
            max_links=limits.span_links_max,
        ),
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    program(provider)
    return encode_spans(exporter.get_finished_spans())


def on_recorder(program: Program, limits: RecorderLimits = LIMITS) -> ExportTraceServiceRequest:
    """Run a program on the recorder."""
    exporter = MemoryExporter()
    recorder = Recorder(
        RESOURCE, clock=TickingClock(), ids=CountingIds(), exporter=exporter, limits=limits
    )
    program(recorder.tracer_provider)
    assert recorder.shutdown(5.0)
    (body,) = exporter.bodies("traces")
    return ExportTraceServiceRequest.FromString(body)


def normalised(
    request: ExportTraceServiceRequest, *, ours: bool
) -> tuple[ExportTraceServiceRequest, list[str]]:
    """Level the three known differences, and take the tracebacks out.

    The recorder puts the trace flags into the lower eight bits of the flags of spans and links and
    the trace state into links, as trace.proto describes them; the SDK leaves both empty. Setting an
    attribute again moves it to the end in the SDK.
    """
    stacks: list[str] = []
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert span.flags & 0xFF == (3 if span.trace_id[0] == 0xAA else 1) * ours
                span.flags &= ~0xFF
                span.attributes.sort(key=lambda pair: pair.key)
                for link in span.links:
                    link.flags &= ~0xFF
                    link.trace_state = ""
                for event in span.events:
                    for pair in event.attributes:
                        if pair.key == "exception.stacktrace":
                            stacks.append(pair.value.string_value)
                            pair.value.string_value = ""
    return request, stacks


def timeless(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """Take times and the run ids of LangChain out: libraries have clocks and chance of their own."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                span.start_time_unix_nano = span.end_time_unix_nano = 0
                for event in span.events:
                    event.time_unix_nano = 0
                for pair in span.attributes:
                    if RUN_ID.search(pair.value.string_value):
                        pair.value.string_value = RUN_ID.sub("run", pair.value.string_value)
    return request


def assert_same(
    expected: tuple[ExportTraceServiceRequest, list[str]],
    seen: tuple[ExportTraceServiceRequest, list[str]],
) -> None:
    """Assert equal requests, field by field, and equal tracebacks but for the recorders' frames."""
    assert expected[0] == seen[0]
    assert len(expected[1]) == len(seen[1])
    for stack, shown in zip(expected[1], seen[1], strict=True):
        own = OWN_FRAME.sub("", shown)
        assert set(own.splitlines()) <= set(stack.splitlines())
        assert stack.splitlines()[-1] == own.splitlines()[-1]
