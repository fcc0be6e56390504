"""OpenAI's real client against a provider on this host."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from tests.instrument.integrations.providers import Provider, Reply, chat_chunks, provider, sse
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument.domain import agent_run, llm_call
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.integrations.openai import _provider, instrument

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
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
        "input_tokens": 10,
        "output_tokens": 3,
        "total_tokens": 13,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 2},
    },
}
VECTOR = {"object": "embedding", "index": 0, "embedding": [0.1]}
EMBEDDINGS = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [VECTOR],
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello?"}]}
BUSY = Reply(b'{"error": {"message": "slow down"}}', 429, headers=(("retry-after-ms", "1"),))
LABELS = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a rig with the client instrumented."""
    with attached() as made, reraising():
        undo = instrument(made)
        yield made
        undo()


@pytest.fixture
def far() -> Iterator[Provider]:
    """Return a provider."""
    with provider() as made:
        yield made


@pytest.fixture
def client(far: Provider) -> Iterator[OpenAI]:
    """Return the real client of the provider."""
    with OpenAI(api_key="k", base_url=f"{far.url}/v1") as made:
        yield made


def tokens(rig: Rig) -> tuple[object, object]:
    """The tokens of the only call."""
    [span] = rig.spans
    return (
        span.attributes.get("gen_ai.usage.input_tokens"),
        span.attributes.get("gen_ai.usage.output_tokens"),
    )


def test_a_chat_completion_is_recorded(rig: Rig, far: Provider, client: OpenAI) -> None:
    """A call without any code of ours gives the span, metrics and event of `llm_call`."""
    far.answers(CHAT)
    answer = client.chat.completions.create(**ASK, max_tokens=50, temperature=0.5)
    assert ChatCompletion is type(answer)
    span = rig.named("chat gpt-4o")
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 3,
        "llm.cost_usd": pytest.approx((10 * 2.5 + 3 * 10) / 1e6),
    } == span.attributes
    assert [1] == [count for count, _ in rig.totals("gen_ai_client_operation_duration_seconds").values()]  # fmt: skip
    assert "llm.call" == rig.events[-1][0]


def test_every_way_to_ask_is_recorded_once(rig: Rig, far: Provider, client: OpenAI) -> None:
    """Responses, embeddings, parsed answers and raw ones; each gives what it gave before."""

    class Word(BaseModel):
        word: str

    said = {**CHAT["choices"][0], "message": {"role": "assistant", "content": '{"word": "Hi"}'}}  # type: ignore[index] # a table of JSON
    far.answers(CHAT, RESPONSE, EMBEDDINGS, {**CHAT, "choices": [said]}, CHAT, RESPONSE)
    client.chat.completions.create(**ASK)
    client.responses.create(model="gpt-4o", input="Hello?")
    client.embeddings.create(model="text-embedding-3-small", input="Hello?")
    parsed = client.chat.completions.parse(**ASK, response_format=Word)
    raw = client.chat.completions.with_raw_response.create(**ASK)
    with client.responses.with_streaming_response.create(model="gpt-4o", input="x") as streamed:
        assert "resp_1" == streamed.parse().id
    assert "Hi" == parsed.choices[0].message.parsed.word  # type: ignore[union-attr] # of this answer
    assert "Hi" == raw.parse().choices[0].message.content
    assert [
        ("chat gpt-4o", 10, 3),
        ("chat gpt-4o", 10, 3),
        ("embeddings text-embedding-3-small", 5, 0),
        ("chat gpt-4o", 10, 3),
        ("chat gpt-4o", 10, 3),
        ("chat gpt-4o", 10, 3),
    ] == [
        (
            span.name,
            span.attributes["gen_ai.usage.input_tokens"],
            span.attributes["gen_ai.usage.output_tokens"],
        )
        for span in rig.spans
    ]


