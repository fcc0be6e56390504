"""Metrics of model calls, agents and tools, from the spans of whoever made them.

Read are the names of the semantic conventions, old and new, those of OpenInference (``llm.*``,
``openinference.span.kind``) and those of OpenLLMetry (``traceloop.*``, ``llm.request.type``).

Tokens count once. A framework's span around a client's repeats the client's, so of two nested model
calls the inner one counts, for it ends first; the sums on an agent's span are never counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.trace import StatusCode

from watchkeeper.instrument.exemplars import exemplar, left_out
from watchkeeper.instrument.metrics import Counter, Histogram, MetricSet
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import CALL, NO_USAGE, RUN, Usage, claims

__all__ = ["GenAi", "operation_of"]

_CACHE_MAX = 1_024
"""Label combinations whose series are kept at hand; the families have their own limit."""
_PENDING_MAX = 4_096
"""Open spans that hold calls made below them; the oldest are forgotten."""

_INFERENCE = frozenset(
    ("chat", "text_completion", "completion", "generate_content", "embeddings", "generate")
)
_OPENINFERENCE = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "AGENT": "invoke_agent",
    "TOOL": "execute_tool",
}
_TRACELOOP = {"agent": "invoke_agent", "tool": "execute_tool"}
_TRACELOOP_REQUEST = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
}
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_CREATION = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
_COST = ("llm.cost_usd", "operation.cost", "gen_ai.usage.cost", "llm.cost.total")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_MODEL = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name")
_AGENT = ("gen_ai.agent.name", "agent.name", "traceloop.entity.name")
_TOOL = ("gen_ai.tool.name", "tool.name", "traceloop.entity.name")


def operation_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the ``gen_ai.operation.name`` that a span stands for, or None."""
    found = attributes.get("gen_ai.operation.name")
    if found is not None:
        return str(found)
    kind = attributes.get("openinference.span.kind")
    if kind is not None:
        return _OPENINFERENCE.get(kind)
    kind = attributes.get("llm.request.type")
    if kind is not None:
        return _TRACELOOP_REQUEST.get(kind)
    kind = attributes.get("traceloop.span.kind")
    return None if kind is None else _TRACELOOP.get(kind)


class _Calls:
    """The series of one combination of operation, provider, model and error, made when needed."""

    __slots__ = ("costs", "duration", "first_chunk", "input", "latest", "output")

    def __init__(self, duration: Histogram) -> None:
        self.duration = duration
        self.first_chunk: Histogram | None = None
        self.input: Histogram | None = None
        self.output: Histogram | None = None
        self.costs: dict[tuple[object, object], Counter] = {}
        self.latest: tuple[Histogram, ...] = ()


