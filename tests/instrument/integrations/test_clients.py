"""Outgoing requests, and the clients of LLM providers on top of them."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import context as ours
from watchkeeper.instrument.domain import agent_run, llm_call
from watchkeeper.instrument.integrations import install, uninstall

MODEL = "claude-sonnet-4-6"
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 3},
}


@pytest.fixture
def instrumented(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Switch the integrations on, with our recorder as the global tracer provider."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: rig.recorder.tracer_provider)
    install(rig, ["httpx", "httpx2"])
    yield rig
    uninstall()


def test_a_request_carries_the_trace(instrumented: Rig) -> None:
    """The span describes the request without its secrets; the other side becomes its child."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["traceparent"])
        return httpx.Response(404)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        assert 404 == client.get("https://u:pw@api.example/v1/x?token=abc&n=1").status_code
    (span,) = instrumented.spans
    assert ("GET", SpanKind.CLIENT, StatusCode.ERROR) == (span.name, span.kind, span.status_code)
    url = str(span.attributes.pop("url.full"))
    assert url.startswith("https://api.example/v1/x?token=")
    assert "abc" not in url
    assert {
        "http.request.method": "GET",
        "server.address": "api.example",
        "server.port": 443,
        "http.response.status_code": 404,
        "error.type": "404",
    } == span.attributes
    assert [f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.flags:02x}"] == seen


async def test_a_failed_request_passes_its_error(instrumented: Rig) -> None:
    """Asynchronous clients count as well; their errors are the application's."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://x/")
    assert "httpx.ConnectError" == instrumented.spans[0].attributes["error.type"]


def claude(answer: dict[str, Any] | bytes) -> anthropic.Anthropic:
    """Return a real client whose answers are given."""

    def respond(_: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, bytes):
            return httpx2.Response(
                200, content=answer, headers={"content-type": "text/event-stream"}
            )
        return httpx2.Response(200, json=answer)

    transport = httpx2.MockTransport(respond)
    return anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=transport))


def input_tokens(rig: Rig) -> tuple[float, float]:
    """Return how many calls had input tokens, and how many in all."""
    rows = [
        pair
        for labels, pair in rig.totals("gen_ai_client_token_usage").items()
        if '"input"' in labels
    ]
    return sum(count for count, _ in rows), sum(total for _, total in rows)


def ask(client: anthropic.Anthropic, **more: Any) -> Any:
    """Ask one question."""
    return client.messages.create(
        model=MODEL,
        max_tokens=10,
        messages=[{"role": "user", "content": "Hi"}],
        **more,
    )


def test_anthropics_own_span_counts_when_it_is_alone(instrumented: Rig) -> None:
    """The client traces itself: without `llm_call` its span gives tokens, cost and a run's step."""
    with claude(ANSWER) as client, agent_run("a") as run:
        ask(client)
    assert (1, 10) == input_tokens(instrumented)
    assert (1, 10, 3) == (run.steps, run.input_tokens, run.output_tokens)
    assert pytest.approx((10 * 3 + 3 * 15) / 1e6) == run.cost_usd


def test_anthropics_own_span_is_not_counted_inside_ours(instrumented: Rig) -> None:
    """Inside `llm_call` it stays in the trace as a detail, and nothing counts twice."""
    call = llm_call(provider="anthropic", model=MODEL)
    with claude(ANSWER) as client, agent_run("a") as run, call:
        call.record_response(ask(client))
    assert (1, 10) == input_tokens(instrumented)
    assert (1, 10, 3) == (run.steps, run.input_tokens, run.output_tokens)
    (cost,) = instrumented.samples("llm_cost_usd_total").values()
    assert pytest.approx((10 * 3 + 3 * 15) / 1e6) == cost


def test_a_real_anthropic_stream(instrumented: Rig) -> None:
    """Events as the wire has them, through the real client, counted once."""
    start = {**ANSWER, "content": [], "stop_reason": None}
    events = (
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Hello"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 42},
        },
        {"type": "message_stop"},
    )
    wire = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()
    call = llm_call(provider="anthropic", model=MODEL, stream=True)
    with claude(wire) as client, call:
        assert 6 == len(list(call.wrap_stream(ask(client, stream=True))))
    span = instrumented.named(f"chat {MODEL}")
    assert (10, 42) == (
        span.attributes["gen_ai.usage.input_tokens"],
        span.attributes["gen_ai.usage.output_tokens"],
    )
    assert (1, 10) == input_tokens(instrumented)


async def test_a_real_openai_stream(instrumented: Rig) -> None:
    """Chunks through the real asynchronous client, with the usage in the last one."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    chunks = (
        {**base, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
        {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {
            **base,
            "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        },
    )
    wire = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"

    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text=wire, headers={"content-type": "text/event-stream"})

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
    call = llm_call(provider="openai", model="gpt-4o", stream=True)
    async with openai.AsyncOpenAI(api_key="k", http_client=http) as client, call:
        stream = await client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async with call.wrap_stream(stream) as watched:
            assert 3 == len([chunk async for chunk in watched])
    span = instrumented.named("chat gpt-4o")
    assert (9, 2) == (
        span.attributes["gen_ai.usage.input_tokens"],
        span.attributes["gen_ai.usage.output_tokens"],
    )
    assert "error.type" not in span.attributes
    posted = instrumented.named("POST")
    assert span.span_id == posted.parent_id
    assert (1, 9) == input_tokens(instrumented)


def test_the_request_id_travels_where_it_is_asked_for() -> None:
    """`send_request_id` sends the current id unless the caller set one; by default it stays here."""
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("x-request-id"))
        return httpx.Response(200)

    for settings in ({}, {"send_request_id": True}):
        with attached(**settings) as rig, ours.bind(request_id="r-9"):
            install(rig, ["httpx"])
            try:
                with httpx.Client(transport=httpx.MockTransport(answer)) as client:
                    client.get("http://x/")
                    client.get("http://x/", headers={"X-REQUEST-ID": "mine"})
            finally:
                uninstall()
    assert [None, "mine", "r-9", "mine"] == seen
