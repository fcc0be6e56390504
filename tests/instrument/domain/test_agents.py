"""Agent runs and tool calls."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import context
from watchkeeper.instrument.domain import agent_run, llm_call, tool_call
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.usage import Run


def test_nothing_happens_before_configure() -> None:
    """Without a host every unit of work is an empty block, and exceptions pass."""
    with agent_run("a") as run, llm_call(provider="openai", model="m") as call, tool_call("t"):
        call.record_usage(1, 2)
        call.first_chunk()
        assert [1] == list(call.wrap_stream(iter([1])))
        assert 0 == run.steps
    with pytest.raises(KeyError), tool_call("t"):
        raise KeyError("x")


def test_a_run_adds_up_its_calls(rig: Rig) -> None:
    """Steps, tokens and cost of the calls inside a run are attributes of its span."""
    with agent_run("support", conversation_id="c1", user_id="u1", tenant_id="acme"):
        with llm_call(provider="openai", model="gpt-4o") as call:
            call.record_usage(1000, 100)
            rig.clock.advance(2.0)
        with tool_call("search", call_id="t1"):
            rig.clock.advance(0.5)
    span = rig.named("invoke_agent support")
    assert SpanKind.INTERNAL is span.kind
    assert {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "support",
        "gen_ai.conversation.id": "c1",
        "user.id": "u1",
        "tenant.id": "acme",
        "agent.outcome": "success",
        "agent.run.steps": 2,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "llm.cost_usd": 0.0035,
    } == span.attributes
    assert span.span_id == rig.named("chat gpt-4o").parent_id
    assert span.span_id == rig.named("execute_tool search").parent_id
    assert {'gen_ai_agent_name="support"': (1, 2.5)} == rig.totals(
        "gen_ai_invoke_agent_duration_seconds"
    )
    assert {'gen_ai_agent_name="support"': (1, 2)} == rig.totals("agent_run_steps")
    assert {'gen_ai_tool_name="search"': (1, 0.5)} == rig.totals(
        "gen_ai_execute_tool_duration_seconds"
    )
    assert {
        "llm_cost_usd_total{"
        'gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",'
        'gen_ai_agent_name="support",tenant_id="acme"}': 0.0035
    } == rig.samples("llm_cost_usd_total")
    assert "agent.run" == rig.events[-1][0]
    assert 2 == rig.events[-1][2]["agent.run.steps"]


def test_nested_runs_count_each_call_once(rig: Rig) -> None:
    """The outer run includes the inner one's calls; the metrics count them once."""
    with agent_run("outer") as outer:
        with agent_run("inner") as inner, llm_call(provider="openai", model="gpt-4o") as call:
            call.record_usage(100, 10)
        with llm_call(provider="openai", model="gpt-4o") as call:
            call.record_usage(50, 5)
    assert (1, 100, 10) == (inner.steps, inner.input_tokens, inner.output_tokens)
    assert (2, 150, 15) == (outer.steps, outer.input_tokens, outer.output_tokens)
    tokens = rig.totals("gen_ai_client_token_usage")
    labels = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
    )
    assert {
        f'{labels},gen_ai_token_type="input"': (2, 150),
        f'{labels},gen_ai_token_type="output"': (2, 15),
    } == tokens
    assert "inner" == rig.spans[0].attributes["gen_ai.agent.name"]
    assert "outer" == rig.spans[2].attributes["gen_ai.agent.name"]


def test_failures_are_named_and_pass_through(rig: Rig) -> None:
    """An exception marks the span and the metric, and reaches the caller as the same object."""
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught, agent_run("a"), tool_call("t"):
        raise error
    assert error is caught.value
    span = rig.named("execute_tool t")
    assert StatusCode.ERROR is span.status_code
    assert "ValueError" == span.attributes["error.type"]
    assert ["exception"] == [event.name for event in span.events]
    assert {'gen_ai_tool_name="t",error_type="ValueError"': (1, 0)} == rig.totals(
        "gen_ai_execute_tool_duration_seconds"
    )
    assert ("agent.run", "error") == rig.events[-1][:2]


