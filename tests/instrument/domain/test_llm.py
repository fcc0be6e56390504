"""LLM calls, with the real answer classes of the providers' clients."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
from anthropic.types import (
    Message,
    MessageDeltaUsage,
    RawContentBlockDeltaEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
    TextBlock,
    TextDelta,
    Usage,
)
from anthropic.types.raw_message_delta_event import Delta
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseCompletedEvent
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import context
from watchkeeper.instrument.domain import LlmCall, agent_run, llm_call

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    ],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400},
    },
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4o-2024-08-06",
    "status": "completed",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 20,
        "output_tokens": 5,
        "total_tokens": 25,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 2},
    },
}


def message(stop_reason: str | None = "end_turn", output_tokens: int = 50) -> Message:
    """An answer of Anthropic's Messages API, with cached tokens."""
    return Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "Hello"}],
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 100,
                "output_tokens": output_tokens,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 200,
            },
        }
    )


def chunks() -> list[ChatCompletionChunk]:
    """Three chunks of OpenAI, the last with the usage."""
    base = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    rows = (
        {"choices": [{"index": 0, "delta": {"content": "Hi "}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": "you"}, "finish_reason": "stop"}]},
        {
            "choices": [],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
        },
    )
    return [ChatCompletionChunk.model_validate({**base, **row}) for row in rows]


def tokens(span_attributes: Mapping[str, object]) -> tuple[object, ...]:
    """The four token counts of a span."""
    return tuple(
        span_attributes.get(f"gen_ai.usage.{name}")
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read.input_tokens",
            "cache_creation.input_tokens",
        )
    )


def test_a_chat_completion_gives_model_tokens_and_cost(rig: Rig) -> None:
    """What OpenAI answers becomes attributes, metrics and a cost that charges cached tokens less."""
    with llm_call(provider="openai", model="gpt-4o", max_tokens=200, temperature=0.5) as call:
        rig.clock.advance(1.5)
        call.record_response(ChatCompletion.model_validate(CHAT))
    span = rig.named("chat gpt-4o")
    assert SpanKind.CLIENT is span.kind
    cost = (600 * 2.5 + 400 * 1.25 + 100 * 10) / 1e6
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 200,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "llm.cost_usd": pytest.approx(cost),
    } == span.attributes
    labels = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
    )
    assert {labels: (1, 1.5)} == rig.totals("gen_ai_client_operation_duration_seconds")
    assert [pytest.approx(cost)] == list(rig.samples("llm_cost_usd_total").values())
    assert {} == rig.samples("llm_unknown_price_total")
    name, level, fields = rig.events[-1]
    assert ("llm.call", "info", 1000) == (name, level, fields["gen_ai.usage.input_tokens"])


def test_a_response_of_the_responses_api_is_understood(rig: Rig) -> None:
    """OpenAI's Responses answers are read whole, as their final stream event, and as JSON."""
    event = ResponseCompletedEvent(
        type="response.completed", sequence_number=9, response=Response.model_validate(RESPONSE)
    )
    for answer in (Response.model_validate(RESPONSE), event, RESPONSE):
        with llm_call(provider="openai", model="gpt-4o") as call:
            call.record_response(answer)
    assert [(20, 5, 8, None)] * 3 == [tokens(span.attributes) for span in rig.spans]
    assert {("stop",)} == {span.attributes["gen_ai.response.finish_reasons"] for span in rig.spans}


def test_a_failed_response_is_an_error(rig: Rig) -> None:
    """A response whose status is failed marks the call with the provider's code."""
    failed = {
        **RESPONSE,
        "status": "failed",
        "error": {"code": "server_error", "message": "m"},
    }
    with llm_call(provider="openai", model="gpt-4o") as call:
        call.record_response(Response.model_validate(failed))
    assert "server_error" == rig.spans[0].attributes["error.type"]
    assert StatusCode.ERROR is rig.spans[0].status_code


def test_embeddings_count_input_tokens(rig: Rig) -> None:
    """An embeddings answer has input tokens only."""
    answer = CreateEmbeddingResponse.model_validate(
        {
            "object": "list",
            "data": [],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 12, "total_tokens": 12},
        }
    )
    with llm_call(
        provider="openai", model="text-embedding-3-small", operation="embeddings"
    ) as call:
        call.record_response(answer)
    span = rig.named("embeddings text-embedding-3-small")
    assert (12, 0, None, None) == tokens(span.attributes)
    assert pytest.approx(12 * 0.02 / 1e6) == span.attributes["llm.cost_usd"]


