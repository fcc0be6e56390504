"""PydanticAI itself, with OpenAI's real client, against a provider on this host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelHTTPError, ModelRetry
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.openai import OpenAIProvider
from tests.house.rooms import ROOT
from tests.instrument.integrations.providers import Provider, Reply, chat_chunks, provider
from tests.instrument.integrations.test_langchain import (
    CHAT,
    PRICE,
    SECRET,
    assert_counted,
    calling,
    paths,
)
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument.domain import agent_run
from watchkeeper.instrument.guard import hook_errors, reraising
from watchkeeper.instrument.integrations.openai import instrument as instrument_openai
from watchkeeper.instrument.integrations.pydantic_ai import instrument
from watchkeeper.testing import capture


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a rig with PydanticAI and OpenAI's client instrumented, and nothing wrong of ours."""
    before = dict(hook_errors())
    with attached() as made, reraising():
        undo_openai, undo = instrument_openai(made), instrument(made)
        yield made
        undo()
        undo_openai()
    assert before == dict(hook_errors())


@pytest.fixture
def far() -> Iterator[Provider]:
    """Return a provider."""
    with provider() as made:
        yield made


@pytest.fixture
async def model(far: Provider) -> AsyncIterator[OpenAIChatModel]:
    """Return a model of the provider, whose client is closed afterwards."""
    async with asked_through(far) as made:
        yield made


class asked_through:  # noqa: N801 - used like a function
    """A model of a provider for the length of an ``async with`` block."""

    def __init__(self, far: Provider) -> None:
        self._client = httpx2.AsyncClient()
        self._model = OpenAIChatModel(
            "gpt-4o",
            provider=OpenAIProvider(
                base_url=f"{far.url}/v1", api_key="k", http_client=self._client
            ),
        )
        self._model.client.max_retries = 0

    async def __aenter__(self) -> OpenAIChatModel:
        return self._model

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()


def with_tools(model: Any) -> Agent[None, str]:
    """Return an agent with a tool that works and two that do not."""
    agent = Agent(model, name="support", system_prompt="Be a wolf.")

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"sunny in {city}"

    @agent.tool_plain
    def broken(city: str) -> str:
        """Fail."""
        raise LookupError(city)

    @agent.tool_plain
    def picky(city: str) -> str:
        """Ask for something else."""
        raise ModelRetry(f"not {city}")

    return agent


async def test_an_agent_is_one_trace_and_counts_once(
    rig: Rig, far: Provider, model: OpenAIChatModel
) -> None:
    """The run, its model calls with their clients, and its tools; with the run's sums and event."""
    far.answers(calling("weather", '{"city": "Rome"}'), CHAT)
    result = await with_tools(model).run("What about Rome?")
    assert "Sunny" == result.output
    assert [
        "invoke_agent support > chat gpt-4o > chat gpt-4o",
        "invoke_agent support > chat gpt-4o",
        "invoke_agent support > execute_tool weather",
        "invoke_agent support > chat gpt-4o > chat gpt-4o",
        "invoke_agent support > chat gpt-4o",
        "invoke_agent support",
    ] == paths(rig)
    assert_counted(rig, 2)
    assert {'gen_ai_agent_name="support"': (1, 3)} == rig.totals("agent_run_steps")
    assert ['gen_ai_agent_name="support"'] == list(
        rig.totals("gen_ai_invoke_agent_duration_seconds")
    )
    runs = 'agent_runs_total{gen_ai_agent_name="support",agent_outcome="success"}'
    assert {runs: 1.0} == rig.samples("agent_runs_total")
    assert ['gen_ai_tool_name="weather"'] == list(
        rig.totals("gen_ai_execute_tool_duration_seconds")
    )
    [event] = [fields for name, _, fields in rig.events if name == "agent.run"]
    for attributes in (event, rig.named("invoke_agent support").attributes):
        assert ("support", "success", 3, 20, 6) == (
            attributes["gen_ai.agent.name"],
            attributes["agent.outcome"],
            attributes["agent.run.steps"],
            attributes["gen_ai.usage.input_tokens"],
            attributes["gen_ai.usage.output_tokens"],
        )
        assert pytest.approx(2 * PRICE) == attributes["llm.cost_usd"]
    assert ["llm.call", "llm.call", "agent.run"] == [name for name, _, _ in rig.events]


async def test_a_streamed_run_is_the_same(rig: Rig, far: Provider, model: OpenAIChatModel) -> None:
    """`run_stream` and `iter`, whose code runs in tasks of their own."""
    far.answers(chat_chunks(3), CHAT)
    agent = with_tools(model)
    async with agent.run_stream("Rome?") as result:
        assert "word word word " == [text async for text in result.stream_text()][-1]
    async with agent.iter("Rome?") as run:
        assert [node async for node in run]
    assert_counted(rig, 2)
    assert {'gen_ai_agent_name="support"': (2, 2)} == rig.totals("agent_run_steps")
    assert [1, 1] == [
        span.attributes["agent.run.steps"]
        for span in rig.spans
        if span.name == "invoke_agent support"
    ]


