"""Metrics from spans: the end hook that keeps the vocabulary's metrics exact at any sampling rate.

Reads the attributes of the semantic conventions, whoever made the span, and on reading also the
older or foreign names that others still write (``gen_ai.system``, ``http.method``, OpenInference's
``llm.token_count.*``). See the tables in `watchkeeper.vocabulary`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from watchkeeper.instrument.metrics import Histogram, MetricSet
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.rejects import Rejects
from watchkeeper.instrument.usage import CALL, RUN, Claims, Usage, claims

__all__ = ["Derived"]

_CACHE_MAX = 4_096
"""Label combinations that a cache holds before it starts again; the families have their own limit."""

_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_INFERENCE = frozenset(
    ("chat", "text_completion", "completion", "generate_content", "embeddings", "generate")
)
_OPENINFERENCE = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "AGENT": "invoke_agent",
    "TOOL": "execute_tool",
}
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_CREATION = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_COST = ("llm.cost_usd", "operation.cost", "gen_ai.usage.cost", "llm.cost.total")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_MODEL = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name")


_Exemplar = tuple[int, int] | None


class Derived:
    """Updates the metrics of one process from its ended spans.

    Register the instance as an end hook of the recorder; it is safe to call from any thread.

    Args:
        metrics: The process's metrics.
        priced: Prices a call; by default the offline table of genai-prices.
    """

    def __init__(
        self,
        metrics: MetricSet,
        priced: Callable[[str, str, Usage], float | None] = price,
    ) -> None:
        self._priced = priced
        self._http = metrics.histogram("http.server.request.duration")
        self._http_body = metrics.histogram("http.server.response.body.size")
        self._http_sent = metrics.histogram("http.server.request.body.size")
        self._db = metrics.histogram("db.client.operation.duration")
        self._llm = metrics.histogram("gen_ai.client.operation.duration")
        self._tokens = metrics.histogram("gen_ai.client.token.usage")
        self._first_chunk = metrics.histogram("gen_ai.client.operation.time_to_first_chunk")
        self._cost = metrics.counter("llm.cost")
        self._unknown_price = metrics.counter("llm.unknown_price")
        self._agent = metrics.histogram("gen_ai.invoke_agent.duration")
        self._steps = metrics.histogram("agent.run.steps")
        self._tool = metrics.histogram("gen_ai.execute_tool.duration")
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
        self._http_children: dict[tuple[Any, ...], tuple[Histogram, tuple[str, ...]]] = {}
        self._db_children: dict[tuple[Any, ...], Histogram] = {}
        self._repeated = Claims()

    def __call__(self, span: RecordedSpan) -> None:
        """Update the metrics that *span* stands for; a span of no known meaning changes nothing."""
        kind = span.kind
        attributes: Mapping[str, Any] = span.attributes
        if kind is SpanKind.SERVER:
            if "http.request.method" in attributes or "http.method" in attributes:
                self._on_http(span, attributes)
            return
        if kind is SpanKind.CLIENT and "db.system.name" in attributes:
            self._on_db(span, attributes)
            return
        operation = attributes.get("gen_ai.operation.name")
        if operation is None and "openinference.span.kind" in attributes:
            operation = _OPENINFERENCE.get(attributes["openinference.span.kind"])
        if operation is not None:
            self._on_genai(span, attributes, str(operation))
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

    def bound_reject_reasons(self, reasons_max: int) -> None:
        """Let at most *reasons_max* reasons of rejects per pipeline become labels."""
        self._rejects.reasons_max = reasons_max

    def _on_http(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        get = attributes.get
        method = get("http.request.method")
        if method is None:
            method = get("http.method")
        status = get("http.response.status_code")
        if status is None:
            status = get("http.status_code")
        route = get("http.route")
        scheme = get("url.scheme")
        error = get("error.type")
        key = (method, route, status, scheme, error)
        found = self._http_children.get(key)
        if found is None:
            found = self._http_child(key, span)
        found[0].observe((span.end_ns - span.start_ns) / 1e9, _exemplar(span))
        size = get("http.response.body.size")
        if size is not None:
            self._http_body.child(found[1]).observe(size)
        size = get("http.request.body.size")
        if size is not None:
            self._http_sent.child(found[1]).observe(size)

    def _http_child(
        self, key: tuple[Any, ...], span: RecordedSpan
    ) -> tuple[Histogram, tuple[str, ...]]:
        method, route, status, scheme, error = key
        labels = (
            method if method in _METHODS else "_OTHER",
            str(route or ""),
            "" if status is None else str(status),
            str(scheme or span.attributes.get("http.scheme") or ""),
        )
        child = self._http.child((*labels, _error(span, error)))
        if len(self._http_children) >= _CACHE_MAX:
            self._http_children.clear()
        found = self._http_children[key] = (child, labels)
        return found

    def _on_db(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
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
        seconds = (span.end_ns - span.start_ns) / 1e9
        child.observe(seconds, _exemplar(span))
        if seconds >= self._slow_s and self._slow is not None:
            self._slow(span, seconds)

    def _on_genai(self, span: RecordedSpan, attributes: Mapping[str, Any], operation: str) -> None:
        seconds = (span.end_ns - span.start_ns) / 1e9
        error = _error(span, attributes.get("error.type"))
        if operation in _INFERENCE:
            self._on_inference(span, attributes, operation)
        elif operation == "invoke_agent":
            name = _text(_first(attributes, ("gen_ai.agent.name", "agent.name")))
            self._agent.child((name, error)).observe(seconds, _exemplar(span))
            steps = attributes.get("agent.run.steps")
            if steps is not None:
                self._steps.child((name,)).observe(steps)
        elif operation == "execute_tool":
            name = _text(_first(attributes, ("gen_ai.tool.name", "tool.name")))
            self._tool.child((name, error)).observe(seconds, _exemplar(span))
            run = RUN.get()
            if run is not None:
                run.add()

    def _on_inference(
        self, span: RecordedSpan, attributes: Mapping[str, Any], operation: str
    ) -> None:
        if self._is_repeat(span):
            return
        provider = _text(_first(attributes, _PROVIDER))
        model = _text(_first(attributes, _MODEL))
        labels = (operation, provider, model)
        exemplar = _exemplar(span)
        duration = self._llm.child((*labels, _error(span, attributes.get("error.type"))))
        duration.observe((span.end_ns - span.start_ns) / 1e9, exemplar)
        first_chunk = attributes.get("gen_ai.response.time_to_first_chunk")
        if first_chunk is not None:
            self._first_chunk.child(labels).observe(first_chunk, exemplar)
        tokens_in, tokens_out = _first(attributes, _INPUT), _first(attributes, _OUTPUT)
        usage = Usage(
            tokens_in or 0,
            tokens_out or 0,
            _first(attributes, _CACHE_READ) or 0,
            _first(attributes, _CACHE_CREATION) or 0,
        )
        if tokens_in is not None:
            self._tokens.child((*labels, "input")).observe(tokens_in, exemplar)
        if tokens_out is not None:
            self._tokens.child((*labels, "output")).observe(tokens_out, exemplar)
        cost = self._charge(attributes, provider, model, usage)
        run = RUN.get()
        if run is not None:
            run.add(usage, cost)

    def _charge(
        self, attributes: Mapping[str, Any], provider: str, model: str, usage: Usage
    ) -> float | None:
        cost = _first(attributes, _COST)
        if cost is None:
            if not (usage.input_tokens or usage.output_tokens):
                return None
            answered = _text(attributes.get("gen_ai.response.model")) or model
            cost = self._priced(provider, answered, usage)
            if cost is None and answered != model:
                cost = self._priced(provider, model, usage)
        if cost is None:
            self._unknown_price.child((provider, model)).inc()
            return None
        run = RUN.get()
        agent = attributes.get("gen_ai.agent.name") or (run.name if run is not None else "")
        tenant = attributes.get("tenant.id")
        self._cost.child((provider, model, _text(agent), _text(tenant))).inc(cost)
        return float(cost)

    def _is_repeat(self, span: RecordedSpan) -> bool:
        """Tell whether the tokens of this model call are counted by another span.

        A client library that traces itself below an `llm_call` repeats it. Of two nested model
        calls of other libraries (a framework around a client) the inner one ends first and counts.
        """
        if span.span_id in claims:
            return False
        if CALL.get() or span.parent_id in claims or span.span_id in self._repeated:
            return True
        if span.parent_id and not span.parent_remote:
            self._repeated.add(span.parent_id)
        return False

    def _on_job(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        name, queue = _text(attributes["job.name"]), _text(attributes.get("job.queue"))
        outcome = attributes.get("job.outcome")
        if outcome is None:
            outcome = "error" if span.status_code is StatusCode.ERROR else "success"
        child = self._job.child((name, queue, _text(outcome)))
        child.observe((span.end_ns - span.start_ns) / 1e9, _exemplar(span))
        if outcome == "success":
            self._job_success.child((name,)).set(span.end_ns / 1e9)
        elif outcome == "retry":
            self._retries.child((name, queue)).inc()
        elif outcome == "dead":
            self._dead.child((name, queue, _text(attributes.get("job.dead_reason")))).inc()
        wait = attributes.get("job.wait_s")
        if wait is not None:
            self._wait.child((name, queue)).observe(wait, _exemplar(span))

    def _on_pipeline(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        name = _text(attributes["pipeline.name"])
        error = _error(span, attributes.get("error.type"))
        seconds = (span.end_ns - span.start_ns) / 1e9
        stage = attributes.get("pipeline.stage")
        if stage is None:
            self._pipeline.child((name, error)).observe(seconds, _exemplar(span))
            if not error:
                self._last_success.child((name,)).set(span.end_ns / 1e9)
            return
        self._stage.child((name, stage, error)).observe(seconds, _exemplar(span))
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


def _exemplar(span: RecordedSpan) -> _Exemplar:
    return (span.trace_id, span.span_id) if span.flags & 1 else None


def _error(span: RecordedSpan, error: object) -> str:
    if error:
        return str(error)
    return "_OTHER" if span.status_code is StatusCode.ERROR else ""


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def _text(value: object) -> str:
    return "" if value is None else str(value)