def test_anthropics_cached_tokens_are_part_of_the_input(rig: Rig) -> None:
    """Anthropic counts cached tokens beside the input; the conventions count them inside."""
    with llm_call(provider="anthropic", model="claude-sonnet-4-5") as call:
        call.record_response(message())
    span = rig.named("chat claude-sonnet-4-5")
    assert (1300, 50, 1000, 200) == tokens(span.attributes)
    cost = (100 * 3 + 1000 * 0.3 + 200 * 3.75 + 50 * 15) / 1e6
    assert pytest.approx(cost) == span.attributes["llm.cost_usd"]
    assert ("end_turn",) == span.attributes["gen_ai.response.finish_reasons"]


def events() -> Iterator[object]:
    """What Anthropic's client yields for a streamed answer."""
    yield RawMessageStartEvent(type="message_start", message=message(None, output_tokens=1))
    yield RawContentBlockDeltaEvent(
        type="content_block_delta", index=0, delta=TextDelta(type="text_delta", text="Hello")
    )
    yield RawMessageDeltaEvent(
        type="message_delta",
        delta=Delta(stop_reason="max_tokens"),
        usage=MessageDeltaUsage(output_tokens=77),
    )
    yield RawMessageStopEvent(type="message_stop")


def test_a_stream_is_recorded_while_it_is_read(rig: Rig) -> None:
    """Time to the first chunk, and the tokens of the last event, which are cumulative."""

    def slowly() -> Iterator[object]:
        for event in events():
            rig.clock.advance(0.25)
            yield event

    with llm_call(provider="anthropic", model="claude-sonnet-4-5", stream=True) as call:
        assert 4 == len(list(call.wrap_stream(slowly())))
    span = rig.named("chat claude-sonnet-4-5")
    assert 0.25 == span.attributes["gen_ai.response.time_to_first_chunk"]
    assert (1300, 77, 1000, 200) == tokens(span.attributes)
    assert ("max_tokens",) == span.attributes["gen_ai.response.finish_reasons"]
    assert True is span.attributes["gen_ai.request.stream"]
    assert "error.type" not in span.attributes
    assert [(1, 0.25)] == list(
        rig.totals("gen_ai_client_operation_time_to_first_chunk_seconds").values()
    )


async def test_a_stream_may_outlive_its_block(rig: Rig) -> None:
    """An asynchronous stream that is read after the block still belongs to its run and ends once."""

    async def source() -> AsyncIterator[ChatCompletionChunk]:
        for chunk in chunks():
            rig.clock.advance(1.0)
            await asyncio.sleep(0)
            yield chunk

    with agent_run("a") as run:
        async with llm_call(provider="openai", model="gpt-4o", stream=True) as call:
            stream = call.wrap_stream(source())
        assert [] == rig.spans
        assert 3 == len([chunk async for chunk in stream])
        assert 1 == run.steps
    span = rig.named("chat gpt-4o")
    assert (7, 2, None, None) == tokens(span.attributes)
    assert 3.0 == (span.end_ns - span.start_ns) / 1e9
    assert 7 == rig.named("invoke_agent a").attributes["gen_ai.usage.input_tokens"]


@pytest.mark.parametrize("how", ["close", "forget"])
def test_an_abandoned_stream_is_recorded_with_what_is_known(rig: Rig, how: str) -> None:
    """Closed or dropped before its end, a stream counts what was seen, up to its last chunk."""
    with llm_call(provider="anthropic", model="claude-sonnet-4-5", stream=True) as call:
        stream = call.wrap_stream(events())
        next(stream)
        rig.clock.advance(0.5)
        next(stream)
    rig.clock.advance(60.0)
    if how == "close":
        stream.close()  # type: ignore[attr-defined] # a stand-in for any stream
    del stream, call
    gc.collect()
    span = rig.named("chat claude-sonnet-4-5")
    assert "abandoned" == span.attributes["error.type"]
    assert (1300, 1, 1000, 200) == tokens(span.attributes)
    assert 0.5 == (span.end_ns - span.start_ns) / 1e9
    assert ("llm.call", "warning") == rig.events[-1][:2]
    assert [1.0] == list(rig.samples("llm_streams_abandoned_total").values())


