"""What a span costs in CPU time: the recorder against the OpenTelemetry SDK, and the ways of sampling.

Prints one line per operation and round, the ratios of the medians, and one JSON object at the end.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.recorder import (
    HeadSampler,
    Outcome,
    RandomIds,
    RecordedSpan,
    Recorder,
    RecorderLimits,
    Signal,
    TailSampler,
)
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.encode import BatchEncoder, SpanFields, TraceEncoder

ROUNDS = 7
SPANS = 2_000
TRACES = 1_000
WARM_UP = 200
"""Traces until the tail knows what is usual for the route."""
RESOURCE: dict[str, AttributeValue] = {"service.name": "bench", "service.instance.id": "1"}
NAME = "GET /items/{item_id}"


def attributes(number: int) -> dict[str, AttributeValue]:
    """Return the eight attributes of an HTTP server span."""
    return {
        "http.request.method": "GET",
        "http.route": "/items/{item_id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": f"/items/{number % 500}",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "network.protocol.version": "1.1",
    }


class Discard(SpanExporter):
    """Takes the SDK's spans and does nothing with them."""

    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - the interface
        """Succeed."""
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""


class DiscardBytes:
    """Takes the recorder's batches and does nothing with them."""

    def export(self, signal: Signal, body: bytes, items: int) -> Outcome:  # noqa: ARG002 - the interface
        """Succeed."""
        return Outcome("delivered")

    def after_fork(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def sdk_provider() -> TracerProvider:
    """Return an SDK provider whose worker does not run during a round."""
    provider = TracerProvider(resource=Resource(RESOURCE), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(
            Discard(),
            max_queue_size=SPANS * 4,
            max_export_batch_size=SPANS * 4,
            schedule_delay_millis=600_000,
        )
    )
    return provider


def new_recorder(ratio: float = 1.0) -> Recorder:
    """Return a recorder whose worker does not run during a round."""
    return Recorder(
        RESOURCE,
        clock=SystemClock(),
        ids=RandomIds(),
        exporter=DiscardBytes(),
        sampler_ratio=ratio,
        interval_s=600.0,
        limits=RecorderLimits(batch_items_max=SPANS * 4),
    )


def timed(work: Callable[[int], object]) -> float:
    """Return the CPU microseconds of one call, the attributes' own cost left out."""
    gc.collect()
    before = time.thread_time_ns()
    for number in range(SPANS):
        attributes(number)
    own = time.thread_time_ns() - before
    before = time.thread_time_ns()
    for number in range(SPANS):
        work(number)
    return (time.thread_time_ns() - before - own) / SPANS / 1_000


def span_rounds() -> dict[str, list[float]]:
    """Time the start and end of spans."""
    took: dict[str, list[float]] = {"sdk": [], "api": [], "trusted": [], "unsampled": []}
    for _ in range(ROUNDS):
        provider, recorder, unsampled = sdk_provider(), new_recorder(), new_recorder(0.0)
        took["sdk"].append(timed(through(provider.get_tracer("bench"))))
        took["api"].append(timed(through(recorder.tracer_provider.get_tracer("bench"))))
        recorder.flush(30.0)
        took["trusted"].append(timed(directly(recorder)))
        took["unsampled"].append(timed(directly(unsampled)))
        provider.shutdown()
        recorder.shutdown(30.0)
    return took


def through(tracer: Tracer) -> Callable[[int], None]:
    """Return the work of one span through the OpenTelemetry API."""
    return lambda n: tracer.start_span(NAME, kind=SpanKind.SERVER, attributes=attributes(n)).end()


def directly(recorder: Recorder) -> Callable[[int], None]:
    """Return the work of one span as our own integrations do it."""
    return lambda n: recorder.start(NAME, SpanKind.SERVER, attributes(n)).end()


def sampled_recorder(ratio: float, *, tail: bool) -> Recorder:
    """Return a recorder with the sampling that the settings make, whose worker waits."""
    clock = SystemClock()
    head = HeadSampler(ratio)
    return Recorder(
        RESOURCE,
        clock=clock,
        ids=RandomIds(),
        exporter=DiscardBytes(),
        sampler=head,
        tail=TailSampler(monotonic_ns=clock.monotonic_ns) if tail else None,
        interval_s=600.0,
        limits=RecorderLimits(batch_items_max=SPANS * 4),
    )


def sampling_rounds() -> dict[str, list[float]]:
    """Time traces of a server span and three children by sampling, encoding included."""
    ways = {"all": (1.0, False), "tenth": (0.1, False), "tenth_tail": (0.1, True)}
    took: dict[str, list[float]] = {
        f"{name}{part}": [] for name in ways for part in ("", "_encoded")
    }
    for _ in range(ROUNDS):
        for name, (ratio, tail) in ways.items():
            recorder = sampled_recorder(ratio, tail=tail)
            work = traced(recorder)
            for number in range(WARM_UP):
                work(number)
            recorder.flush(30.0)
            gc.collect()
            before = time.process_time_ns()
            for number in range(TRACES):
                work(number)
            took[name].append((time.process_time_ns() - before) / TRACES / 1_000)
            recorder.flush(30.0)
            took[f"{name}_encoded"].append((time.process_time_ns() - before) / TRACES / 1_000)
            recorder.shutdown(30.0)
    return took


def traced(recorder: Recorder) -> Callable[[int], None]:
    """Return the work of one trace."""

    def work(number: int) -> None:
        root = recorder.start(NAME, SpanKind.SERVER, attributes(number))
        token = activate(root)
        for _ in range(3):
            recorder.start("SELECT", SpanKind.CLIENT, {"db.operation.name": "SELECT"}).end()
        deactivate(token)
        root.end()

    return work


def encode_rounds() -> dict[str, list[float]]:
    """Time the encoding of the same spans, serialisation included."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(RESOURCE), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("bench")
    recorder = new_recorder()
    own: list[RecordedSpan] = []
    for number in range(SPANS):
        tracer.start_span(NAME, kind=SpanKind.SERVER, attributes=attributes(number)).end()
        own.append(recorder.start(NAME, SpanKind.SERVER, attributes(number)))
        own[-1].end()
    theirs: tuple[ReadableSpan, ...] = memory.get_finished_spans()
    took: dict[str, list[float]] = {"sdk": [], "own": []}
    encoder: BatchEncoder[RecordedSpan | SpanFields] = BatchEncoder(
        TraceEncoder(), RESOURCE, items_max=SPANS, bytes_max=1 << 30
    )
    for _ in range(ROUNDS):
        gc.collect()
        before = time.thread_time_ns()
        encode_spans(theirs).SerializeToString()
        took["sdk"].append((time.thread_time_ns() - before) / SPANS / 1_000)
        before = time.thread_time_ns()
        encoder.encode(own)
        took["own"].append((time.thread_time_ns() - before) / SPANS / 1_000)
    recorder.shutdown(30.0)
    return took


def main() -> None:
    """Run everything and print the figures."""
    spans, encoding, sampling = span_rounds(), encode_rounds(), sampling_rounds()
    rows = {f"span_{name}": took for name, took in spans.items()}
    rows |= {f"encode_{name}": took for name, took in encoding.items()}
    rows |= {f"trace_{name}": took for name, took in sampling.items()}
    result: dict[str, float] = {}
    for name, took in rows.items():
        best, median = min(took), statistics.median(took)
        print(f"{name:24} best {best:7.2f} µs   median {median:7.2f} µs")
        result[f"{name}_us"] = round(median, 3)
    ratios = {
        "span_ratio_trusted": result["span_sdk_us"] / result["span_trusted_us"],
        "span_ratio_api": result["span_sdk_us"] / result["span_api_us"],
        "encode_ratio": result["encode_sdk_us"] / result["encode_own_us"],
        "tail_to_all": result["trace_tenth_tail_us"] / result["trace_all_us"],
        "tail_to_tenth": result["trace_tenth_tail_us"] / result["trace_tenth_us"],
        "tail_to_all_encoded": (
            result["trace_tenth_tail_encoded_us"] / result["trace_all_encoded_us"]
        ),
        "tail_to_tenth_encoded": (
            result["trace_tenth_tail_encoded_us"] / result["trace_tenth_encoded_us"]
        ),
    }
    for name, ratio in ratios.items():
        print(f"{name:22} {ratio:6.2f} times")
        result[name] = round(ratio, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
