"""Anthropic's real client against a provider on this host."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, AsyncStream, Stream
from opentelemetry import trace
from tests.instrument.integrations.providers import Provider, Reply, anthropic_events, provider
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import provider as providers
from watchkeeper.instrument.domain import agent_run, llm_call
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.integrations.anthropic import instrument

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "t1", "name": "search", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
    },
}
ASK: Any = {
    "model": "claude-sonnet-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello?"}],
}
NAME = "chat claude-sonnet-5"


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a rig with the client instrumented, whose tracer provider is the global one."""
    with attached() as made, reraising():
        ours = made.recorder.tracer_provider
        assert "" == providers.offer(ours, made.derived)
        undo = instrument(made)
        yield made
        undo()
        providers.withdraw(ours)


@pytest.fixture
def far() -> Iterator[Provider]:
    """Return a provider."""
    with provider() as made:
        yield made


@pytest.fixture
def client(far: Provider) -> Iterator[Anthropic]:
    """Return the real client of the provider."""
    with Anthropic(api_key="k", base_url=far.url) as made:
        yield made


def test_a_message_is_recorded_once(rig: Rig, far: Provider, client: Anthropic) -> None:
    """One span, although the client would trace itself too; cached tokens are part of the input."""
    far.answers(MESSAGE)
    client.messages.create(**ASK)
    [span] = rig.spans
    cost = (100 * 2 + 1000 * 0.2 + 200 * 2.5 + 50 * 10) / 1e6
    assert NAME == span.name
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-5",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.model": "claude-sonnet-5",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.finish_reasons": ("tool_use",),
        "llm.tool_calls": 1,
        "gen_ai.usage.input_tokens": 1300,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 1000,
        "gen_ai.usage.cache_creation.input_tokens": 200,
        "llm.cost_usd": pytest.approx(cost),
    } == span.attributes
    assert [pytest.approx(cost)] == list(rig.samples("llm_cost_usd_total").values())


def test_without_ours_the_client_traces_itself(far: Provider) -> None:
    """Its own span counts as well, with the same tokens and cost, when only that exists."""
    with attached() as rig, Anthropic(api_key="k", base_url=far.url) as client:
        ours = rig.recorder.tracer_provider
        assert "" == providers.offer(ours, rig.derived)
        try:
            far.answers(MESSAGE)
            client.messages.create(**ASK)
        finally:
            providers.withdraw(ours)
        assert ["anthropic.messages.create"] == [span.name for span in rig.spans]
        cost = (100 * 2 + 1000 * 0.2 + 200 * 2.5 + 50 * 10) / 1e6
        assert [pytest.approx(cost)] == list(rig.samples("llm_cost_usd_total").values())


def test_other_calls_keep_the_clients_own_span(rig: Rig, far: Provider, client: Anthropic) -> None:
    """Only what is recorded here loses it."""
    far.answers({"input_tokens": 10})
    client.messages.count_tokens(model=ASK["model"], messages=ASK["messages"])
    assert ["anthropic.messages.count_tokens"] == [span.name for span in rig.spans]
    assert {} == rig.totals("gen_ai_client_operation_duration_seconds")


def test_a_stream_stays_a_stream(rig: Rig, far: Provider, client: Anthropic) -> None:
    """It is recorded while it is read, and is of the client's own class."""
    far.answers(anthropic_events(3))
    stream = client.messages.create(**ASK, stream=True)
    assert Stream is type(stream)
    assert [] == rig.spans
    rig.clock.advance(0.25)
    assert 8 == sum(1 for _ in stream)
    attributes = rig.named(NAME).attributes
    assert (10, 3, 0.25) == (
        attributes["gen_ai.usage.input_tokens"],
        attributes["gen_ai.usage.output_tokens"],
        attributes["gen_ai.response.time_to_first_chunk"],
    )
    assert "error.type" not in attributes


def test_the_helper_for_streams_works(rig: Rig, far: Provider, client: Anthropic) -> None:
    """``stream()`` gives its text and its final message as before."""
    far.answers(anthropic_events(2))
    with client.messages.stream(**ASK) as stream:
        assert "word word " == "".join(stream.text_stream)
        assert "end_turn" == stream.get_final_message().stop_reason
    assert 10 == rig.named(NAME).attributes["gen_ai.usage.input_tokens"]