def test_a_stream_that_ends_elsewhere_has_the_ids_of_its_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event of a stream dropped under another span has the call's span, request and user."""
    seen: list[tuple[object, str, str]] = []

    def event(*_: object) -> None:
        seen.append((get_current_span(), context.request_id(), context.user_id()))

    with (
        context.bind(request_id="r-1", user_id="u-1"),
        agent_run("a"),
        llm_call(provider="anthropic", model="claude-sonnet-4-5", stream=True) as call,
    ):
        stream = call.wrap_stream(events())
        next(stream)
    monkeypatch.setattr(rig, "event", event)
    with context.bind(request_id="r-2"), agent_run("other"):
        other = get_current_span()
        del stream, call
        gc.collect()
        assert [(rig.named("chat claude-sonnet-4-5"), "r-1", "u-1")] == seen
        assert (other, "r-2") == (get_current_span(), context.request_id())


def test_an_error_in_a_stream_passes_through(rig: Rig) -> None:
    """What the stream raises reaches the application, and is the call's error even if handled."""

    def broken() -> Iterator[object]:
        yield from chunks()[:1]
        raise TimeoutError("slow")

    with llm_call(provider="openai", model="gpt-4o", stream=True) as call:
        stream = call.wrap_stream(broken())
        with pytest.raises(TimeoutError, match="slow"):
            list(stream)
    assert "TimeoutError" == rig.spans[0].attributes["error.type"]


@pytest.mark.parametrize(
    ("answer", "reasoning", "tools"),
    [
        (
            ChatCompletion.model_validate(
                {
                    **CHAT,
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "tool_calls",
                            "message": {
                                "role": "assistant",
                                "tool_calls": [
                                    {
                                        "id": "c1",
                                        "type": "function",
                                        "function": {"name": "search", "arguments": "{}"},
                                    }
                                ],
                            },
                        }
                    ],
                    "usage": {
                        "prompt_tokens": 10,
                        "completion_tokens": 9,
                        "total_tokens": 19,
                        "completion_tokens_details": {"reasoning_tokens": 6},
                    },
                }
            ),
            6,
            1,
        ),
        (Response.model_validate(RESPONSE), 2, None),
        (
            {
                "type": "message",
                "content": [{"type": "tool_use", "id": "t", "name": "search", "input": {}}],
                "usage": {
                    "input_tokens": 5,
                    "output_tokens": 9,
                    "output_tokens_details": {"thinking_tokens": 4},
                },
            },
            4,
            1,
        ),
    ],
    ids=["chat", "responses", "anthropic"],
)
def test_reasoning_and_wanted_tools_are_seen(
    rig: Rig, answer: object, reasoning: int, tools: int | None
) -> None:
    """Tokens of reasoning count beside the output they are part of; so do calls of tools."""
    with llm_call(provider="openai", model="gpt-4o") as call:
        call.record_response(answer)
    attributes = rig.spans[0].attributes
    assert (reasoning, tools) == (
        attributes["gen_ai.usage.reasoning.output_tokens"],
        attributes.get("llm.tool_calls"),
    )
    details = {
        labels.rpartition('detail="')[2][:-2]: value
        for labels, value in rig.samples("llm_token_details_total").items()
    }
    assert float(reasoning) == details["reasoning"]


