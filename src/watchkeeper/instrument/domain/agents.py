"""Agent runs and tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import Token

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from watchkeeper.instrument import context
from watchkeeper.instrument.context import BOUND
from watchkeeper.instrument.domain.content import content_hash, content_text
from watchkeeper.instrument.domain.scope import CallableScope, fail
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.current import deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan, Template
from watchkeeper.instrument.usage import RUN, Run

__all__ = ["AgentRun", "ToolCall", "agent_run", "finish_run", "look_for_loop", "tool_call"]

_ID_MAX = 512
_KINDS_MAX = 1_024
"""Agents that are remembered; the memory starts anew past it."""
_LOGGED = (
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "agent.outcome",
    "agent.run.steps",
    "llm.cost_usd",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "user.id",
    "tenant.id",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "error.type",
)
"""Attributes of the span that the log event repeats."""


_KINDS: dict[str, tuple[str, Template]] = {}
"""Names and common attributes of the spans of runs, by the agent's name."""


def _kind(name: str) -> tuple[str, Template]:
    if len(_KINDS) >= _KINDS_MAX:
        _KINDS.clear()
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": name,
    }
    found = _KINDS[name] = (f"invoke_agent {name}", Template(attributes))
    return found


class AgentRun(CallableScope):
    """One run of an agent; made by `agent_run`."""

    hook = "domain.agent_run"

    def __init__(
        self,
        name: str,
        *,
        conversation_id: str | None = None,
        user_id: str | None = None,
        tenant_id: str | None = None,
        input: object = None,  # noqa: A002 - the word that users of agents expect
    ) -> None:
        self._name = name if type(name) is str else str(name)
        self._conversation_id = conversation_id
        self._user_id = user_id
        self._tenant_id = tenant_id
        self._input = input
        self._run = Run(self._name, None)
        self._token_run: Token[Run | None] | None = None
        self._bound: AbstractContextManager[None] | None = None
        self._output: object = None

    @property
    def steps(self) -> int:
        """LLM and tool calls so far, those of nested runs included."""
        return self._run.steps

    @property
    def input_tokens(self) -> int:
        """Input tokens so far, likewise."""
        return self._run.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens so far, likewise."""
        return self._run.output_tokens

    @property
    def cost_usd(self) -> float:
        """Known cost so far in US dollars, likewise."""
        return self._run.cost_usd

    def record_output(self, output: object) -> None:
        """Keep the run's answer; recorded only when `capture_content` is set."""
        self._output = output

    def _again(self) -> AgentRun:
        return AgentRun(
            self._name,
            conversation_id=self._conversation_id,
            user_id=self._user_id,
            tenant_id=self._tenant_id,
            input=self._input,
        )

    def _start(self, host: Host) -> RecordedSpan:
        span_name, template = _KINDS.get(self._name) or _kind(self._name)
        attributes = template.attributes.copy()
        bound = BOUND.get()
        conversation, user, tenant = self._conversation_id, self._user_id, self._tenant_id
        if conversation:
            attributes["gen_ai.conversation.id"] = str(conversation)[:_ID_MAX]
        if user or bound.user_id:
            attributes["user.id"] = str(user or bound.user_id)[:_ID_MAX]
        if tenant or bound.tenant_id:
            attributes["tenant.id"] = str(tenant or bound.tenant_id)[:_ID_MAX]
        if host.settings.capture_content:
            prompt = content_text(host, self._input)
            if prompt is not None:
                attributes["gen_ai.input.messages"] = prompt
        span = host.recorder.start(
            span_name, SpanKind.INTERNAL, attributes, None, None, None, template
        )
        self._run.parent = RUN.get()
        self._enter_again()
        return span

    def _enter_again(self) -> None:
        self._token_run = RUN.set(self._run)
        if self._user_id is not None or self._tenant_id is not None:
            self._bound = context.bind(user_id=self._user_id, tenant_id=self._tenant_id)
            self._bound.__enter__()

    def _leave(self) -> None:
        bound, self._bound = self._bound, None
        token, self._token_run = self._token_run, None
        if bound is not None:
            bound.__exit__(None, None, None)
        if token is not None:
            deactivate(token)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        outcome = "success"
        if error is not None:
            fail(span, error)
            outcome = "error" if isinstance(error, Exception) else "cancelled"
        if self._output is not None:
            output = content_text(host, self._output)
            if output is not None:
                span.attributes["gen_ai.output.messages"] = output
        end_ns = max(host.clock.now_ns(), span.start_ns)
        finish_run(host, span, self._run, outcome, end_ns)
        span.end(end_ns)