async def test_runs_decorate_functions_of_every_kind(rig: Rig) -> None:
    """Each call of a decorated function is a run of its own, with its name and result kept."""

    @agent_run("plain")
    def plain(a: int) -> int:
        return a + 1

    @agent_run("awaited")
    async def awaited(a: int) -> int:
        await asyncio.sleep(0)
        return a + 2

    @agent_run("stepped")
    def stepped() -> Iterator[int]:
        with tool_call("t"):
            yield 1
        yield 2

    @agent_run("streamed")
    async def streamed() -> AsyncIterator[int]:
        yield 1
        async with tool_call("u"):
            yield 2

    assert (2, 3) == (plain(1), await awaited(1))
    assert "plain" == plain.__name__
    assert 4 == plain(3)
    assert [1, 2] == list(stepped())
    seen = []
    async for item in streamed():
        # The consumer is not inside the run.
        assert not get_current_span().get_span_context().is_valid or item == 2
        seen.append(item)
    assert [1, 2] == seen
    names = [span.name for span in rig.spans]
    assert 2 == names.count("invoke_agent plain")
    assert 1 == names.count("invoke_agent awaited")
    stepped_span, tool = rig.named("invoke_agent stepped"), rig.named("execute_tool t")
    assert stepped_span.span_id == tool.parent_id
    assert rig.named("invoke_agent streamed").span_id == rig.named("execute_tool u").parent_id


async def test_an_abandoned_run_ends_without_complaint(rig: Rig) -> None:
    """A generator closed by another task ends its run as abandoned, and restores nothing."""

    async def items() -> AsyncIterator[int]:
        with agent_run("a"):
            yield 1
            yield 2

    generator = items()
    assert 1 == await asyncio.create_task(anext(generator))  # type: ignore[arg-type] # a coroutine
    await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined] # a generator
    assert "abandoned" == rig.named("invoke_agent a").attributes["error.type"]


def test_a_run_binds_user_and_tenant(rig: Rig) -> None:
    """Inside a run its user and tenant are those of the context; outside they are as before."""
    with agent_run("a", user_id="u", tenant_id="t"):
        assert ("u", "t") == (context.user_id(), context.tenant_id())
    assert ("", "") == (context.user_id(), context.tenant_id())
    assert [] == [span for span in rig.spans if "error.type" in span.attributes]


def test_runs_are_counted_by_outcome(rig: Rig) -> None:
    """What an exception ends is an error, what is cancelled is neither success nor error."""
    for error in (None, ValueError("no"), asyncio.CancelledError()):
        with suppress(ValueError, asyncio.CancelledError), agent_run("support"):
            rig.clock.advance(0.25)
            if error is not None:
                raise error
    name = 'agent_runs_total{gen_ai_agent_name="support",agent_outcome="%s"}'
    assert {
        name % "success": 1.0,
        name % "error": 1.0,
        name % "cancelled": 1.0,
    } == rig.samples("agent_runs_total")
    assert [("success", 0.25), ("error", 0.25), ("cancelled", 0.25)] == [
        (fields["agent.outcome"], fields["duration_s"]) for _, _, fields in rig.events
    ]


def test_prompt_and_answer_of_a_run_are_logged_on_opt_in() -> None:
    """The event carries what was asked and answered only when content may be recorded."""
    seen = []
    for capture in (False, True):
        with attached(capture_content=capture) as rig, reraising():
            with agent_run("support", input="Where is it?") as run:
                run.record_output("On its way.")
            fields = rig.events[-1][2]
            seen.append((fields.get("gen_ai.input.messages"), fields.get("gen_ai.output.messages")))
    assert [(None, None), ("Where is it?", "On its way.")] == seen


def test_a_tool_called_again_and_again_is_a_loop(rig: Rig) -> None:
    """The fifth call with the same arguments in one run counts, once, whatever their order of keys."""
    with agent_run("support"):
        for _ in range(7):
            with tool_call("search", arguments={"q": "x", "n": 1}):
                pass
        for number in range(7):
            with tool_call("fetch", arguments={"id": number}):
                pass
            with tool_call("search", arguments={"n": 1, "q": "x"}):
                pass
            with tool_call("now"):
                pass
    with agent_run("support"):
        for _ in range(4):
            with tool_call("search", arguments={"q": "x", "n": 1}):
                pass
    series = 'agent_loops_total{gen_ai_agent_name="support",gen_ai_tool_name="search"}'
    assert {series: 1.0} == rig.samples("agent_loops_total")
    assert [
        (
            "agent.loop",
            "warning",
            {
                "gen_ai.agent.name": "support",
                "gen_ai.tool.name": "search",
                "agent.loop.repeats": 5,
            },
        )
    ] == [event for event in rig.events if event[0] == "agent.loop"]


def test_a_run_remembers_only_so_many_calls() -> None:
    """Past the limit further calls are not looked at, and the known ones still are."""
    run = Run("a", None)
    counts = [run.repeat("t", number, 2) for number in (1, 2, 3, 3, 1, 2, 1)]
    assert [1, 1, 0, 0, 2, 2, 3] == counts