def test_streamed_calls_of_tools_count_once(rig: Rig) -> None:
    """A call of a tool arrives in pieces; the first one has its id."""
    pieces: list[dict[str, object]] = [
        {"index": 0, "id": "c1", "function": {"name": "search", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"q":'}},
        {"index": 0, "function": {"arguments": '"x"}'}},
        {"index": 1, "id": "c2", "function": {"name": "now", "arguments": "{}"}},
    ]
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    with llm_call(provider="openai", model="gpt-4o", stream=True) as call:
        for piece in pieces:
            choice = {"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}
            call.record_response(ChatCompletionChunk.model_validate({**base, "choices": [choice]}))
    assert 2 == rig.spans[0].attributes["llm.tool_calls"]


def test_retries_and_rate_limits_are_counted(rig: Rig) -> None:
    """Each further request counts by its cause, each answer 429 as a rate limit."""
    with llm_call(provider="openai", model="gpt-4o") as call:
        call.record_retry("429")
        call.record_retry("500")
        call.record_retry("429")
    labels = 'gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
    assert {
        f'llm_retries_total{{{labels},error_type="429"}}': 2.0,
        f'llm_retries_total{{{labels},error_type="500"}}': 1.0,
    } == rig.samples("llm_retries_total")
    assert {f"llm_rate_limits_total{{{labels}}}": 2.0} == rig.samples("llm_rate_limits_total")
    assert 3 == rig.spans[0].attributes["http.request.resend_count"]


def test_the_event_of_a_call_says_what_it_did(rig: Rig) -> None:
    """Model, tokens, cost and latency are always there."""
    with agent_run("support"), llm_call(provider="openai", model="gpt-4o") as call:
        rig.clock.advance(1.5)
        call.record_response(ChatCompletion.model_validate(CHAT))
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.agent.name": "support",
        "duration_s": 1.5,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "llm.cost_usd": pytest.approx(0.003),
    } == rig.events[0][2]


def test_prices_of_the_user_apply(rig: Rig) -> None:
    """A price from the settings is that of calls, and of spans that others make."""
    prices = {"openai/our-own-model": {"input": 1, "output": 2}}
    del rig
    with attached(llm_prices=prices) as priced:
        with llm_call(provider="openai", model="our-own-model") as call:
            call.record_usage(1_000_000, 500_000)
        priced.recorder.tracer_provider.get_tracer("x").start_span(
            "chat",
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "our-own-model",
                "gen_ai.usage.input_tokens": 1_000_000,
            },
        ).end()
        assert [3.0] == list(priced.samples("llm_cost_usd_total").values())


def test_an_unknown_price_is_counted_never_zero(rig: Rig) -> None:
    """A model without a price adds to a counter, and nothing to the cost."""
    with llm_call(provider="openai", model="our-own-model") as call:
        call.record_usage(10, 10)
    assert "llm.cost_usd" not in rig.spans[0].attributes
    assert {} == rig.samples("llm_cost_usd_total")
    assert {
        "llm_unknown_price_total{"
        'gen_ai_provider_name="openai",gen_ai_request_model="our-own-model"}': 1
    } == rig.samples("llm_unknown_price_total")


def test_content_is_recorded_only_on_opt_in() -> None:
    """Prompts and answers appear on the span when the setting says so, cut to the limit."""

    def ask(call: LlmCall) -> None:
        call.record_response(message())

    with attached() as rig:
        with llm_call(provider="anthropic", model="claude-sonnet-4-5", input="secret?") as call:
            ask(call)
        assert "gen_ai.input.messages" not in rig.spans[0].attributes
        assert "gen_ai.output.messages" not in rig.spans[0].attributes
    with attached(capture_content=True, content_chars_max=20) as rig:
        prompt = [{"role": "user", "content": "What is the time?"}]
        with llm_call(provider="anthropic", model="claude-sonnet-4-5", input=prompt) as call:
            ask(call)
        assert '[{"role":"user","co…' == rig.spans[0].attributes["gen_ai.input.messages"]
        assert '[{"text":"Hello","t…' == rig.spans[0].attributes["gen_ai.output.messages"]


@pytest.mark.parametrize("odd", [None, 3, "text", {}, {"type": 5}, object(), [1], {"usage": 7}])
def test_an_answer_that_is_not_understood_changes_nothing(rig: Rig, odd: object) -> None:
    """Anything may be handed over; what is unknown adds nothing and raises nothing."""
    with llm_call(provider="openai", model="gpt-4o") as call:
        call.record_response(odd)
    assert "gen_ai.response.model" not in rig.spans[0].attributes


def test_usage_classes_are_as_this_test_assumes() -> None:
    """The providers' usage classes still have the fields that are read."""
    assert {"prompt_tokens", "completion_tokens"} <= set(CompletionUsage.model_fields)
    assert {"cache_read_input_tokens", "input_tokens"} <= set(Usage.model_fields)
    assert {"text"} <= set(TextBlock.model_fields)