async def test_an_abandoned_stream_counts_once(
    rig: Rig, far: Provider, model: OpenAIChatModel
) -> None:
    """Whichever of the two spans ends first."""
    far.answers(chat_chunks(300))
    async with with_tools(model).run_stream("Rome?") as result:
        async for _ in result.stream_text(debounce_by=None):
            break
    durations = rig.totals("gen_ai_client_operation_duration_seconds")
    assert [1] == [count for count, _ in durations.values()]
    assert {'gen_ai_agent_name="support"': (1, 1)} == rig.totals("agent_run_steps")


async def test_an_agent_of_an_agent_counts_its_own(
    rig: Rig, far: Provider, model: OpenAIChatModel
) -> None:
    """Cost goes to the inner agent, and adds up in both runs and in the application's around."""
    far.answers(CHAT)
    inner = with_tools(model)
    outer = Agent(TestModel(call_tools=["ask"]), name="desk")

    @outer.tool
    async def ask(ctx: RunContext[object]) -> str:
        del ctx
        return (await inner.run("Rome?")).output

    with agent_run("shop") as shop:
        await outer.run("Hello?")
    by_name = {span.name: span.attributes for span in rig.spans}
    assert 1 == by_name["invoke_agent support"]["agent.run.steps"]
    assert 4 == by_name["invoke_agent desk"]["agent.run.steps"] == shop.steps
    [payer] = [series for series in rig.samples("llm_cost_usd_total") if "gpt-4o" in series]
    assert 'gen_ai_agent_name="support"' in payer


async def test_a_model_without_a_client_of_ours_counts_itself(rig: Rig) -> None:
    """Its tokens are those that PydanticAI knows."""
    result = await Agent(TestModel(), name="support").run("Hello?")
    usage = result.usage
    tokens = rig.totals("gen_ai_client_token_usage")
    assert [(1, usage.input_tokens), (1, usage.output_tokens)] == list(tokens.values())
    assert usage.input_tokens == rig.spans[-1].attributes["gen_ai.usage.input_tokens"]


@pytest.mark.parametrize(
    ("tool", "error"),
    [("broken", "LookupError"), ("picky", "pydantic_ai.exceptions.ToolRetryError")],
)
async def test_a_tool_that_fails_is_an_error(
    rig: Rig, far: Provider, model: OpenAIChatModel, tool: str, error: str
) -> None:
    """The tool's metric names the exception; whether the run fails with it is up to PydanticAI."""
    far.answers(calling(tool, '{"city": "Rome"}'), CHAT)
    outcome = "success"
    try:
        await with_tools(model).run("Rome?")
    except LookupError:
        outcome = "error"
    assert [f'gen_ai_tool_name="{tool}",error_type="{error}"'] == list(
        rig.totals("gen_ai_execute_tool_duration_seconds")
    )
    runs = f'agent_runs_total{{gen_ai_agent_name="support",agent_outcome="{outcome}"}}'
    assert {runs: 1.0} == rig.samples("agent_runs_total")
    assert error == rig.named(f"execute_tool {tool}").attributes["error.type"]


async def test_a_tool_that_is_called_in_vain_is_a_loop(
    rig: Rig, far: Provider, model: OpenAIChatModel
) -> None:
    """The same tool with the same arguments, as often as the setting says, in whatever order."""
    repeats = rig.settings.agent_loop_repeats
    far.answers(*[calling("weather", '{"city": "Rome"}')] * repeats, CHAT)
    await with_tools(model).run("Rome?")
    loops = 'agent_loops_total{gen_ai_agent_name="support",gen_ai_tool_name="weather"}'
    assert {loops: 1.0} == rig.samples("agent_loops_total")


async def test_a_trace_that_is_not_sampled_counts_all_the_same(far: Provider) -> None:
    """Metrics do not depend on it, and the spans below a framework's follow the decision."""
    with attached(ratio=0.0) as rig, reraising():
        undo_openai, undo = instrument_openai(rig), instrument(rig)
        far.answers(calling("weather", '{"city": "Rome"}'), CHAT)
        async with asked_through(far) as model:
            await with_tools(model).run("Rome?")
        undo()
        undo_openai()
    assert_counted(rig, 2)
    assert {False} == {span.sampled for span in rig.spans}