def test_a_stream_stays_a_stream(rig: Rig, far: Provider, client: OpenAI) -> None:
    """It is recorded while it is read, and is of the client's own class."""
    far.answers(chat_chunks(3), chat_chunks(2))
    raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
    assert 5 == len(list(raw.parse()))
    assert 3 == rig.spans.pop().attributes["gen_ai.usage.output_tokens"]
    stream = client.chat.completions.create(**ASK, stream=True)
    assert Stream is type(stream)
    assert [] == rig.spans
    rig.clock.advance(0.25)
    assert 4 == sum(1 for _ in stream)
    assert (10, 2) == tokens(rig)
    attributes = rig.spans[0].attributes
    assert (0.25, True) == (
        attributes["gen_ai.response.time_to_first_chunk"],
        attributes["gen_ai.request.stream"],
    )
    assert "error.type" not in attributes


def test_the_helpers_for_streams_work(rig: Rig, far: Provider, client: OpenAI) -> None:
    """``stream()`` collects the answer as before, and the call is recorded."""
    far.answers(chat_chunks(2))
    with client.chat.completions.stream(**ASK) as stream:
        events = list(stream)
        assert "word word " == stream.get_final_completion().choices[0].message.content
    assert events
    assert (10, 2) == tokens(rig)


def test_streamed_responses_are_recorded(rig: Rig, far: Provider, client: OpenAI) -> None:
    """The last event of the Responses API holds the usage."""
    created = {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress", "usage": None}}  # fmt: skip
    done = {"type": "response.completed", "sequence_number": 1, "response": RESPONSE}
    far.answers(sse([("response.created", created), ("response.completed", done)]))
    assert 2 == len(list(client.responses.create(model="gpt-4o", input="x", stream=True)))
    assert (10, 3) == tokens(rig)


@pytest.mark.parametrize("how", ["close", "with", "forget", "raw"])
def test_an_abandoned_stream_is_counted(rig: Rig, far: Provider, client: OpenAI, how: str) -> None:
    """Closed, left or forgotten before its end: the call ends with what was seen."""
    far.answers(chat_chunks(3))
    if how == "raw":
        raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
        stream = raw.parse()
        del raw
    else:
        stream = client.chat.completions.create(**ASK, stream=True)
    if how == "with":
        with stream:
            next(stream)
    else:
        next(stream)
    if how == "close":
        stream.close()
    del stream
    gc.collect()
    assert "abandoned" == rig.named("chat gpt-4o").attributes["error.type"]
    assert [1.0] == list(rig.samples("llm_streams_abandoned_total").values())


def test_who_stops_after_the_reason_has_the_whole_answer(
    rig: Rig, far: Provider, client: OpenAI
) -> None:
    """Leaving the loop at the finish reason is no abandonment."""
    far.answers(chat_chunks(3))
    with client.chat.completions.create(**ASK, stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].finish_reason:
                break
    assert "error.type" not in rig.named("chat gpt-4o").attributes


def test_a_raw_answer_that_nobody_parses_is_recorded(
    rig: Rig, far: Provider, client: OpenAI
) -> None:
    """The application may read the JSON itself; the call ends with the response."""
    far.answers(CHAT)
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        assert "chatcmpl-1" == response.json()["id"]
    assert (10, 3) == tokens(rig)


async def test_asynchronous_calls_are_recorded(rig: Rig, far: Provider) -> None:
    """The asynchronous client gives the same, streamed and not, in the right run."""
    far.answers(CHAT, chat_chunks(2), CHAT, CHAT)
    async with AsyncOpenAI(api_key="k", base_url=f"{far.url}/v1") as client:
        with agent_run("a") as run:
            await client.chat.completions.create(**ASK)
            stream = await client.chat.completions.create(**ASK, stream=True)
            assert AsyncStream is type(stream)
            assert 4 == len([chunk async for chunk in stream])
            raw = await client.chat.completions.with_raw_response.create(**ASK)
            assert "chatcmpl-1" == raw.parse().id
            async with client.chat.completions.with_streaming_response.create(**ASK) as streamed:
                assert "chatcmpl-1" == (await streamed.parse()).id
            assert (4, 40, 11) == (run.steps, run.input_tokens, run.output_tokens)
    assert ["a"] * 4 == [span.attributes["gen_ai.agent.name"] for span in rig.spans[:4]]


async def test_an_abandoned_asynchronous_stream_is_counted(rig: Rig, far: Provider) -> None:
    """Closing it early ends the call."""
    far.answers(chat_chunks(3))
    async with AsyncOpenAI(api_key="k", base_url=f"{far.url}/v1") as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        async for _ in stream:
            break
        await stream.close()
    assert "abandoned" == rig.named("chat gpt-4o").attributes["error.type"]


def test_retries_and_rate_limits_are_counted(rig: Rig, far: Provider, client: OpenAI) -> None:
    """The client sends again by itself; that is one call, with its attempts."""
    broken = Reply(b"{}", 500, headers=(("retry-after-ms", "1"),))
    far.answers(BUSY, broken, CHAT)
    client.chat.completions.create(**ASK)
    assert 2 == rig.named("chat gpt-4o").attributes["http.request.resend_count"]
    labels = 'gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
    assert {
        f'llm_retries_total{{{labels},error_type="429"}}': 1.0,
        f'llm_retries_total{{{labels},error_type="500"}}': 1.0,
    } == rig.samples("llm_retries_total")
    assert {f"llm_rate_limits_total{{{labels}}}": 1.0} == rig.samples("llm_rate_limits_total")


def test_an_error_passes_and_is_recorded(rig: Rig, far: Provider, client: OpenAI) -> None:
    """What the client raises is the application's, and the call's error by its class."""
    far.answers(BUSY)
    with pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=0).chat.completions.create(**ASK)
    assert "openai.RateLimitError" == rig.named("chat gpt-4o").attributes["error.type"]
    assert [1.0] == list(rig.samples("llm_rate_limits_total").values())


