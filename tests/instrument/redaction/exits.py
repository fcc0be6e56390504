"""Every way out of the process, with the real pipeline, recorder and encoder."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote_plus

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags

from watchkeeper.clock import SystemClock
from watchkeeper.instrument import redaction
from watchkeeper.instrument.domain.content import content_text
from watchkeeper.instrument.logs import LEVELS
from watchkeeper.instrument.recorder import MemoryExporter
from watchkeeper.instrument.runtime import Runtime, build
from watchkeeper.instrument.settings import load

__all__ = ["EXITS", "Exits"]

_ERROR = LEVELS["error"]
_LINKED = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))


class Exits:
    """One instrumentation with some settings; each method sends texts out and returns what left.

    Args:
        settings: Settings beside the defaults.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.counts: dict[str, float] = {}

    def _run(
        self, use: Callable[[Runtime], None], log_format: str = "json"
    ) -> tuple[str, MemoryExporter]:
        out, exporter = io.StringIO(), MemoryExporter()
        settings = load(
            {
                "log_stream": out, "log_format": log_format, "log_burst_lines_max": 1_000_000,
                "capture_content": True, **self._settings,
            },
            {},
        )  # fmt: skip
        runtime = build(settings, clock=SystemClock(), exporter=exporter)
        redaction.use(runtime.redactor)
        try:
            use(runtime)
            runtime.stop()
        finally:
            redaction.use(None)
        for (kind,), count in runtime.redactor.totals().items():
            self.counts[kind] = self.counts.get(kind, 0.0) + count
        return out.getvalue(), exporter

    def lines(
        self, texts: Sequence[str], write: Callable[[Runtime, str], None], log_format: str = "json"
    ) -> list[str]:
        """Return what each text made of its line of JSON, or of its lines for people."""
        shown = []
        for text in texts:
            whole, _ = self._run(lambda runtime, text=text: write(runtime, text), log_format)  # type: ignore[misc]
            shown.append(whole)
        return shown

    def records(self, texts: Sequence[str]) -> list[str]:
        """Return the OTLP log records of texts that stand in event, field and exception."""

        def use(runtime: Runtime) -> None:
            for text in texts:
                _write(runtime, text, {"note": text}, ValueError(text))

        _, exporter = self._run(use)
        return [
            str(record)
            for body in exporter.bodies("logs")
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def spans(self, texts: Sequence[str], record: Callable[[Runtime, Any, str], None]) -> list[str]:
        """Return the OTLP spans of texts, each as *record* puts it into a span."""

        def use(runtime: Runtime) -> None:
            tracer = runtime.recorder.tracer_provider.get_tracer("foreign")
            for text in texts:
                with tracer.start_as_current_span("s") as span:
                    record(runtime, span, text)

        _, exporter = self._run(use)
        return [
            _readable(span)
            for body in exporter.bodies("traces")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def _readable(message: Any) -> str:
    """Return a message as text without protobuf's escapes of quotes and line breaks."""
    return str(message).encode().decode("unicode_escape", "replace")


def _write(runtime: Runtime, event: str, fields: dict[str, object], error: object = None) -> None:
    runtime.logs.write(_ERROR, "test", event, fields, error)


def _raised(text: str) -> BaseException:
    try:
        raise ValueError(text)  # noqa: TRY301 - it gets a traceback that way
    except ValueError as error:
        return error


def _failed(runtime: Runtime, span: Any, text: str) -> None:  # noqa: ARG001 - one signature
    span.record_exception(_raised(text))
    span.add_event("retry", {"reason": text, "more": [text]})
    span.set_status(StatusCode.ERROR, text)


def _linked(runtime: Runtime, span: Any, text: str) -> None:  # noqa: ARG001 - one signature
    span.add_link(Link(_LINKED).context, {"note": text})


def _url(runtime: Runtime, span: Any, text: str) -> None:  # noqa: ARG001 - one signature
    span.set_attribute("url.full", f"https://shop.test/search?page=2&q={quote(text, safe='')}")


def _sql(runtime: Runtime, span: Any, text: str) -> None:  # noqa: ARG001 - one signature
    literal = text.replace("'", "''")
    comment = text.replace("*/", "").replace("\n", " ")
    span.set_attribute("db.system", "postgresql")
    span.set_attribute(
        "db.statement", f"SELECT id FROM t WHERE a = '{literal}' AND b = 1 /* {comment} */"
    )


def _content(runtime: Runtime, span: Any, text: str) -> None:
    messages = [{"role": "user", "content": text}]
    span.set_attribute("gen_ai.input.messages", content_text(_AsHost(runtime), messages))  # type: ignore[arg-type] # a host's settings are all it reads


class _AsHost:
    def __init__(self, runtime: Runtime) -> None:
        self.settings = runtime.settings


EXITS: dict[str, Callable[[Exits, Sequence[str]], list[str]]] = {
    "log event": lambda exits, texts: exits.lines(
        texts, lambda runtime, text: _write(runtime, text, {})
    ),
    "log field": lambda exits, texts: exits.lines(
        texts, lambda runtime, text: _write(runtime, "e", {"note": text, "more": {"list": [text]}})
    ),
    "log exception": lambda exits, texts: exits.lines(
        texts, lambda runtime, text: _write(runtime, "e", {}, _raised(text))
    ),
    "console": lambda exits, texts: exits.lines(
        texts, lambda runtime, text: _write(runtime, text, {"note": text}, _raised(text)), "console"
    ),
    "OTLP log record": Exits.records,
    "span name": lambda exits, texts: exits.spans(
        texts, lambda _, span, text: span.update_name(text)
    ),
    "span attribute": lambda exits, texts: exits.spans(
        texts, lambda _, span, text: span.set_attributes({"note": text, "notes": [text]})
    ),
    "span event and status": lambda exits, texts: exits.spans(texts, _failed),
    "span link": lambda exits, texts: exits.spans(texts, _linked),
    "URL": lambda exits, texts: [unquote_plus(out) for out in exits.spans(texts, _url)],
    "SQL": lambda exits, texts: exits.spans(texts, _sql),
    "LLM content": lambda exits, texts: exits.spans(texts, _content),
}
"""By name, what sends texts out and returns, for each, what left."""
