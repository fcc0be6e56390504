"""One variant of the overhead benchmark, in a process of its own; started by bench/overhead.py.

The application is tests/instrument/overhead_app.py. Each variant is what its library's documentation
describes for a FastAPI application with SQLAlchemy and logging; telemetry goes to a sink in another
process. What runs and LLM calls are, a library cannot know: each variant records them by hand.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.instrument.overhead_app import CYCLE, Call, Caller, Manual, Nothing, Watchkeeper, build

_SETTLE_S = 2.0
MODEL_ATTRIBUTES = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}


class Variant(NamedTuple):
    """What a variant records by hand, what it does to the application, and how it delivers."""

    manual: Manual
    wrap: Callable[[Any], Any]
    flush: Callable[[], object]


def bare(sink: str) -> Variant:
    """Nothing is observed."""
    del sink
    return Variant(Nothing(), lambda app: app, lambda: None)


def watchkeeper(sink: str) -> Variant:
    """Logs, metrics and traces, everything sampled."""
    import watchkeeper as wk

    folder = tempfile.mkdtemp(prefix="overhead-")
    wk.configure(
        service="bench",
        endpoint=sink,
        metrics_port=0,
        spool_dir=folder,
        log_format="json",
        # A benchmark is a flood of one line; every line is to be written and paid for.
        log_burst_lines_max=10**9,
    )
    return Variant(Watchkeeper(), lambda app: app, wk.flush)


class OtelCall:
    """One LLM call, as the utilities of the GenAI instrumentations record it."""

    def __init__(self, span: Any, tokens: Any) -> None:
        self._span = span
        self._tokens = tokens

    def record_usage(self, input_tokens: int, output_tokens: int) -> None:
        """Set the tokens on the span and count them."""
        self._span.set_attribute("gen_ai.usage.input_tokens", input_tokens)
        self._span.set_attribute("gen_ai.usage.output_tokens", output_tokens)
        self._tokens.record(input_tokens, {**MODEL_ATTRIBUTES, "gen_ai.token.type": "input"})
        self._tokens.record(output_tokens, {**MODEL_ATTRIBUTES, "gen_ai.token.type": "output"})


class OtelManual:
    """Spans and histograms of the GenAI conventions through the OpenTelemetry API."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace

        self._tracer = trace.get_tracer("bench")
        meter = metrics.get_meter("bench")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage")
        self._duration = meter.create_histogram("gen_ai.client.operation.duration")
        self._agents = meter.create_histogram("gen_ai.invoke_agent.duration")

    @contextmanager
    def agent_run(self, name: str) -> Iterator[None]:
        """Surround the run of an agent by a span and a duration."""
        started = time.perf_counter()
        attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
        with self._tracer.start_as_current_span(f"invoke_agent {name}", attributes=attributes):
            yield
        self._agents.record(time.perf_counter() - started, {"gen_ai.agent.name": name})

    @contextmanager
    def llm_call(self, provider: str, model: str) -> Iterator[Call]:
        """Surround one call of an LLM by a span and a duration."""
        started = time.perf_counter()
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        with self._tracer.start_as_current_span(f"chat {model}", attributes=attributes) as span:
            yield OtelCall(span, self._tokens)
        self._duration.record(time.perf_counter() - started, MODEL_ATTRIBUTES)


def otel(sink: str, *, tuned: bool = True) -> Variant:
    """OpenTelemetry SDK and contrib for all three signals, without the ASGI send/receive spans."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink
    from opentelemetry import metrics, trace
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
        OTLPSpanExporter,
    )
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meters = MeterProvider(metric_readers=[reader])
    metrics.set_meter_provider(meters)
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(logs)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=logs))
    # It refuses SQLAlchemy 2.1 by its dependency check, and works with it.
    SQLAlchemyInstrumentor().instrument(skip_dep_check=True)

    def wrap(app: Any) -> Any:
        if tuned:
            FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])
        else:
            FastAPIInstrumentor.instrument_app(app)
        return app

    def flush() -> None:
        for provider in (traces, meters, logs):
            provider.force_flush()

    return Variant(OtelManual(), wrap, flush)


def otel_default(sink: str) -> Variant:
    """The same as its documentation has it, with the ASGI send/receive spans."""
    return otel(sink, tuned=False)


def logfire(sink: str) -> Variant:
    """Logfire, with its logging handler, FastAPI and SQLAlchemy."""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink
    import logfire as lf

    lf.configure(
        send_to_logfire=False, console=False, service_name="bench", inspect_arguments=False
    )
    logging.getLogger().addHandler(lf.LogfireLoggingHandler())
    lf.instrument_sqlalchemy(skip_dep_check=True)

    def wrap(app: Any) -> Any:
        lf.instrument_fastapi(app)
        return app

    return Variant(OtelManual(), wrap, lf.force_flush)


class SentryCall:
    """One LLM call as a Sentry span."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def record_usage(self, input_tokens: int, output_tokens: int) -> None:
        """Set the tokens on the span."""
        self._span.set_data("gen_ai.usage.input_tokens", input_tokens)
        self._span.set_data("gen_ai.usage.output_tokens", output_tokens)


