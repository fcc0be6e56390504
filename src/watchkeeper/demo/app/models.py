"""How agents talk to models: OpenAI's and Anthropic's own clients, observed."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from watchkeeper import llm_call
from watchkeeper.demo.app.tools import TOOLS

__all__ = ["AnthropicModel", "Model", "OpenAIModel", "Wish"]

_MAX_TOKENS = 1024


class Wish(NamedTuple):
    """A tool that a model wants called."""

    id: str
    name: str
    arguments: dict[str, Any]


class Model(Protocol):
    """A model with tools."""

    async def plan(self, question: str) -> list[Wish]:
        """Return the tools that the model wants called first."""
        ...

    async def answer(self, question: str, results: list[tuple[Wish, str]]) -> str:
        """Return the model's answer, given what the tools said."""
        ...


class OpenAIModel:
    """Chat completions; answers are streamed."""

    def __init__(self, client: AsyncOpenAI, model: str) -> None:
        """Use *model* through *client*."""
        self._client, self._model = client, model

    async def plan(self, question: str) -> list[Wish]:
        """Return the tools that the model wants called first."""
        tools: list[Any] = [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "parameters": {"type": "object", "properties": properties},
                },
            }
            for name, properties in TOOLS.items()
        ]
        with llm_call(provider="openai", model=self._model, max_tokens=_MAX_TOKENS) as call:
            answer = await self._client.chat.completions.create(
                model=self._model,
                max_tokens=_MAX_TOKENS,
                messages=[{"role": "user", "content": question}],
                tools=tools,
            )
            call.record_response(answer)
        wanted: list[Any] = list(answer.choices[0].message.tool_calls or [])
        return [
            Wish(tool.id, tool.function.name, json.loads(tool.function.arguments))
            for tool in wanted
        ]

    async def answer(self, question: str, results: list[tuple[Wish, str]]) -> str:
        """Return the streamed answer."""
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
        with llm_call(
            provider="openai", model=self._model, stream=True, max_tokens=_MAX_TOKENS
        ) as call:
            stream = await self._client.chat.completions.create(
                model=self._model,
                max_tokens=_MAX_TOKENS,
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
            )
            pieces = [
                chunk.choices[0].delta.content or ""
                async for chunk in call.wrap_stream(stream)
                if chunk.choices
            ]
        return "".join(pieces)


class AnthropicModel:
    """Messages, answered whole."""

    def __init__(self, client: AsyncAnthropic, model: str) -> None:
        """Use *model* through *client*."""
        self._client, self._model = client, model

    async def plan(self, question: str) -> list[Wish]:
        """Return the tools that the model wants called first."""
        tools: list[Any] = [
            {"name": name, "input_schema": {"type": "object", "properties": properties}}
            for name, properties in TOOLS.items()
        ]
        with llm_call(provider="anthropic", model=self._model, max_tokens=_MAX_TOKENS) as call:
            answer = await self._client.messages.create(
                model=self._model,
                max_tokens=_MAX_TOKENS,
                messages=[{"role": "user", "content": question}],
                tools=tools,
            )
            call.record_response(answer)
        return [
            Wish(block.id, block.name, dict(block.input))
            for block in answer.content
            if block.type == "tool_use"
        ]

    async def answer(self, question: str, results: list[tuple[Wish, str]]) -> str:
        """Return the answer."""
        messages: list[Any] = [{"role": "user", "content": question}]
        for wish, text in results:
            use = {"type": "tool_use", "id": wish.id, "name": wish.name, "input": wish.arguments}
            result = {"type": "tool_result", "tool_use_id": wish.id, "content": text}
            messages.append({"role": "assistant", "content": [use]})
            messages.append({"role": "user", "content": [result]})
        with llm_call(provider="anthropic", model=self._model, max_tokens=_MAX_TOKENS) as call:
            answer = await self._client.messages.create(
                model=self._model, max_tokens=_MAX_TOKENS, messages=messages
            )
            call.record_response(answer)
        return "".join(block.text for block in answer.content if block.type == "text")
