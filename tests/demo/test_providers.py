"""The local LLM provider, spoken to by the providers' own clients."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import anthropic
import openai
import pytest
import uvicorn
from starlette.applications import Starlette

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.world import anthropic_wire, openai_wire
from watchkeeper.demo.world.mind import Mood
from watchkeeper.testing import free_port
from watchkeeper.testing.processes import wait_until

ASKED: list[Any] = [{"role": "user", "content": "When does the contract renew?"}]
SCHEMA = {"type": "object", "properties": {"expression": {"type": "string"}}}
OPENAI_TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "calculator", "parameters": SCHEMA}}
]
ANTHROPIC_TOOLS: list[Any] = [{"name": "calculator", "input_schema": SCHEMA}]


def seed_whose_first_answer_is(status: int) -> int:
    """Return a seed with which the first answer has this status."""
    return next(seed for seed in range(10_000) if Mood(seed).think(ASKED, []).status == status)


@contextmanager
def provider(base: Path, status: int = 200) -> Iterator[str]:
    """Serve the provider, whose first answer has *status*, and yield its URL."""
    mood = Mood(seed_whose_first_answer_is(status), speed=50.0)
    faults = FaultSwitch(base / "faults.json")
    app = Starlette(
        routes=[*openai_wire.routes(mood, faults), *anthropic_wire.routes(mood, faults)]
    )
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
    )
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert wait_until(lambda: server.started, 10)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def openai_client(url: str, retries: int = 0) -> openai.OpenAI:
    """Return OpenAI's client, pointed at the provider."""
    return openai.OpenAI(base_url=f"{url}/openai/v1", api_key="demo", max_retries=retries)


def anthropic_client(url: str, retries: int = 0) -> anthropic.Anthropic:
    """Return Anthropic's client, pointed at the provider."""
    return anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="demo", max_retries=retries)


def test_openai_answers_with_usage(tmp_path: Path) -> None:
    """A chat completion has text, a reason to stop, and tokens that add up."""
    with provider(tmp_path) as url, openai_client(url) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)

    assert answer.choices[0].message.content
    assert "stop" == answer.choices[0].finish_reason
    assert answer.usage is not None
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == answer.usage.total_tokens


def test_openai_streams_with_usage_in_the_last_chunk(tmp_path: Path) -> None:
    """Usage comes once, in a last chunk without choices, as ``include_usage`` asks."""
    with provider(tmp_path) as url, openai_client(url) as client:
        chunks = list(
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=ASKED,
                stream=True,
                stream_options={"include_usage": True},
            )
        )

    assert [False] * (len(chunks) - 1) + [True] == [chunk.usage is not None for chunk in chunks]
    assert [] == chunks[-1].choices
    assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)


def test_openai_asks_for_a_tool_first(tmp_path: Path) -> None:
    """With tools on offer the first answer calls one; with its result the second is text."""
    with provider(tmp_path) as url, openai_client(url, retries=2) as client:
        first = client.chat.completions.create(
            model="gpt-4o", messages=ASKED, tools=OPENAI_TOOLS
        ).choices[0]
        calls: list[Any] = list(first.message.tool_calls or [])
        talk: list[Any] = [
            *ASKED,
            first.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": calls[0].id, "content": "12"},
        ]
        second = client.chat.completions.create(model="gpt-4o", messages=talk, tools=OPENAI_TOOLS)

    assert ("tool_calls", "calculator") == (first.finish_reason, calls[0].function.name)
    assert "stop" == second.choices[0].finish_reason


def test_openai_streams_a_tool_call(tmp_path: Path) -> None:
    """A streamed answer that wants a tool names it, with arguments, and says so at its end."""
    with provider(tmp_path) as url, openai_client(url) as client:
        chunks: list[Any] = list(
            client.chat.completions.create(
                model="gpt-4o", messages=ASKED, tools=OPENAI_TOOLS, stream=True
            )
        )

    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert ["calculator"] == [call.function.name for call in calls if call.function.name]
    assert "*" in "".join(call.function.arguments or "" for call in calls)
    assert "tool_calls" == chunks[-1].choices[0].finish_reason


def test_openai_embeds(tmp_path: Path) -> None:
    """Each text gets a vector, and equal texts get equal ones."""
    with provider(tmp_path) as url, openai_client(url) as client:
        answer = client.embeddings.create(
            model="text-embedding-3-small", input=["one", "two", "one"]
        )

    vectors = [entry.embedding for entry in answer.data]
    assert 3 == len(vectors)
    assert vectors[0] == vectors[2] != vectors[1]