async def test_a_run_of_the_application_within_a_tool_is_the_inner_one(
    rig: Rig, far: Provider, model: OpenAIChatModel
) -> None:
    """Of runs within runs, whoever began them, the innermost has the cost, and all have the sum."""
    far.answers(CHAT)
    outer = Agent(TestModel(call_tools=["ask"]), name="desk")

    @outer.tool_plain
    async def ask() -> str:
        with agent_run("support"):
            asked = [ModelRequest(parts=[UserPromptPart("Rome?")])]
            return (await model_request(model, asked)).text or ""

    await outer.run("Hello?")
    [payer] = [series for series in rig.samples("llm_cost_usd_total") if "gpt-4o" in series]
    assert 'gen_ai_agent_name="support"' in payer
    steps = {span.name: span.attributes.get("agent.run.steps") for span in rig.spans}
    assert (1, 4) == (steps["invoke_agent support"], steps["invoke_agent desk"])


async def test_a_model_that_fails_is_one_error(
    rig: Rig, far: Provider, model: OpenAIChatModel
) -> None:
    """The client's error is counted; the model's and the agent's spans have PydanticAI's."""
    far.answers(Reply(b'{"error": {"message": "slow down"}}', 429))
    with pytest.raises(ModelHTTPError):
        await with_tools(model).run("Rome?")
    durations = rig.totals("gen_ai_client_operation_duration_seconds")
    [(labels, (count, _))] = durations.items()
    assert ("openai.RateLimitError", 1) == (labels.partition('error_type="')[2][:-1], count)
    assert ["openai.RateLimitError"] + ["pydantic_ai.exceptions.ModelRateLimitError"] * 2 == [
        span.attributes["error.type"] for span in rig.spans
    ]
    assert 'agent_outcome="error"' in next(iter(rig.samples("agent_runs_total")))


async def conversation(**settings: Any) -> str:
    """Run an agent whose tool fails, and return all that was recorded, as one text."""
    with capture(**settings) as captured, provider() as far, reraising():
        undo = instrument(captured.runtime)
        try:
            far.answers(
                calling("weather", '{"city": "Romulus"}'), calling("broken", '{"city": "Remus"}')
            )
            async with asked_through(far) as model:
                agent = with_tools(model)
                asked = f"Tell me all about {SECRET} and {'so ' * 3000} on."
                with pytest.raises(LookupError):
                    await agent.run(asked, metadata={"note": "private"})
        finally:
            undo()
        agents = [span for span in captured.spans if span.name == "invoke_agent support"]
        told = [log for log in captured.logs if log.body == "agent.run"]
        assert [span.trace_id for span in agents] == [log.trace_id for log in told] != []
        prompted = ["Tell me" in str(log.attributes.get("gen_ai.input.messages")) for log in told]
        assert [bool(settings)] == prompted
        sent = captured._exporter.bodies("traces") + captured._exporter.bodies("logs")
        return b"".join(sent).decode(errors="replace")


async def test_no_content_leaves_unless_opted_in() -> None:
    """Neither prompts, answers, arguments, results, metadata nor texts of exceptions."""
    seen = await conversation()
    for text in ("Tell me", "Romulus", "Remus", "wolf", "private", "sunny", "Fail.", "logfire"):
        assert text not in seen
    assert "LookupError" in seen


async def test_content_is_redacted_and_cut_on_opt_in() -> None:
    """With `capture_content` it is there, without secrets, up to `content_chars_max`."""
    seen = await conversation(capture_content=True, content_chars_max=1_500)
    for text in ("Tell me", "Romulus", "wolf", "sunny"):
        assert text in seen
    assert SECRET not in seen
    assert "so " * 600 not in seen


def test_undo_puts_everything_back() -> None:
    """Afterwards agents are as they were; what the application says meanwhile stays."""
    before = Agent._instrument_default
    execute = Instrumentation.wrap_tool_execute
    with attached() as rig:
        undo = instrument(rig)
        again = instrument(rig)
        again()
        assert before is not Agent._instrument_default
        undo()
        assert before is Agent._instrument_default
        assert execute is Instrumentation.wrap_tool_execute
        undo = instrument(rig)
        Agent.instrument_all(instrument=True)
        undo()
        assert True is Agent._instrument_default
        instrument(rig)()
        assert True is Agent._instrument_default
    Agent.instrument_all(before)


PROGRAM = """
import io, sys
sys.path[:0] = {path!r}
import watchkeeper
watchkeeper.configure(service="t", endpoint="", log_stream=io.StringIO())
assert "pydantic_ai" not in sys.modules
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from watchkeeper.instrument.guard import hook_errors
from watchkeeper.instrument.integrations import installed
spans = []
watchkeeper.current().recorder.add_end_hook(lambda span: spans.append(span.name))
agent = Agent(TestModel(), name="support")
agent.run_sync("Hello?")
print("pydantic_ai" in installed(), len(spans), dict(hook_errors()))
watchkeeper.instrument("pydantic_ai")
agent.run_sync("Hello?")
watchkeeper.uninstrument("pydantic_ai")
agent.run_sync("Hello?")
print(len(spans))
"""


def test_importing_it_switches_it_on() -> None:
    """In a fresh process, without a warning, and off again by name."""
    code = PROGRAM.format(path=[str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert ["True 2 {}", "4"] == done.stdout.splitlines()