class SentryManual:
    """Spans through Sentry's own API."""

    @contextmanager
    def agent_run(self, name: str) -> Iterator[None]:
        """Surround the run of an agent by a span."""
        import sentry_sdk

        with sentry_sdk.start_span(op="gen_ai.invoke_agent", name=f"invoke_agent {name}"):
            yield

    @contextmanager
    def llm_call(self, provider: str, model: str) -> Iterator[Call]:
        """Surround one call of an LLM by a span."""
        import sentry_sdk

        with sentry_sdk.start_span(op="gen_ai.chat", name=f"chat {model}") as span:
            span.set_data("gen_ai.system", provider)
            span.set_data("gen_ai.request.model", model)
            yield SentryCall(span)


def sentry(sink: str) -> Variant:
    """Sentry with traces and logs at 100 %."""
    import sentry_sdk

    host = sink.removeprefix("http://")
    sentry_sdk.init(
        dsn=f"http://0123456789abcdef0123456789abcdef@{host}/1",
        traces_sample_rate=1.0,
        enable_logs=True,
    )
    return Variant(SentryManual(), lambda app: app, sentry_sdk.flush)


class ElasticManual:
    """Spans through Elastic APM's own API."""

    @contextmanager
    def agent_run(self, name: str) -> Iterator[None]:
        """Surround the run of an agent by a span."""
        import elasticapm

        with elasticapm.capture_span(f"invoke_agent {name}", span_type="gen_ai"):
            yield

    @contextmanager
    def llm_call(self, provider: str, model: str) -> Iterator[Call]:
        """Surround one call of an LLM by a span."""
        import elasticapm

        labels = {"provider": provider, "model": model}
        with elasticapm.capture_span(f"chat {model}", span_type="gen_ai", labels=labels):
            yield ElasticCall()


class ElasticCall:
    """One LLM call as an Elastic span."""

    def record_usage(self, input_tokens: int, output_tokens: int) -> None:
        """Label the span with the tokens."""
        import elasticapm

        elasticapm.label(input_tokens=input_tokens, output_tokens=output_tokens)


def elastic(sink: str) -> Variant:
    """Elastic APM with its Starlette middleware and automatic database spans; no logs."""
    import elasticapm
    from elasticapm.contrib.starlette import ElasticAPM, make_apm_client

    client = make_apm_client({"SERVICE_NAME": "bench", "SERVER_URL": sink})
    elasticapm.instrument()

    def wrap(app: Any) -> Any:
        app.add_middleware(ElasticAPM, client=client)
        return app

    return Variant(ElasticManual(), wrap, client._transport.flush)  # noqa: SLF001 - it has no other


VARIANTS: dict[str, Callable[[str], Variant]] = {
    "bare": bare,
    "watchkeeper": watchkeeper,
    "otel": otel,
    "otel-default": otel_default,
    "logfire": logfire,
    "sentry": sentry,
    "elastic": elastic,
}


def calls_per_request(app: Any) -> float:
    """Return the function calls of one request on this thread, the mean of two cycles."""
    count = 0

    def profiler(frame: object, event: str, argument: object) -> None:
        nonlocal count
        del frame, argument
        if event in ("call", "c_call"):
            count += 1

    async def main() -> None:
        caller = Caller(app)
        await caller.cycle()
        sys.setprofile(profiler)
        await caller.cycle()
        await caller.cycle()
        sys.setprofile(None)

    asyncio.run(main())
    return count / (2 * len(CYCLE))


class Turns:
    """Runs turns of requests on one event loop whenever the benchmark asks for one.

    Args:
        app: The application.
        flush: Delivers what waits; each turn ends with it.
        pause_s: Wait after twenty requests.
    """

    def __init__(self, app: Any, flush: Callable[[], object], pause_s: float) -> None:
        self._caller = Caller(app)
        self._flush = flush
        self._pause_s = pause_s

    async def serve(self, warm_up: int, figures: int) -> None:
        """Warm up, then answer each line on the standard input, a count of cycles, with its cost."""
        for _ in range(warm_up):
            await self._caller.cycle()
        # What starts once, on threads of its own, is no part of a request's cost.
        await asyncio.sleep(_SETTLE_S)
        await asyncio.to_thread(self._flush)
        gc.collect()
        os.write(figures, b"ready\n")
        while line := await asyncio.to_thread(sys.stdin.readline):
            os.write(figures, b"%f\n" % await self._turn(int(line)))

    async def _turn(self, cycles: int) -> float:
        """Return microseconds of CPU of the process for one request, delivery included."""
        started = time.process_time()
        for _ in range(cycles):
            await self._caller.cycle()
            # A server waits for its next requests here: timers and threads get their turn.
            await asyncio.sleep(self._pause_s)
        await asyncio.to_thread(self._flush)
        return (time.process_time() - started) / (cycles * len(CYCLE)) * 1e6


def main() -> None:
    """Run the variant that the command line names; figures go to the descriptor that it names."""
    name, sink = sys.argv[1:3]
    warm_up, pause_s, figures = int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    variant = VARIANTS[name](sink)
    folder = Path(tempfile.mkdtemp(prefix="overhead-"))
    app = variant.wrap(build(folder / "items.sqlite", variant.manual))
    asyncio.run(Turns(app, variant.flush, pause_s).serve(warm_up, figures))
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    last = {
        "resident_mb": resident * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "calls": calls_per_request(app),
    }
    os.write(figures, json.dumps(last).encode() + b"\n")


if __name__ == "__main__":
    main()
