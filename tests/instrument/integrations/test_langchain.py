"""LangChain and LangGraph themselves, with OpenAI's real client, against a provider on this host."""

from __future__ import annotations

import gc
import operator
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry import trace
from tests.house.rooms import ROOT
from tests.instrument.integrations.providers import Provider, Reply, chat_chunks, provider
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument.domain import agent_run
from watchkeeper.instrument.guard import hook_errors, reraising
from watchkeeper.instrument.integrations.langchain import instrument
from watchkeeper.instrument.integrations.openai import instrument as instrument_openai
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import above
from watchkeeper.testing import capture

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Sunny"}}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
}
LABELS = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
PRICE = (10 * 2.5 + 3 * 10) / 1e6
ASK: dict[str, Any] = {"messages": [("user", "What about Rome?")]}


def calling(name: str, arguments: str) -> dict[str, Any]:
    """Return an answer that asks for one call of a tool."""
    function = {"name": name, "arguments": arguments}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    return {**CHAT, "choices": [choice]}


def support(model: Any, tools: list[Any], **options: Any) -> Any:
    """Return an agent of that name."""
    return create_agent(model, tools, name="support", **options)


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    trace.get_tracer("shop").start_span(f"look up {len(city)}").end()
    return f"sunny in {city}"


@tool
def broken(city: str) -> str:
    """Fail."""
    raise LookupError(city)


class State(TypedDict):
    """What passes through the graphs here."""

    answer: str