def test_an_unreachable_provider_is_an_error_with_retries(rig: Rig) -> None:
    """A failed connection counts as a retry for that cause."""
    client = OpenAI(api_key="k", base_url="http://127.0.0.1:1/v1", max_retries=1)
    with client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**ASK)
    [series] = rig.samples("llm_retries_total")
    assert 'error_type="connection"' in series


def test_a_call_of_the_application_counts_alone(rig: Rig, far: Provider, client: OpenAI) -> None:
    """Inside `llm_call` the client adds no second call, but its retries."""
    far.answers(BUSY, CHAT)
    with llm_call(provider="openai", model="gpt-4o") as call:
        call.record_response(client.chat.completions.create(**ASK))
    assert (10, 3) == tokens(rig)
    assert [1.0] == list(rig.samples("llm_retries_total").values())


def test_prompts_are_recorded_only_on_opt_in(far: Provider, client: OpenAI) -> None:
    """The messages and the answer are on span and event if the setting says so."""
    with attached(capture_content=True) as rig, reraising():
        undo = instrument(rig)
        far.answers(CHAT)
        client.chat.completions.create(**ASK)
        undo()
    for found in (rig.spans[0].attributes, rig.events[0][2]):
        assert '[{"role":"user","content":"Hello?"}]' == found["gen_ai.input.messages"]
        assert '"content":"Hi"' in str(found["gen_ai.output.messages"])


def test_other_requests_are_left_alone(rig: Rig, far: Provider, client: OpenAI) -> None:
    """What is no model call is not recorded."""
    far.answers({"id": "m", "model": "omni", "results": []})
    client.moderations.create(input="x")
    assert [] == rig.spans


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://x.openai.azure.com/openai", "azure.ai.openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.deepseek.com", "deepseek"),
        ("http://127.0.0.1:1/v1", "openai"),
    ],
)
def test_the_provider_is_known_by_its_host(url: str, name: str) -> None:
    """Others speak OpenAI's protocol too, and are priced on their own."""
    with OpenAI(api_key="k", base_url=url) as client:
        assert name == _provider(client)


def test_undo_puts_everything_back(far: Provider, client: OpenAI) -> None:
    """Afterwards the client's classes are as they were."""

    def everything() -> list[object]:
        base, legacy = openai._base_client, openai._legacy_response
        return [
            base.SyncAPIClient.request,
            base.AsyncAPIClient.request,
            base.SyncAPIClient._sleep_for_retry,
            legacy.LegacyAPIResponse.parse,
            openai._response.APIResponse.close,
            Stream.close,
            AsyncStream.close,
        ]

    before = everything()
    with attached() as rig:
        instrument(rig)()
        far.answers(CHAT)
        client.chat.completions.create(**ASK)
    assert before == everything()
    assert [] == rig.spans