def finish_run(
    host: Host,
    span: RecordedSpan,
    run: Run,
    outcome: str,
    end_ns: int,
    content: Mapping[str, object] | None = None,
) -> None:
    """Write what a run added up on its span, and its log event; the caller ends the span.

    Args:
        host: Writes the event.
        span: The agent's span, complete but for these sums.
        run: What was added up.
        outcome: ``success``, ``error`` or ``cancelled``.
        end_ns: When the run ended, nanoseconds since the epoch.
        content: What was asked and answered, for the event alone.
    """
    found = span.attributes
    found["agent.run.steps"] = run.calls + run.tools
    found["agent.outcome"] = outcome
    if run.input_tokens or run.output_tokens:
        found["gen_ai.usage.input_tokens"] = run.input_tokens
        found["gen_ai.usage.output_tokens"] = run.output_tokens
    if run.priced:
        found["llm.cost_usd"] = run.cost_usd
    fields: dict[str, object] = {name: found[name] for name in _LOGGED if name in found}
    if content:
        fields.update(content)
    fields["duration_s"] = (end_ns - span.start_ns) / 1e9
    host.event("agent.run", "info" if outcome == "success" else "error", fields)


def agent_run(
    name: str,
    *,
    conversation_id: str | None = None,
    user_id: str | None = None,
    tenant_id: str | None = None,
    input: object = None,  # noqa: A002 - the word that users of agents expect
) -> AgentRun:
    """Record one run of an agent: its span, duration, steps, tokens and cost.

    Use it as ``with``, ``async with`` or decorator. LLM and tool calls made inside add up in the
    run, those of nested runs too; metrics of tokens and cost still count each call once.

    Args:
        name: Name of the agent; becomes a metric label, so keep the number of names small.
        conversation_id: Conversation that the run belongs to.
        user_id: Who it is done for; by default the user bound to this context.
        tenant_id: The customer it is done for, likewise; becomes a label of ``llm.cost``.
        input: What the agent was asked; recorded only when `capture_content` is set.
    """
    return AgentRun(
        name,
        conversation_id=conversation_id,
        user_id=user_id,
        tenant_id=tenant_id,
        input=input,
    )


class ToolCall(CallableScope):
    """One call of a tool; made by `tool_call`."""

    hook = "domain.tool_call"

    def __init__(self, name: str, *, call_id: str | None = None, arguments: object = None) -> None:
        self._name = name if type(name) is str else str(name)
        self._call_id = call_id
        self._arguments = arguments

    def _again(self) -> ToolCall:
        return ToolCall(self._name, call_id=self._call_id, arguments=self._arguments)

    def _start(self, host: Host) -> RecordedSpan:
        run = RUN.get()
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": self._name,
        }
        if self._call_id is not None:
            attributes["gen_ai.tool.call.id"] = str(self._call_id)
        if run is not None:
            attributes["gen_ai.agent.name"] = run.name
            if self._arguments is not None:
                look_for_loop(host, run, self._name, self._arguments)
        name = f"execute_tool {self._name}"
        return host.recorder.start(name, SpanKind.INTERNAL, attributes)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        del host
        if error is not None:
            fail(span, error)
        span.end()


def look_for_loop(host: Host, run: Run, tool: str, arguments: object) -> None:
    """Count and tell, once for each run and tool, that *run* keeps calling *tool* in vain.

    Args:
        host: Its settings say how many repeats make a loop.
        run: The run that calls.
        tool: Name of the tool.
        arguments: What it is called with now; only a hash is kept.
    """
    kept_max = host.settings.agent_calls_kept_max
    repeats = run.repeat(tool, content_hash(arguments), kept_max)
    if repeats != host.settings.agent_loop_repeats or tool in run.looped:
        return
    run.looped |= {tool}
    host.metrics.counter("agent.loops").child((run.name, tool)).inc()
    host.event(
        "agent.loop",
        "warning",
        {
            "gen_ai.agent.name": run.name,
            "gen_ai.tool.name": tool,
            "agent.loop.repeats": repeats,
        },
    )


def tool_call(name: str, *, call_id: str | None = None, arguments: object = None) -> ToolCall:
    """Record one call of a tool by an agent: its span and duration.

    Use it as ``with``, ``async with`` or decorator.

    Args:
        name: Name of the tool; becomes a metric label, so keep the number of names small.
        call_id: The provider's id of the call.
        arguments: What the tool is called with, to find loops: a run that calls a tool with the
            same arguments `agent_loop_repeats` times is counted in ``agent.loops``. Only a hash of
            them is kept, and only until the run ends.
    """
    return ToolCall(name, call_id=call_id, arguments=arguments)