def test_anthropic_answers_with_usage(tmp_path: Path) -> None:
    """A message has text, a reason to stop, and tokens."""
    with provider(tmp_path) as url, anthropic_client(url) as client:
        answer = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=ASKED)

    assert ("text", "end_turn") == (answer.content[0].type, answer.stop_reason)
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


def test_anthropic_streams(tmp_path: Path) -> None:
    """The client's own accumulator makes a whole message of the events."""
    with (
        provider(tmp_path) as url,
        anthropic_client(url) as client,
        client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=ASKED) as stream,
    ):
        text = "".join(stream.text_stream)
        whole = stream.get_final_message()

    assert text
    assert ("end_turn", True) == (whole.stop_reason, whole.usage.output_tokens > 1)


def test_anthropic_asks_for_a_tool_first(tmp_path: Path) -> None:
    """With tools on offer the first answer calls one; with its result the second is text."""
    with provider(tmp_path) as url, anthropic_client(url, retries=2) as client:
        first = client.messages.create(
            model="claude-haiku-4-5", max_tokens=100, messages=ASKED, tools=ANTHROPIC_TOOLS
        )
        wish: Any = first.content[0]
        result = {"type": "tool_result", "tool_use_id": wish.id, "content": "12"}
        talk: list[Any] = [
            *ASKED,
            {"role": "assistant", "content": [wish.model_dump(exclude_none=True)]},
            {"role": "user", "content": [result]},
        ]
        second = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=talk)

    assert ("tool_use", "calculator") == (first.stop_reason, wish.name)
    assert "end_turn" == second.stop_reason


def test_anthropic_streams_a_tool_call(tmp_path: Path) -> None:
    """A streamed answer that wants a tool ends as a whole tool call."""
    with (
        provider(tmp_path) as url,
        anthropic_client(url) as client,
        client.messages.stream(
            model="claude-haiku-4-5", max_tokens=100, messages=ASKED, tools=ANTHROPIC_TOOLS
        ) as stream,
    ):
        whole: Any = stream.get_final_message()

    assert ("tool_use", "calculator") == (whole.stop_reason, whole.content[0].name)
    assert "*" in whole.content[0].input["expression"]


@pytest.mark.parametrize(
    ("status", "ours", "theirs"),
    [
        (429, openai.RateLimitError, anthropic.RateLimitError),
        (500, openai.InternalServerError, anthropic.InternalServerError),
    ],
)
def test_failures_are_the_clients_own_exceptions(
    tmp_path: Path, status: int, ours: type[Exception], theirs: type[Exception]
) -> None:
    """A rate limit and an internal error reach the application as each client names them."""
    with provider(tmp_path, status) as url, openai_client(url) as client, pytest.raises(ours):
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
    with provider(tmp_path, status) as url, anthropic_client(url) as other, pytest.raises(theirs):
        other.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=ASKED)


def test_a_rate_limit_passes_when_the_client_waits_as_told(tmp_path: Path) -> None:
    """A client that may retry waits for Retry-After and gets its answer."""
    with provider(tmp_path, 429) as url, openai_client(url, retries=3) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=ASKED)

    assert answer.choices[0].message.content


def test_the_same_seed_gives_the_same_answers() -> None:
    """Two providers of one seed say the same, in the same time."""
    seed = random.Random(1).randrange(1000)  # noqa: S311 - any seed will do
    left, right = Mood(seed), Mood(seed)

    assert [left.think(ASKED, ["calculator"]) for _ in range(20)] == [
        right.think(ASKED, ["calculator"]) for _ in range(20)
    ]


def test_a_model_in_circles_asks_for_the_same_again() -> None:
    """With every conversation in circles, the tool that is asked for never changes."""
    mood = Mood(1)
    asked = [{"role": "user", "content": "Why?"}]
    seen = [*asked, {"role": "tool", "tool_call_id": "1", "content": "nothing found"}]

    first = mood.think(asked, ["search_documents", "calculator"], circles=1.0).tool
    again = mood.think(seen, ["search_documents", "calculator"], circles=1.0).tool
    healed = mood.think(seen, ["search_documents", "calculator"]).tool

    assert first is not None
    assert (first, None) == (again, healed)