class Cities(TypedDict):
    """What passes through a graph whose nodes run side by side."""

    cities: Annotated[list[str], operator.add]


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a rig with LangChain and OpenAI's client instrumented, and nothing wrong of ours."""
    before = dict(hook_errors())
    with attached() as made, reraising(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", made.recorder.tracer_provider)
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
def model(far: Provider) -> Iterator[ChatOpenAI]:
    """Return a chat model of the provider, whose clients are closed afterwards."""
    with (
        openai.DefaultHttpxClient() as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.delenv("OPENAI_PROXY", raising=False)
        yield ChatOpenAI(
            model="gpt-4o",
            api_key="k",  # type: ignore[arg-type] # it takes a text
            base_url=f"{far.url}/v1",
            http_client=client,
            stream_usage=True,
            max_retries=0,
        )


def paths(rig: Rig) -> list[str]:
    """Return each span with its ancestors, from the root, in the order of their end."""
    by_id = {span.span_id: span for span in rig.spans}

    def path(span: RecordedSpan) -> str:
        above = by_id.get(span.parent_id)
        return span.name if above is None else f"{path(above)} > {span.name}"

    assert 1 == len({span.trace_id for span in rig.spans})
    return [path(span) for span in rig.spans]


def assert_counted(rig: Rig, calls: int, agent: str = "support") -> None:
    """Assert that *calls* model calls of ten and three tokens are in every metric, once each."""
    assert {
        f'{LABELS},gen_ai_token_type="input"': (calls, 10 * calls),
        f'{LABELS},gen_ai_token_type="output"': (calls, 3 * calls),
    } == rig.totals("gen_ai_client_token_usage")
    durations = rig.totals("gen_ai_client_operation_duration_seconds")
    assert {LABELS: calls} == {labels: count for labels, (count, _) in durations.items()}
    assert [pytest.approx(PRICE * calls)] == list(rig.samples("llm_cost_usd_total").values())
    [payer] = rig.samples("llm_cost_usd_total")
    assert (f'gen_ai_agent_name="{agent}"' in payer) == bool(agent)


AGENT_WITH_TOOL = [
    "invoke_agent support > model > chat gpt-4o > chat gpt-4o",
    "invoke_agent support > model > chat gpt-4o",
    "invoke_agent support > model",
    "invoke_agent support > tools > execute_tool weather > look up 4",
    "invoke_agent support > tools > execute_tool weather",
    "invoke_agent support > tools",
    "invoke_agent support > model > chat gpt-4o > chat gpt-4o",
    "invoke_agent support > model > chat gpt-4o",
    "invoke_agent support > model",
    "invoke_agent support",
]


def test_an_agent_is_one_trace_and_counts_once(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """Graph, nodes, models, clients and tools are nested, and what a tool does lies below it."""
    far.answers(calling("weather", '{"city": "Rome"}'), CHAT)
    agent = support(model, [weather])
    assert "Sunny" == agent.invoke(ASK)["messages"][-1].content
    assert AGENT_WITH_TOOL == paths(rig)
    assert_counted(rig, 2)
    assert {'gen_ai_agent_name="support"': (1, 3)} == rig.totals("agent_run_steps")
    runs = 'agent_runs_total{gen_ai_agent_name="support",agent_outcome="success"}'
    assert {runs: 1.0} == rig.samples("agent_runs_total")
    [tools] = rig.totals("gen_ai_execute_tool_duration_seconds")
    assert 'gen_ai_tool_name="weather"' == tools
    [event] = [fields for name, _, fields in rig.events if name == "agent.run"]
    found = rig.named("invoke_agent support").attributes
    for attributes in (event, found):
        assert ("support", "success", 3, 20, 6) == (
            attributes["gen_ai.agent.name"],
            attributes["agent.outcome"],
            attributes["agent.run.steps"],
            attributes["gen_ai.usage.input_tokens"],
            attributes["gen_ai.usage.output_tokens"],
        )
        assert pytest.approx(2 * PRICE) == attributes["llm.cost_usd"]
    assert "AGENT" == found["openinference.span.kind"]
    assert "call_1" == rig.named("execute_tool weather").attributes["gen_ai.tool.call.id"]


async def test_an_asynchronous_agent_is_the_same(rig: Rig, far: Provider) -> None:
    """`ainvoke` gives the same spans and counts as `invoke`."""
    far.answers(calling("weather", '{"city": "Rome"}'), CHAT)
    async with openai.DefaultAsyncHttpxClient() as client:
        model = ChatOpenAI(
            model="gpt-4o",
            api_key="k",  # type: ignore[arg-type] # it takes a text
            base_url=f"{far.url}/v1",
            http_async_client=client,
        )
        agent = support(model, [weather])
        await agent.ainvoke(ASK)
    assert AGENT_WITH_TOOL == paths(rig)
    assert_counted(rig, 2)
    assert {'gen_ai_agent_name="support"': (1, 3)} == rig.totals("agent_run_steps")


def test_a_streamed_agent_is_the_same(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """With `stream` the model is streamed too, and leaves nothing in the application's context."""
    far.answers(chat_chunks(3))
    agent = support(model, [])
    words = []
    for message, _ in agent.stream(ASK, stream_mode="messages"):
        words.append(message.content)
        assert not trace.get_current_span().get_span_context().is_valid
    assert "word word word " == "".join(words)
    assert AGENT_WITH_TOOL[:3] + AGENT_WITH_TOOL[-1:] == paths(rig)
    assert_counted(rig, 1)


def test_a_streamed_model_is_nested(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """The client's span lies below the model's, and the time to the first token is on both."""
    far.answers(chat_chunks(3))
    for chunk in model.stream("Rome?"):
        assert chunk is not None
        assert not trace.get_current_span().get_span_context().is_valid
    assert ["chat gpt-4o > chat gpt-4o", "chat gpt-4o"] == paths(rig)
    assert_counted(rig, 1, agent="")
    for span in rig.spans:
        assert "gen_ai.response.time_to_first_chunk" in span.attributes


async def test_an_asynchronously_streamed_model_is_nested(rig: Rig, far: Provider) -> None:
    """`astream` likewise, one stream beside another."""
    far.answers(chat_chunks(3), chat_chunks(3))
    async with openai.DefaultAsyncHttpxClient() as client:
        model = ChatOpenAI(
            model="gpt-4o",
            api_key="k",  # type: ignore[arg-type] # it takes a text
            base_url=f"{far.url}/v1",
            http_async_client=client,
            stream_usage=True,
        )
        async for _ in model.astream("Rome?"):
            pass
        async for _ in model.astream("Pisa?"):
            pass
    by_id = {span.span_id: span for span in rig.spans}
    clients = [span for span in rig.spans if span.scope_name == "watchkeeper"]
    assert [True, True] == [
        by_id[span.parent_id].scope_name.startswith("openinference") for span in clients
    ]
    assert 2 == len({span.parent_id for span in clients})
    assert_counted(rig, 2, agent="")


def test_an_abandoned_stream_counts_once(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """LangChain's span ends before the client's then, and still does not count beside it."""
    far.answers(chat_chunks(3))
    for _ in model.stream("Rome?"):
        break
    assert [1.0] == list(rig.samples("llm_streams_abandoned_total").values())
    durations = rig.totals("gen_ai_client_operation_duration_seconds")
    assert [1] == [count for count, _ in durations.values()]


def test_a_graph_that_is_left_is_cancelled(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """Who stops reading ends the run, whose model counts what it was sent."""
    far.answers(chat_chunks(3))
    for _ in support(model, []).stream(ASK, stream_mode="messages"):
        break
    gc.collect()
    found = rig.named("invoke_agent support").attributes
    assert ("cancelled", "abandoned") == (found["agent.outcome"], found["error.type"])
    assert_counted(rig, 1)


def test_graphs_within_graphs_are_runs_of_their_own(
    rig: Rig, far: Provider, model: ChatOpenAI
) -> None:
    """An agent as a node, or called in one, has its own costs, which the outer run adds up."""
    far.answers(CHAT, CHAT)
    inner = support(model, [])
    graph = StateGraph(MessagesState)
    graph.add_node("help", inner)
    graph.add_node("call", lambda state: inner.invoke({"messages": state["messages"]}))
    graph.add_edge(START, "help")
    graph.add_edge("help", "call")
    graph.add_edge("call", END)
    desk: Any = graph.compile(name="desk")
    desk.invoke(ASK)
    assert [1, 1, 2] == [
        span.attributes["agent.run.steps"] for span in rig.spans if "invoke_agent" in span.name
    ]
    assert {
        'agent_runs_total{gen_ai_agent_name="desk",agent_outcome="success"}': 1.0,
        'agent_runs_total{gen_ai_agent_name="support",agent_outcome="success"}': 2.0,
    } == rig.samples("agent_runs_total")
    assert_counted(rig, 2)


def test_several_prompts_at_once_have_a_span_each(
    rig: Rig, far: Provider, model: ChatOpenAI
) -> None:
    """`generate` begins all of its runs before the first is asked; each client finds its own."""
    far.answers(CHAT, CHAT)
    model.generate([[HumanMessage("Rome?")], [HumanMessage("Pisa?")]])
    clients = [span for span in rig.spans if span.scope_name == "watchkeeper"]
    above = {span.span_id for span in rig.spans} - {span.span_id for span in clients}
    assert above == {span.parent_id for span in clients}
    assert_counted(rig, 2, agent="")


SIDE_BY_SIDE = [
    "invoke_agent towns",
    *(
        f"invoke_agent towns > {node}{rest}"
        for node in ("oslo", "pisa", "rome")
        for rest in ("", " > chat gpt-4o", " > chat gpt-4o > chat gpt-4o")
    ),
]


def towns(ask: Any) -> Any:
    """Return a graph that asks about three towns at once."""
    graph = StateGraph(Cities)
    for name in ("rome", "pisa", "oslo"):
        graph.add_node(name, ask)
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    return graph.compile(name="towns")


def test_nodes_in_threads_keep_their_calls(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """Nodes that run side by side have their own models and clients below them."""
    far.answers(CHAT, CHAT, CHAT)

    def ask(state: Cities) -> Cities:
        del state
        return {"cities": [str(model.invoke("Which?").text)]}

    assert ["Sunny"] * 3 == towns(ask).invoke({"cities": []})["cities"]
    assert SIDE_BY_SIDE == sorted(paths(rig))
    assert_counted(rig, 3, agent="towns")
    assert [(1, 3)] == list(rig.totals("agent_run_steps").values())


async def test_nodes_in_tasks_keep_their_calls(rig: Rig, far: Provider) -> None:
    """The same for coroutines, one of which streams what it is answered."""
    far.answers(chat_chunks(3), chat_chunks(3), chat_chunks(3))
    async with openai.DefaultAsyncHttpxClient() as client:
        model = ChatOpenAI(
            model="gpt-4o",
            api_key="k",  # type: ignore[arg-type] # it takes a text
            base_url=f"{far.url}/v1",
            http_async_client=client,
            stream_usage=True,
        )

        async def ask(state: Cities) -> Cities:
            del state
            return {"cities": [str(part.text) async for part in model.astream("Which?")][:1]}

        assert ["word "] * 3 == (await towns(ask).ainvoke({"cities": []}))["cities"]
    assert SIDE_BY_SIDE == sorted(paths(rig))
    assert_counted(rig, 3, agent="towns")
    assert [(1, 3)] == list(rig.totals("agent_run_steps").values())


def test_a_model_without_a_client_of_ours_counts_itself(rig: Rig) -> None:
    """Its tokens are those that LangChain knows."""
    answer = AIMessage(
        "Sunny", usage_metadata={"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
    )
    fake = GenericFakeChatModel(messages=iter([answer]))
    agent = support(fake, [])
    with agent_run("shop") as outer:
        agent.invoke(ASK)
    tokens = rig.totals("gen_ai_client_token_usage")
    assert [(1, 10), (1, 3)] == list(tokens.values())
    assert (1, 10, 3) == (outer.steps, outer.input_tokens, outer.output_tokens)
    assert 10 == rig.named("invoke_agent support").attributes["gen_ai.usage.input_tokens"]


def test_a_tool_that_fails_is_an_error(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """The tool's and the agent's metrics name the exception, which the application gets."""
    far.answers(calling("broken", '{"city": "Rome"}'))
    with pytest.raises(LookupError):
        support(model, [broken]).invoke(ASK)
    tools = 'gen_ai_tool_name="broken",error_type="LookupError"'
    assert [tools] == list(rig.totals("gen_ai_execute_tool_duration_seconds"))
    runs = 'agent_runs_total{gen_ai_agent_name="support",agent_outcome="error"}'
    assert {runs: 1.0} == rig.samples("agent_runs_total")
    assert [("agent.run", "error")] == [
        (name, level) for name, level, _ in rig.events if name == "agent.run"
    ]
    assert_counted(rig, 1)


def test_a_model_that_fails_is_one_error(rig: Rig, far: Provider, model: ChatOpenAI) -> None:
    """The client's error is counted, the model's span repeats it."""
    far.answers(Reply(b'{"error": {"message": "slow down"}}', 429))
    with pytest.raises(openai.RateLimitError):
        model.invoke("Rome?")
    durations = rig.totals("gen_ai_client_operation_duration_seconds")
    assert {f'{LABELS},error_type="openai.RateLimitError"': 1} == {
        labels: count for labels, (count, _) in durations.items()
    }
    assert [
        "openai.RateLimitError",
        "langchain_openai.chat_models.base.OpenAIRateLimitError",
    ] == [span.attributes["error.type"] for span in rig.spans]


def test_graphs_and_their_names(rig: Rig) -> None:
    """A graph is an agent by its name, a node that is called one is not, nor is a chain."""

    def node(state: State) -> State:
        del state
        return {"answer": "yes"}

    graph = StateGraph(State)
    graph.add_node("agent", node)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    compiled = graph.compile(name="checker", checkpointer=InMemorySaver())
    compiled.invoke({"answer": ""}, {"configurable": {"thread_id": "t1"}})
    RunnableLambda(lambda text: text).with_config(run_name="agent chain").invoke("x")
    assert ["agent", "invoke_agent checker", "agent chain"] == [span.name for span in rig.spans]
    assert "t1" == rig.spans[1].attributes["gen_ai.conversation.id"]
    assert ["CHAIN", "AGENT", "CHAIN"] == [
        span.attributes["openinference.span.kind"] for span in rig.spans
    ]
    assert {'gen_ai_agent_name="checker"': (1, 0)} == rig.totals("agent_run_steps")


def test_waiting_for_somebody_is_no_error(rig: Rig) -> None:
    """A graph that interrupts itself goes on later."""

    def node(state: State) -> State:
        del state
        return {"answer": str(interrupt("sure?"))}

    graph = StateGraph(State)
    graph.add_node("ask", node)
    graph.add_edge(START, "ask")
    compiled = graph.compile(checkpointer=InMemorySaver())
    compiled.invoke({"answer": ""}, {"configurable": {"thread_id": "t"}})
    assert [None, None] == [span.attributes.get("error.type") for span in rig.spans]
    assert 'agent_outcome="success"' in next(iter(rig.samples("agent_runs_total")))


def test_a_tool_that_is_called_in_vain_is_a_loop(
    rig: Rig, far: Provider, model: ChatOpenAI
) -> None:
    """The same tool with the same arguments, as often as the setting says."""
    repeats = rig.settings.agent_loop_repeats
    far.answers(*[calling("weather", '{"city": "Rome"}')] * repeats, CHAT)
    support(model, [weather]).invoke(ASK)
    loops = 'agent_loops_total{gen_ai_agent_name="support",gen_ai_tool_name="weather"}'
    assert {loops: 1.0} == rig.samples("agent_loops_total")


SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"


def conversation(**settings: Any) -> str:
    """Run an agent whose tool fails, and return all that was recorded, as one text."""
    with capture(**settings) as captured, provider() as far, reraising():
        undo = instrument(captured.runtime)
        try:
            with openai.DefaultHttpxClient() as client:
                model = ChatOpenAI(
                    model="gpt-4o",
                    api_key="k",  # type: ignore[arg-type] # it takes a text
                    base_url=f"{far.url}/v1",
                    http_client=client,
                )
                far.answers(
                    calling("weather", '{"city": "Romulus"}'),
                    calling("broken", '{"city": "Remus"}'),
                )
                agent = support(model, [weather, broken], system_prompt="Be a wolf.")
                asked = f"Tell me all about {SECRET} and {'so ' * 3000} on."
                with pytest.raises(LookupError):
                    agent.invoke({"messages": [("user", asked)]}, {"metadata": {"note": "private"}})
        finally:
            undo()
        agents = [span for span in captured.spans if span.name == "invoke_agent support"]
        told = [log for log in captured.logs if log.body == "agent.run"]
        assert [span.trace_id for span in agents] == [log.trace_id for log in told] != []
        prompted = ["Tell me" in str(log.attributes.get("gen_ai.input.messages")) for log in told]
        assert [bool(settings)] == prompted
        sent = captured._exporter.bodies("traces") + captured._exporter.bodies("logs")
        return b"".join(sent).decode(errors="replace")


def test_no_content_leaves_unless_opted_in() -> None:
    """Neither prompts, answers, arguments, results, metadata nor texts of exceptions."""
    seen = conversation()
    for text in ("Tell me", "Romulus", "Remus", "wolf", "private", "sunny", "REDACTED", "Fail."):
        assert text not in seen
    assert "LookupError" in seen


def test_content_is_redacted_and_cut_on_opt_in() -> None:
    """With `capture_content` it is there, without secrets, up to `content_chars_max`."""
    seen = conversation(capture_content=True, content_chars_max=1_500)
    for text in ("Tell me", "Romulus", "wolf", "sunny"):
        assert text in seen
    assert SECRET not in seen
    assert "so " * 600 not in seen


def test_texts_of_langchain_make_no_warning() -> None:
    """A chain whose steps hand on the text of a message is recorded without one."""
    with (
        attached(capture_content=True) as rig,
        reraising(),
        warnings.catch_warnings(record=True) as seen,
    ):
        warnings.simplefilter("always")
        undo = instrument(rig)
        model = FakeListChatModel(responses=["four"])
        assert "four" == (model | StrOutputParser() | StrOutputParser()).invoke("2+2?")
        undo()
    assert [] == [str(warning.message) for warning in seen]
    assert "four" == rig.spans[-1].attributes["output.value"]


def test_an_instrumentation_of_the_application_stays(far: Provider, model: ChatOpenAI) -> None:
    """Who has switched OpenInference on keeps it as it is, with its own settings, and nested."""
    with attached() as rig, reraising():
        instrumentor = LangChainInstrumentor()
        instrumentor.instrument(tracer_provider=rig.recorder.tracer_provider, skip_dep_check=True)
        undo_openai, undo = instrument_openai(rig), instrument(rig)
        far.answers(CHAT)
        model.invoke("Rome?")
        undo()
        undo_openai()
        assert instrumentor.is_instrumented_by_opentelemetry
        instrumentor.uninstrument()
    assert ["chat gpt-4o > chat gpt-4o", "chat gpt-4o"] == paths(rig)
    assert "Rome?" in str(rig.spans[-1].attributes["input.value"])
    assert_counted(rig, 1, agent="")


def test_undo_puts_everything_back(far: Provider, model: ChatOpenAI) -> None:
    """Afterwards LangChain's classes and modules are as they were."""
    from langchain_core.callbacks import BaseCallbackManager
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import config
    from langgraph._internal import _runnable

    def everything() -> list[object]:
        return [
            BaseCallbackManager.__init__,
            BaseChatModel._generate_with_cache,
            BaseChatModel._agenerate_with_cache,
            config._set_config_context,
            _runnable._set_config_context,
            list(above),
            list(sys.meta_path),
            LangChainInstrumentor().is_instrumented_by_opentelemetry,
        ]

    before = everything()
    with attached() as rig:
        undo = instrument(rig)
        assert before != everything()
        undo()
        far.answers(CHAT)
        model.invoke("Rome?")
    assert before == everything()
    assert [] == rig.spans


PROGRAM = """
import io, logging, sys
sys.path[:0] = {path!r}
import watchkeeper
logged = io.StringIO()
logging.getLogger("watchkeeper").addHandler(logging.StreamHandler(logged))
watchkeeper.configure(service="t", endpoint="", log_stream=io.StringIO())
assert not [name for name in sys.modules if name.startswith(("langchain", "langgraph", "openinference"))]
{missing}
{imports}
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from watchkeeper.instrument.guard import hook_errors
from watchkeeper.instrument.integrations import installed
spans = []
watchkeeper.current().recorder.add_end_hook(lambda span: spans.append(span.name))
assert FakeListChatModel(responses=["four"]).invoke("2+2?").content == "four"
print("langchain" in installed(), len(spans), dict(hook_errors()))
assert "langchain" in watchkeeper.instrument("langchain") or {missing!r}
FakeListChatModel(responses=["four"]).invoke("2+2?")
watchkeeper.uninstrument("langchain")
FakeListChatModel(responses=["four"]).invoke("2+2?")
print(len(spans), logged.getvalue().count("pip install openinference-instrumentation-langchain"))
"""
NO_PACKAGE = """
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("openinference"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""


def run(imports: str, missing: str = "") -> list[str]:
    """Run the program in a process of its own, warnings being errors, and return its lines."""
    code = PROGRAM.format(path=[str(ROOT), str(ROOT / "src")], imports=imports, missing=missing)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, timeout=200,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "imports",
    [
        "import langchain_core.callbacks",
        "import langchain_core.runnables.config",
        "import langchain_core.tracers",
        "import langgraph.graph",
        "from langchain.agents import create_agent",
        "import openinference.instrumentation.langchain",
    ],
)
def test_whatever_is_imported_first_works(imports: str) -> None:
    """Nothing is imported before the application does; then it is on, once, and off by name."""
    assert ["True 1 {}", "2 0"] == run(imports)


def test_without_its_package_the_fix_is_told_once() -> None:
    """LangChain works, nothing of ours counts as failed, and one line says what to install."""
    assert ["False 0 {}", "0 1"] == run("", NO_PACKAGE)
