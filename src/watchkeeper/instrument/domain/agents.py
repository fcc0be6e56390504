"""Agent runs and tool calls."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from contextvars import Token

from opentelemetry.trace import SpanKind

from watchkeeper.instrument import context
from watchkeeper.instrument.domain.content import content_text
from watchkeeper.instrument.domain.scope import CallableScope, fail, start
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import RUN, Run

__all__ = ["AgentRun", "ToolCall", "agent_run", "tool_call"]


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
        super().__init__()
        self._name = name
        self._conversation_id = conversation_id
        self._user_id = user_id
        self._tenant_id = tenant_id
        self._input = input
        self._run = Run(name, None)
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
        tenant = self._tenant_id or context.tenant_id() or None
        span = start(
            host,
            f"invoke_agent {self._name}",
            SpanKind.INTERNAL,
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": self._name,
                "gen_ai.conversation.id": self._conversation_id,
                "user.id": self._user_id or context.user_id() or None,
                "tenant.id": tenant,
                "gen_ai.input.messages": content_text(host, self._input),
            },
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
            with suppress(ValueError):
                RUN.reset(token)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        run = self._run
        span.set_attribute("agent.run.steps", run.steps)
        if run.input_tokens or run.output_tokens:
            span.set_attribute("gen_ai.usage.input_tokens", run.input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", run.output_tokens)
        if run.priced:
            span.set_attribute("llm.cost_usd", run.cost_usd)
        output = content_text(host, self._output)
        if output is not None:
            span.set_attribute("gen_ai.output.messages", output)
        kind = None if error is None else fail(span, error)
        host.event(
            "agent.run",
            "info" if error is None else "error",
            {
                "gen_ai.agent.name": self._name,
                "agent.run.steps": run.steps,
                "llm.cost_usd": run.cost_usd if run.priced else None,
                "gen_ai.usage.input_tokens": run.input_tokens,
                "gen_ai.usage.output_tokens": run.output_tokens,
                "error.type": kind,
            },
        )
        span.end()


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

    def __init__(self, name: str, *, call_id: str | None = None) -> None:
        super().__init__()
        self._name = name
        self._call_id = call_id
        self._run: Run | None = None

    def _again(self) -> ToolCall:
        return ToolCall(self._name, call_id=self._call_id)

    def _start(self, host: Host) -> RecordedSpan:
        self._run = RUN.get()
        return start(
            host,
            f"execute_tool {self._name}",
            SpanKind.INTERNAL,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": self._name,
                "gen_ai.tool.call.id": self._call_id,
                "gen_ai.agent.name": self._run.name if self._run is not None else None,
            },
        )

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        del host
        if error is not None:
            fail(span, error)
        span.end()


def tool_call(name: str, *, call_id: str | None = None) -> ToolCall:
    """Record one call of a tool by an agent: its span and duration.

    Use it as ``with``, ``async with`` or decorator.

    Args:
        name: Name of the tool; becomes a metric label, so keep the number of names small.
        call_id: The provider's id of the call.
    """
    return ToolCall(name, call_id=call_id)