@pytest.mark.parametrize("how", ["close", "forget", "helper"])
def test_an_abandoned_stream_is_counted(
    rig: Rig, far: Provider, client: Anthropic, how: str
) -> None:
    """Closed or forgotten before its end: the call ends with what was seen."""
    far.answers(anthropic_events(3))
    if how == "helper":
        with client.messages.stream(**ASK) as helper:
            next(helper.text_stream)
        del helper
    else:
        stream = client.messages.create(**ASK, stream=True)
        next(stream)
        if how == "close":
            stream.close()
        del stream
    gc.collect()
    attributes = rig.named(NAME).attributes
    assert ("abandoned", 10) == (attributes["error.type"], attributes["gen_ai.usage.input_tokens"])
    assert [1.0] == list(rig.samples("llm_streams_abandoned_total").values())


def test_raw_answers_are_recorded(rig: Rig, far: Provider, client: Anthropic) -> None:
    """The raw response and the streaming one, parsed or not."""
    far.answers(MESSAGE, MESSAGE, anthropic_events(1))
    assert "msg_1" == client.messages.with_raw_response.create(**ASK).parse().id
    with client.messages.with_streaming_response.create(**ASK) as response:
        assert b"msg_1" in response.read()
    raw = client.messages.with_raw_response.create(**ASK, stream=True)
    assert 6 == len(list(raw.parse()))
    assert [1300, 1300, 10] == [span.attributes["gen_ai.usage.input_tokens"] for span in rig.spans]


async def test_asynchronous_calls_are_recorded(rig: Rig, far: Provider) -> None:
    """The asynchronous client gives the same, streamed and not, in the right run."""
    far.answers(MESSAGE, anthropic_events(2), anthropic_events(2))
    async with AsyncAnthropic(api_key="k", base_url=far.url) as client:
        with agent_run("a") as run:
            await client.messages.create(**ASK)
            stream = await client.messages.create(**ASK, stream=True)
            assert AsyncStream is type(stream)
            assert 7 == len([event async for event in stream])
            async with client.messages.stream(**ASK) as helper:
                assert "word word " == "".join([text async for text in helper.text_stream])
            assert (3, 1320, 54) == (run.steps, run.input_tokens, run.output_tokens)
    assert [NAME] * 3 == [span.name for span in rig.spans[:3]]


def test_retries_are_counted(rig: Rig, far: Provider, client: Anthropic) -> None:
    """The client sends again by itself; that is one call, with its attempts."""
    far.answers(Reply(b"{}", 429, headers=(("retry-after-ms", "1"),)), MESSAGE)
    client.messages.create(**ASK)
    assert 1 == rig.named(NAME).attributes["http.request.resend_count"]
    assert [1.0] == list(rig.samples("llm_rate_limits_total").values())


def test_an_error_passes_and_is_recorded(rig: Rig, far: Provider, client: Anthropic) -> None:
    """What the client raises is the application's, and the call's error by its class."""
    far.answers(Reply(b'{"type": "error", "error": {"type": "overloaded_error"}}', 529))
    with pytest.raises(anthropic.APIStatusError):
        client.with_options(max_retries=0).messages.create(**ASK)
    assert "OverloadedError" in str(rig.named(NAME).attributes["error.type"])


def test_a_call_of_the_application_counts_alone(rig: Rig, far: Provider, client: Anthropic) -> None:
    """Inside `llm_call` neither the client's own span nor ours is added."""
    far.answers(MESSAGE)
    with llm_call(provider="anthropic", model="claude-sonnet-5") as call:
        call.record_response(client.messages.create(**ASK))
    assert [NAME] == [span.name for span in rig.spans]


def test_what_is_sent_belongs_to_the_call(rig: Rig, far: Provider, client: Anthropic) -> None:
    """Spans below the client are children of the call's."""
    seen: list[int] = []

    def look(request: object) -> None:
        del request
        seen.append(trace.get_current_span().get_span_context().span_id)

    client._client.event_hooks["request"].append(look)
    far.answers(MESSAGE)
    client.messages.create(**ASK)
    assert [rig.named(NAME).span_id] == seen


def test_undo_puts_everything_back() -> None:
    """Afterwards the client's classes are as they were."""
    base: Any = anthropic._base_client

    def everything() -> list[object]:
        return [
            base.SyncAPIClient.request,
            base.AsyncAPIClient.request,
            base.start_api_call_span,
            Stream.close,
        ]

    before = everything()
    with attached() as rig:
        undo = instrument(rig)
        assert before != everything()
        undo()
    assert before == everything()