class GenAi:
    """Updates the metrics of generative AI from ended spans; safe to call from any thread.

    Args:
        metrics: The process's metrics.
        priced: Prices a call that has no price of its own.
        latest: Whether the newer names of the conventions are emitted too.
    """

    def __init__(
        self,
        metrics: MetricSet,
        priced: Callable[[str, str, Usage], float | None] = price,
        *,
        latest: bool = False,
    ) -> None:
        self.pending: dict[int, list[int]] = {}
        """Model calls and tool calls that ended below a span that is still open, by its id."""
        self._priced = priced
        self._latest = latest
        self._metrics = metrics
        self._duration = metrics.histogram("gen_ai.client.operation.duration")
        self._tokens = metrics.histogram("gen_ai.client.token.usage")
        self._first_chunk = metrics.histogram("gen_ai.client.operation.time_to_first_chunk")
        self._details = metrics.counter("llm.token_details")
        self._cost = metrics.counter("llm.cost")
        self._unknown_price = metrics.counter("llm.unknown_price")
        self._agent = metrics.histogram("gen_ai.invoke_agent.duration")
        self._runs = metrics.counter("agent.runs")
        self._steps = metrics.histogram("agent.run.steps")
        self._tool = metrics.histogram("gen_ai.execute_tool.duration")
        self._calls: dict[tuple[str, str, str, str], _Calls] = {}

    def on_span(self, span: RecordedSpan, attributes: Mapping[str, Any], operation: str) -> None:
        """Update the metrics that *span* stands for."""
        if operation in _INFERENCE:
            self._on_inference(span, attributes, operation)
        elif operation == "invoke_agent":
            self._on_agent(span, attributes)
        elif operation == "execute_tool":
            seconds = (span.end_ns - span.start_ns) / 1e9
            error = _error(span, attributes)
            self._tool.child((_text(attributes, _TOOL), error)).observe(seconds, exemplar(span))
            run = RUN.get()
            if run is not None:
                run.add_tool()
            self._note(span, 0, 1)
        elif self.pending:
            self.hand_on(span)

    def hand_on(self, span: RecordedSpan) -> None:
        """Give the calls that ended below *span* to its parent."""
        below = self.pending.get(span.span_id)
        if below is not None:
            self._note(span, 0, 0)

    def _note(self, span: RecordedSpan, calls: int, tools: int) -> tuple[int, int]:
        """Add to what is pending for the parent, and return what was pending for *span*."""
        pending = self.pending
        below = pending.pop(span.span_id, None) if pending else None
        inner = (0, 0) if below is None else (below[0], below[1])
        parent = span.parent_id
        if parent and not span.parent_remote:
            held = pending.get(parent)
            if held is None:
                if len(pending) >= _PENDING_MAX:
                    _forget_oldest(pending)
                held = pending[parent] = [0, 0]
            held[0] += inner[0] + calls
            held[1] += inner[1] + tools
        return inner

    def _on_agent(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        name = _text(attributes, _AGENT)
        error = _error(span, attributes)
        seconds = (span.end_ns - span.start_ns) / 1e9
        self._agent.child((name, error)).observe(seconds, exemplar(span))
        outcome = attributes.get("agent.outcome") or ("error" if error else "success")
        self._runs.child((name, outcome)).inc()
        calls, tools = self._note(span, 0, 0)
        steps = attributes.get("agent.run.steps")
        if steps is None:
            steps = calls + tools
        self._steps.child((name,)).observe(steps)
        if self._latest:
            histogram = self._metrics.histogram
            histogram("gen_ai.invoke_agent.inference_calls").child((name,)).observe(calls)
            histogram("gen_ai.invoke_agent.tool_calls").child((name,)).observe(tools)

    def _on_inference(
        self, span: RecordedSpan, attributes: Mapping[str, Any], operation: str
    ) -> None:
        claimed = claims.ids
        if span.span_id not in claimed:
            if CALL.get() is not None or span.parent_id in claimed:
                return
            below = self.pending.get(span.span_id)
            if below is not None and below[0]:
                self._note(span, 0, 0)
                return
            if span.span_id in claims.parents:
                # The call below still goes on; it counts when it ends, and is a step here and now.
                self._note(span, 1, 0)
                return
        self._note(span, 1, 0)
        provider, model = _text(attributes, _PROVIDER), _text(attributes, _MODEL)
        key = (operation, provider, model, _error(span, attributes))
        series = self._calls.get(key)
        if series is None:
            series = self._series(key)
        link = (span.trace_id, span.span_id) if span.flags & 1 else left_out(span)
        series.duration.observe((span.end_ns - span.start_ns) / 1e9, link)
        if "gen_ai.response.time_to_first_chunk" in attributes:
            first_chunk = attributes["gen_ai.response.time_to_first_chunk"]
            if series.first_chunk is None:
                series.first_chunk = self._first_chunk.child(key[:3])
            series.first_chunk.observe(first_chunk, link)
        usage = self._count_tokens(series, key, attributes)
        cost = self._charge(series, attributes, key, usage)
        run = RUN.get()
        if run is not None:
            run.add(usage, cost)
        if self._latest:
            self._repeat_in_new_names(series, key, span, usage)

    def _series(self, key: tuple[str, str, str, str]) -> _Calls:
        if len(self._calls) >= _CACHE_MAX:
            self._calls.clear()
        made = self._calls[key] = _Calls(self._duration.child(key))
        return made

    def _count_tokens(
        self,
        series: _Calls,
        key: tuple[str, str, str, str],
        attributes: Mapping[str, Any],
    ) -> Usage:
        given, made, read, created, reasoning = _usage(attributes)
        if given is None and made is None:
            return NO_USAGE
        if read + created > (given or 0):
            # The conventions count cached tokens inside the input; whoever made this did not.
            given = (given or 0) + read + created
        if given is not None:
            if series.input is None:
                series.input = self._tokens.child((*key[:3], "input"))
            series.input.observe(given)
        if made is not None:
            if series.output is None:
                series.output = self._tokens.child((*key[:3], "output"))
            series.output.observe(made)
        if read:
            self._details.child((key[1], key[2], "cache_read")).inc(read)
        if created:
            self._details.child((key[1], key[2], "cache_creation")).inc(created)
        if reasoning:
            self._details.child((key[1], key[2], "reasoning")).inc(reasoning)
        return Usage(given or 0, made or 0, read, created, reasoning)

    def _charge(
        self,
        series: _Calls,
        attributes: Mapping[str, Any],
        key: tuple[str, str, str, str],
        usage: Usage,
    ) -> float | None:
        cost = _first(attributes, _COST)
        if cost is None:
            if not (usage.input_tokens or usage.output_tokens):
                return None
            cost = self._price(attributes, key[1], key[2], usage)
        if cost is None:
            self._unknown_price.child((key[1], key[2])).inc()
            return None
        if "gen_ai.agent.name" in attributes:
            agent = attributes["gen_ai.agent.name"]
        else:
            run = RUN.get()
            agent = "" if run is None else run.name
        payer = (agent, attributes.get("tenant.id", ""))
        child = series.costs.get(payer)
        if child is None:
            child = self._cost.child((key[1], key[2], str(payer[0]), str(payer[1])))
            if len(series.costs) < _CACHE_MAX:
                series.costs[payer] = child
        child.inc(cost)
        return float(cost)

    def _price(
        self, attributes: Mapping[str, Any], provider: str, model: str, usage: Usage
    ) -> float | None:
        answered = attributes.get("gen_ai.response.model") or model
        cost = self._priced(provider, str(answered), usage)
        if cost is None and answered != model:
            cost = self._priced(provider, model, usage)
        return cost

    def _repeat_in_new_names(
        self, series: _Calls, key: tuple[str, str, str, str], span: RecordedSpan, usage: Usage
    ) -> None:
        labels = key[:3]
        if key[0] == "embeddings":
            return
        histogram, counter = self._metrics.histogram, self._metrics.counter
        prefix = "gen_ai.client.inference."
        if not series.latest:
            series.latest = (
                histogram(f"{prefix}duration").child(key),
                histogram(f"{prefix}operation.input_tokens").child(labels),
                histogram(f"{prefix}operation.output_tokens").child(labels),
            )
        series.latest[0].observe((span.end_ns - span.start_ns) / 1e9, exemplar(span))
        first_chunk = span.attributes.get("gen_ai.response.time_to_first_chunk")
        if isinstance(first_chunk, float):
            histogram(f"{prefix}time_to_first_chunk").child(labels).observe(first_chunk)
        if not (usage.input_tokens or usage.output_tokens):
            return
        series.latest[1].observe(usage.input_tokens)
        series.latest[2].observe(usage.output_tokens)
        for name, count in (
            ("input_tokens", usage.input_tokens),
            ("output_tokens", usage.output_tokens),
            ("cache_read.input_tokens", usage.cache_read),
            ("cache_write.input_tokens", usage.cache_creation),
            ("reasoning.output_tokens", usage.reasoning),
        ):
            if count:
                counter(f"{prefix}usage.{name}").child(labels).inc(count)


def _forget_oldest(pending: dict[int, list[int]]) -> None:
    try:
        pending.pop(next(iter(pending)), None)
    except (RuntimeError, StopIteration):
        # Another thread was at it in the same moment; the next call makes room.
        return


def _error(span: RecordedSpan, attributes: Mapping[str, Any]) -> str:
    error = attributes.get("error.type")
    if error:
        return str(error)
    if span.status_code is not StatusCode.ERROR:
        return ""
    for event in reversed(span.events):
        if event.name == "exception":
            kind = (event.attributes or {}).get("exception.type")
            return str(kind) if kind else "_OTHER"
    return "_OTHER"


def _usage(attributes: Mapping[str, Any]) -> tuple[Any, Any, int, int, int]:
    if "gen_ai.usage.output_tokens" in attributes:
        # The names of the conventions, read without a search: these are the usual ones.
        given = attributes.get("gen_ai.usage.input_tokens")
        made = attributes["gen_ai.usage.output_tokens"]
    else:
        given, made = _first(attributes, _INPUT), _first(attributes, _OUTPUT)
    return (
        given,
        made,
        _first(attributes, _CACHE_READ) or 0,
        _first(attributes, _CACHE_CREATION) or 0,
        _first(attributes, _REASONING) or 0,
    )


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in attributes:
            return attributes[name]
    return None


def _text(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in attributes:
            value = attributes[name]
            return value if type(value) is str else "" if value is None else str(value)
    return ""
