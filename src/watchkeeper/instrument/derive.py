"""Metrics from spans: the end hook that keeps the vocabulary's metrics exact at any sampling rate.

Reads the attributes of the semantic conventions, whoever made the span, and on reading also the
older names that others still write (``http.method``). See the tables in `watchkeeper.vocabulary`,
and `watchkeeper.instrument.genai` for model calls, agents and tools.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from opentelemetry.trace import NonRecordingSpan, SpanKind, StatusCode

from watchkeeper.instrument.derive_http import HttpMetrics
from watchkeeper.instrument.exemplars import exemplar, left_out
from watchkeeper.instrument.genai import GenAi
from watchkeeper.instrument.genai_names import content_fields, operation_of
from watchkeeper.instrument.metrics import Histogram, MetricSet
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RECORDED, RecordedSpan
from watchkeeper.instrument.rejects import Rejects
from watchkeeper.instrument.usage import Usage

__all__ = ["Derived"]

_CACHE_MAX = 4_096
"""Label combinations that a cache holds before it starts again; the families have their own limit."""


class Derived:
    """Updates the metrics of one process from its ended spans.

    Register the instance as an end hook of the recorder; it is safe to call from any thread.

    Args:
        metrics: The process's metrics.
        priced: Prices a call; by default the offline table of genai-prices.
        genai_latest: Whether the newer names of the GenAI conventions are emitted too.
        own_prices: Models that *priced* prices by the user's own rates, which go before what a span
            says that it cost.
    """

    def __init__(
        self,
        metrics: MetricSet,
        priced: Callable[[str, str, Usage], float | None] = price,
        *,
        genai_latest: bool = False,
        own_prices: Collection[str] = (),
    ) -> None:
        self._genai = GenAi(metrics, priced, latest=genai_latest, own=own_prices)
        self._below = self._genai.pending
        self._http = HttpMetrics(metrics)
        self._db = metrics.histogram("db.client.operation.duration")
        self._stage = metrics.histogram("pipeline.stage.duration")
        self._items = metrics.counter("pipeline.items")
        self._pipeline = metrics.histogram("pipeline.run.duration")
        self._last_success = metrics.gauge("pipeline.last_success.time")
        self._job = metrics.histogram("job.run.duration")
        self._wait = metrics.histogram("job.wait.duration")
        self._retries = metrics.counter("job.retries")
        self._dead = metrics.counter("job.dead_letters")
        self._job_success = metrics.gauge("job.last_success.time")
        self._rejects = Rejects(metrics)
        self._slow_s = float("inf")
        self._slow: Callable[[RecordedSpan, float], None] | None = None
        self._db_children: dict[tuple[Any, ...], Histogram] = {}

    def __call__(self, span: RecordedSpan) -> None:  # noqa: C901 - one switch: no call more per span
        """Update the metrics that *span* stands for; a span of no known meaning changes nothing."""
        kind = span.kind
        attributes: Mapping[str, Any] = span.attributes
        if kind is SpanKind.SERVER:
            if self._below:
                self._below.pop(span.span_id, None)
            if "http.request.method" in attributes or "http.method" in attributes:
                self._http.on_server(span, attributes)
            return
        if kind is SpanKind.CLIENT and "db.system.name" in attributes:
            self._on_db(span, attributes)
            return
        template = span.template
        if template is not None and template.owner is self._genai:
            self._genai.on_call(span, attributes, template.series)
            return
        operation = operation_of(attributes)
        if operation is not None:
            self._genai.on_span(span, attributes, operation)
            return
        if span.span_id in self._below:
            self._genai.hand_on(span)
        if kind is SpanKind.CLIENT:
            # A provider's client describes its calls with HTTP too; what it sends has its own span.
            if "http.request.method" in attributes and "gen_ai.provider.name" not in attributes:
                self._http.on_client(span, attributes)
        elif kind is SpanKind.CONSUMER:
            if "job.name" in attributes:
                self._on_job(span, attributes)
        elif "pipeline.name" in attributes:
            self._on_pipeline(span, attributes)

    def watch_slow_queries(
        self, threshold_s: float, report: Callable[[RecordedSpan, float], None]
    ) -> None:
        """Call *report* with each database span of *threshold_s* seconds or more, and its seconds."""
        self._slow_s = threshold_s
        self._slow = report

    def tell_calls(
        self, event: Callable[[str, str, dict[str, object]], None], content_chars_max: int = 0
    ) -> None:
        """Write an event for each model call and agent run that is known only by its span.

        Args:
            event: Takes name, level and attributes; called while the span is the current one.
            content_chars_max: Up to how many characters of prompt and answer, if the span has them.
        """

        def tell(span: RecordedSpan, name: str, level: str, fields: dict[str, object]) -> None:
            # Of a span of the SDK only the ids are needed.
            current = span if type(span) in RECORDED else NonRecordingSpan(span.context)
            if content_chars_max:
                fields |= content_fields(span.attributes, content_chars_max)
            token = activate(current)
            try:
                event(name, level, fields)
            finally:
                deactivate(token)

        self._genai.tell = tell

    def bound_reject_reasons(self, reasons_max: int) -> None:
        """Let at most *reasons_max* reasons of rejects per pipeline become labels."""
        self._rejects.reasons_max = reasons_max

    def _on_db(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        template = span.template
        if (
            template is not None
            and template.owner is self
            and span.status_code is StatusCode.UNSET
            and "error.type" not in attributes
        ):
            child = template.series
        else:
            child = self._db_child(span, attributes)
        seconds = (span.end_ns - span.start_ns) / 1e9
        child.observe(seconds, (span.trace_id, span.span_id) if span.flags & 1 else left_out(span))
        if seconds >= self._slow_s and self._slow is not None:
            self._slow(span, seconds)

    def _db_child(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> Histogram:
        get = attributes.get
        key = (
            attributes["db.system.name"],
            get("db.operation.name"),
            get("db.collection.name"),
            get("error.type"),
            span.status_code is StatusCode.ERROR,
        )
        child = self._db_children.get(key)
        if child is None:
            child = self._db.child(
                (_text(key[0]), _text(key[1]), _text(key[2]), _error(span, key[3]))
            )
            if len(self._db_children) >= _CACHE_MAX:
                self._db_children.clear()
            self._db_children[key] = child
        if span.template is not None and not key[3] and not key[4]:
            span.template.owner, span.template.series = self, child
        return child

    def _on_job(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        name, queue = _text(attributes["job.name"]), _text(attributes.get("job.queue"))
        outcome = attributes.get("job.outcome")
        if outcome is None:
            outcome = "error" if span.status_code is StatusCode.ERROR else "success"
        child = self._job.child((name, queue, _text(outcome)))
        child.observe((span.end_ns - span.start_ns) / 1e9, exemplar(span))
        if outcome == "success":
            self._job_success.child((name,)).set(span.end_ns / 1e9)
        elif outcome == "retry":
            self._retries.child((name, queue)).inc()
        elif outcome == "dead":
            self._dead.child((name, queue, _text(attributes.get("job.dead_reason")))).inc()
        wait = attributes.get("job.wait_s")
        if wait is not None:
            self._wait.child((name, queue)).observe(wait, exemplar(span))

    def _on_pipeline(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        name = _text(attributes["pipeline.name"])
        error = _error(span, attributes.get("error.type"))
        seconds = (span.end_ns - span.start_ns) / 1e9
        stage = attributes.get("pipeline.stage")
        if stage is None:
            self._pipeline.child((name, error)).observe(seconds, exemplar(span))
            if not error:
                self._last_success.child((name,)).set(span.end_ns / 1e9)
            return
        self._stage.child((name, stage, error)).observe(seconds, exemplar(span))
        for outcome, attribute in (
            ("accepted", "pipeline.items_out"),
            ("rejected", "pipeline.items_rejected"),
        ):
            count = attributes.get(attribute)
            if count:
                self._items.child((name, stage, outcome)).inc(count)
        reasons = attributes.get("pipeline.reject_reasons")
        if reasons:
            self._rejects.count(name, _text(stage), reasons)


def _error(span: RecordedSpan, error: object) -> str:
    if error:
        return str(error)
    return "_OTHER" if span.status_code is StatusCode.ERROR else ""


def _text(value: object) -> str:
    return "" if value is None else str(value)
