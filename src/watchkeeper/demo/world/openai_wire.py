"""The wire protocol of OpenAI's chat completions and embeddings.

Source: OpenAI API reference, "Chat" and "Embeddings".
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.world.mind import Mood, Thought, tokens_of

__all__ = ["routes"]

_DIMENSIONS = 16
_numbers = itertools.count(1)


def routes(mood: Mood, faults: FaultSwitch) -> list[Route]:
    """Return ``/openai/v1/chat/completions`` and ``/openai/v1/embeddings``."""

    async def chat(request: Request) -> Response:
        body = await request.json()
        tools = [tool["function"]["name"] for tool in body.get("tools", [])]
        long = faults.strength("cost_spike") > 0
        circles = faults.strength("agent_loops")
        thought = mood.think(body["messages"], tools, long=long, circles=circles)
        await asyncio.sleep(thought.first_chunk_s)
        if thought.status != 200:
            return _error(thought.status)
        number = f"chatcmpl-{next(_numbers)}"
        if body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            chunks = _chunks(thought, number, body["model"], usage=usage)
            return StreamingResponse(chunks, media_type="text/event-stream")
        await asyncio.sleep(thought.total_s - thought.first_chunk_s)
        return JSONResponse(
            {
                "id": number,
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", **_content(thought)},
                        "finish_reason": "tool_calls" if thought.tool else "stop",
                    }
                ],
                "usage": _usage(thought),
            }
        )

    async def embeddings(request: Request) -> Response:
        body = await request.json()
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        await asyncio.sleep(0.02)
        used = sum(tokens_of(text) for text in texts)
        return JSONResponse(
            {
                "object": "list",
                "model": body["model"],
                "data": [
                    {"object": "embedding", "index": index, "embedding": _vector(text)}
                    for index, text in enumerate(texts)
                ],
                "usage": {"prompt_tokens": used, "total_tokens": used},
            }
        )

    return [
        Route("/openai/v1/chat/completions", chat, methods=["POST"]),
        Route("/openai/v1/embeddings", embeddings, methods=["POST"]),
    ]


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 for byte in digest[:_DIMENSIONS]]


def _error(status: int) -> JSONResponse:
    kind, text = {
        429: ("rate_limit_error", "Rate limit reached for requests"),
        500: ("server_error", "The server had an error while processing your request"),
    }[status]
    headers = {"retry-after": "1"} if status == 429 else {}
    error = {"message": text, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _content(thought: Thought) -> dict[str, Any]:
    if thought.tool is None:
        return {"content": thought.text}
    name, arguments = thought.tool
    call = {"name": name, "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]}


def _usage(thought: Thought) -> dict[str, Any]:
    return {
        "prompt_tokens": thought.input_tokens,
        "completion_tokens": thought.output_tokens,
        "total_tokens": thought.input_tokens + thought.output_tokens,
        "prompt_tokens_details": {"cached_tokens": thought.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": thought.reasoning_tokens},
    }


async def _chunks(
    thought: Thought, number: str, model: str, *, usage: bool
) -> AsyncIterator[bytes]:
    head = {"id": number, "object": "chat.completion.chunk", "created": 1, "model": model}

    def event(**rest: Any) -> bytes:
        return f"data: {json.dumps({**head, **rest})}\n\n".encode()

    words = thought.text.split()
    pause = (thought.total_s - thought.first_chunk_s) / max(1, len(words) // 8)
    for start in range(0, len(words), 8):
        text = " ".join(words[start : start + 8]) + " "
        delta: dict[str, Any] = {"role": "assistant", "content": text}
        yield event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        await asyncio.sleep(pause)
    if thought.tool is not None:
        call = {"index": 0, **_content(thought)["tool_calls"][0]}
        delta = {"role": "assistant", "content": None, "tool_calls": [call]}
        yield event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
    reason = "tool_calls" if thought.tool else "stop"
    yield event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
    if usage:
        yield event(choices=[], usage=_usage(thought))
    yield b"data: [DONE]\n\n"
