"""Metrics of model calls, agents and tools, from the spans of whoever made them.

What a span stands for is read by `watchkeeper.instrument.genai_names`.

Tokens count once. A framework's span around a client's repeats the client's, so of two nested model
calls the inner one counts, for it ends first; the sums on an agent's span are never counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from opentelemetry.trace import StatusCode

from watchkeeper.instrument.exemplars import exemplar, left_out
from watchkeeper.instrument.genai_names import (
    AGENT,
    COST,
    INFERENCE,
    MODEL,
    PROVIDER,
    TOOL,
    call_fields,
    error_of,
    first,
    run_fields,
    text_of,
    usage_of,
)
from watchkeeper.instrument.metrics import Counter, Histogram, MetricSet
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import CALL, NO_USAGE, RUN, Run, Usage, claims

__all__ = ["GenAi"]

_CACHE_MAX = 1_024
"""Label combinations whose series are kept at hand; the families have their own limit."""
_PENDING_MAX = 4_096
"""Open spans that hold calls made below them; the oldest are forgotten."""


class _Calls:
    """The series of one combination of operation, provider, model and error, made when needed."""

    __slots__ = ("costs", "duration", "first_chunk", "input", "key", "latest", "output")

    def __init__(self, key: tuple[str, str, str, str], duration: Histogram) -> None:
        self.key = key
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
        own: Models that the user has priced, as ``provider/model`` or model.
    """

    def __init__(
        self,
        metrics: MetricSet,
        priced: Callable[[str, str, Usage], float | None] = price,
        *,
        latest: bool = False,
        own: Collection[str] = (),
    ) -> None:
        self.pending: dict[int, list[int]] = {}
        """Model calls and tool calls that ended below a span that is still open, by its id."""
        self.tell: Callable[[RecordedSpan, str, str, dict[str, object]], None] | None = None
        """Takes the event of a call or run that only a span reports: the span, name, level, fields."""
        self._priced = priced
        self._own = own
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
        self._agents: dict[tuple[str, str, str], tuple[Histogram, Counter, Histogram]] = {}

    def on_span(self, span: RecordedSpan, attributes: Mapping[str, Any], operation: str) -> None:
        """Update the metrics that *span* stands for."""
        if operation in INFERENCE:
            self._on_inference(span, attributes, operation)
        elif operation == "invoke_agent":
            self._on_agent(span, attributes)
        elif operation == "execute_tool":
            seconds = (span.end_ns - span.start_ns) / 1e9
            error = error_of(span, attributes)
            self._tool.child((text_of(attributes, TOOL), error)).observe(seconds, exemplar(span))
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
        name = text_of(attributes, AGENT)
        error = error_of(span, attributes)
        seconds = (span.end_ns - span.start_ns) / 1e9
        known = attributes.get("agent.outcome")
        outcome = known or ("error" if error else "success")
        series = self._agents.get((name, error, outcome)) or self._agents_of(name, error, outcome)
        series[0].observe(seconds, exemplar(span))
        series[1].inc()
        calls, tools = self._note(span, 0, 0)
        steps = attributes.get("agent.run.steps")
        if steps is None:
            steps = calls + tools
        if known is None and self.tell is not None:
            # Whoever knows the outcome has told of the run.
            fields = run_fields(attributes, name, error)
            fields |= {"agent.outcome": outcome, "agent.run.steps": steps, "duration_s": seconds}
            self.tell(span, "agent.run", "error" if error else "info", fields)
        series[2].observe(steps)
        if self._latest:
            histogram = self._metrics.histogram
            histogram("gen_ai.invoke_agent.inference_calls").child((name,)).observe(calls)
            histogram("gen_ai.invoke_agent.tool_calls").child((name,)).observe(tools)

    def _agents_of(
        self, name: str, error: str, outcome: str
    ) -> tuple[Histogram, Counter, Histogram]:
        if len(self._agents) >= _CACHE_MAX:
            self._agents.clear()
        found = self._agents[name, error, outcome] = (
            self._agent.child((name, error)),
            self._runs.child((name, outcome)),
            self._steps.child((name,)),
        )
        return found

    def _on_inference(
        self, span: RecordedSpan, attributes: Mapping[str, Any], operation: str
    ) -> None:
        claimed = claims.ids
        if span.span_id not in claimed and self._repeats(span):
            return
        self._note(span, 1, 0)
        provider, model = text_of(attributes, PROVIDER), text_of(attributes, MODEL)
        key = (operation, provider, model, error_of(span, attributes))
        series = self._calls.get(key) or self._series(key)
        template = span.template
        if template is not None and not key[3]:
            template.owner, template.series = self, series
        usage, cost = self._count(span, attributes, series)
        if self.tell is not None and span.span_id not in claimed:
            fields = call_fields(attributes, key, usage, cost)
            fields["duration_s"] = (span.end_ns - span.start_ns) / 1e9
            self.tell(span, "llm.call", "error" if key[3] else "info", fields)

    def on_call(self, span: RecordedSpan, attributes: Mapping[str, Any], series: _Calls) -> None:
        """Update the metrics of an `llm_call` whose series are known, unless it failed."""
        if span.status_code is not StatusCode.UNSET or "error.type" in attributes:
            self._on_inference(span, attributes, series.key[0])
            return
        self._note(span, 1, 0)
        self._count(span, attributes, series)

    def _count(
        self, span: RecordedSpan, attributes: Mapping[str, Any], series: _Calls
    ) -> tuple[Usage, float | None]:
        """Count a call that nothing else counts; return its tokens and its cost."""
        key = series.key
        link = (span.trace_id, span.span_id) if span.flags & 1 else left_out(span)
        series.duration.observe((span.end_ns - span.start_ns) / 1e9, link)
        if "gen_ai.response.time_to_first_chunk" in attributes:
            first_chunk = attributes["gen_ai.response.time_to_first_chunk"]
            if series.first_chunk is None:
                series.first_chunk = self._first_chunk.child(key[:3])
            series.first_chunk.observe(first_chunk, link)
        usage = self._count_tokens(series, key, attributes)
        run = RUN.get()
        cost = self._charge(series, attributes, key, usage, run)
        if run is not None:
            run.add(usage, cost)
        if self._latest:
            self._repeat_in_new_names(series, key, span, usage)
        return usage, cost

    def _repeats(self, span: RecordedSpan) -> bool:
        """Tell whether a span repeats a call that something else counts, and hand on its steps."""
        is_above = span.span_id in claims.parents
        if not is_above and (CALL.get() is not None or span.parent_id in claims.ids):
            return True
        below = self.pending.get(span.span_id)
        if below is not None and below[0]:
            self._note(span, 0, 0)
            return True
        if is_above:
            # The call below still goes on; it counts when it ends, and is a step here and now.
            self._note(span, 1, 0)
            return True
        return False

    def _series(self, key: tuple[str, str, str, str]) -> _Calls:
        if len(self._calls) >= _CACHE_MAX:
            self._calls.clear()
        made = self._calls[key] = _Calls(key, self._duration.child(key))
        return made

    def _count_tokens(
        self,
        series: _Calls,
        key: tuple[str, str, str, str],
        attributes: Mapping[str, Any],
    ) -> Usage:
        given, made, read, created, reasoning = usage_of(attributes)
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
        run: Run | None,
    ) -> float | None:
        cost = first(attributes, COST)
        if cost is None or (self._own and self._is_own(attributes, key)):
            if not (usage.input_tokens or usage.output_tokens):
                return None
            cost = self._price(attributes, key[1], key[2], usage)
        if cost is None:
            self._unknown_price.child((key[1], key[2])).inc()
            return None
        if "gen_ai.agent.name" in attributes:
            agent = attributes["gen_ai.agent.name"]
        else:
            agent = "" if run is None else run.name
        payer = (agent, attributes.get("tenant.id", ""))
        child = series.costs.get(payer)
        if child is None:
            child = self._cost.child((key[1], key[2], str(payer[0]), str(payer[1])))
            if len(series.costs) < _CACHE_MAX:
                series.costs[payer] = child
        child.inc(cost)
        return float(cost)

    def _is_own(self, attributes: Mapping[str, Any], key: tuple[str, str, str, str]) -> bool:
        """Tell whether the user has set a price that goes before the span's own."""
        if "llm.cost_usd" in attributes:
            # By `llm_call`, at that very price.
            return False
        models = (str(attributes.get("gen_ai.response.model") or key[2]), key[2])
        return any(model in self._own or f"{key[1]}/{model}" in self._own for model in models)

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
