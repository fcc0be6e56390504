"""How agents talk to models: OpenAI's and Anthropic's own clients, observed."""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple, Protocol

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from watchkeeper import llm_call
from watchkeeper.demo.app.tools import TOOLS

__all__ = ["AnthropicModel", "Model", "OpenAIModel", "Reply", "Wish"]

_MAX_TOKENS = 1024
_IMPATIENCE = 20
"""Of so many streamed answers, one is not read to its end."""
_streamed = itertools.count(1)


class Wish(NamedTuple):
    """A tool that a model wants called."""

    id: str
    name: str
    arguments: dict[str, Any]


class Reply(NamedTuple):
    """What a model said: the tools it wants called, or its answer."""

    wishes: list[Wish]
    text: str


class Model(Protocol):
    """A model with tools."""

    async def plan(self, question: str) -> list[Wish]:
        """Return the tools that the model wants called first."""
        ...

    async def answer(self, question: str, results: list[tuple[Wish, str]]) -> Reply:
        """Return the model's reply, given what the tools said."""
        ...


class OpenAIModel:
    """Chat completions; answers are streamed."""

    _TOOLS: tuple[Any, ...] = tuple(
        {
            "type": "function",
            "function": {"name": name, "parameters": {"type": "object", "properties": properties}},
        }
        for name, properties in TOOLS.items()
    )

    def __init__(self, client: AsyncOpenAI, model: str) -> None:
        """Use *model* through *client*."""
        self._client, self._model = client, model

    async def plan(self, question: str) -> list[Wish]:
        """Return the tools that the model wants called first."""
        with llm_call(provider="openai", model=self._model, max_tokens=_MAX_TOKENS) as call:
            answer = await self._client.chat.completions.create(
                model=self._model,
                max_tokens=_MAX_TOKENS,
                messages=[{"role": "user", "content": question}],
                tools=self._TOOLS,
            )
            call.record_response(answer)
        wanted: list[Any] = list(answer.choices[0].message.tool_calls or [])
        return [
            Wish(tool.id, tool.function.name, json.loads(tool.function.arguments))
            for tool in wanted
        ]

    async def answer(self, question: str, results: list[tuple[Wish, str]]) -> Reply:
        """Return the streamed reply; now and then a reader leaves after the first words."""
        impatient = next(_streamed) % _IMPATIENCE == 0
        wishes: list[Wish] = []
        pieces: list[str] = []
        with llm_call(
            provider="openai", model=self._model, stream=True, max_tokens=_MAX_TOKENS
        ) as call:
            opened = await self._client.chat.completions.create(
                model=self._model,
                max_tokens=_MAX_TOKENS,
                messages=_openai_messages(question, results),
                tools=self._TOOLS,
                stream=True,
                stream_options={"include_usage": True},
            )
            async with call.wrap_stream(opened) as stream:
                async for chunk in stream:
                    for choice in chunk.choices:
                        pieces.append(choice.delta.content or "")
                        wishes += [
                            Wish(
                                tool.id or "",
                                tool.function.name or "",
                                json.loads(tool.function.arguments or "{}"),
                            )
                            for tool in choice.delta.tool_calls or []
                            if tool.function is not None
                        ]
                    if impatient and pieces:
                        break
        return Reply(wishes, "".join(pieces))


def _openai_messages(question: str, results: list[tuple[Wish, str]]) -> list[Any]:
    calls = [
        {
            "id": wish.id,
            "type": "function",
            "function": {"name": wish.name, "arguments": json.dumps(wish.arguments)},
        }
        for wish, _ in results
    ]
    messages: list[Any] = [{"role": "user", "content": question}]
    if calls:
        messages.append({"role": "assistant", "tool_calls": calls})
    messages += [
        {"role": "tool", "tool_call_id": wish.id, "content": text} for wish, text in results
    ]
    return messages


class AnthropicModel:
    """Messages, answered whole."""

    _TOOLS: tuple[Any, ...] = tuple(
        {"name": name, "input_schema": {"type": "object", "properties": properties}}
        for name, properties in TOOLS.items()
    )

    def __init__(self, client: AsyncAnthropic, model: str) -> None:
        """Use *model* through *client*."""
        self._client, self._model = client, model

    async def plan(self, question: str) -> list[Wish]:
        """Return the tools that the model wants called first."""
        return (await self._ask([{"role": "user", "content": question}])).wishes

    async def answer(self, question: str, results: list[tuple[Wish, str]]) -> Reply:
        """Return the reply."""
        messages: list[Any] = [{"role": "user", "content": question}]
        for wish, text in results:
            use = {"type": "tool_use", "id": wish.id, "name": wish.name, "input": wish.arguments}
            result = {"type": "tool_result", "tool_use_id": wish.id, "content": text}
            messages.append({"role": "assistant", "content": [use]})
            messages.append({"role": "user", "content": [result]})
        return await self._ask(messages)

    async def _ask(self, messages: list[Any]) -> Reply:
        with llm_call(provider="anthropic", model=self._model, max_tokens=_MAX_TOKENS) as call:
            answer = await self._client.messages.create(
                model=self._model, max_tokens=_MAX_TOKENS, messages=messages, tools=self._TOOLS
            )
            call.record_response(answer)
        return Reply(
            [
                Wish(block.id, block.name, dict(block.input))
                for block in answer.content
                if block.type == "tool_use"
            ],
            "".join(block.text for block in answer.content if block.type == "text"),
        )
