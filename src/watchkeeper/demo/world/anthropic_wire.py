"""The wire protocol of Anthropic's messages.

Source: Anthropic API reference, "Messages" and "Streaming messages".
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.world.mind import Mood, Thought

__all__ = ["routes"]

_numbers = itertools.count(1)


def routes(mood: Mood, faults: FaultSwitch) -> list[Route]:
    """Return ``/anthropic/v1/messages``."""

    async def messages(request: Request) -> Response:
        body = await request.json()
        tools = [tool["name"] for tool in body.get("tools", [])]
        long = faults.strength("cost_spike") > 0
        circles = faults.strength("agent_loops")
        thought = mood.think(body["messages"], tools, long=long, circles=circles)
        await asyncio.sleep(thought.first_chunk_s)
        if thought.status != 200:
            return _error(thought.status)
        message = _message(thought, f"msg_{next(_numbers)}", body["model"])
        if body.get("stream"):
            return StreamingResponse(_events(thought, message), media_type="text/event-stream")
        await asyncio.sleep(thought.total_s - thought.first_chunk_s)
        return JSONResponse(message)

    return [Route("/anthropic/v1/messages", messages, methods=["POST"])]


def _error(status: int) -> JSONResponse:
    kind = {429: "rate_limit_error", 500: "api_error"}[status]
    headers = {"retry-after": "1"} if status == 429 else {}
    body = {"type": "error", "error": {"type": kind, "message": kind.replace("_", " ")}}
    return JSONResponse(body, status_code=status, headers=headers)


def _message(thought: Thought, number: str, model: str) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": thought.text}
    if thought.tool is not None:
        name, arguments = thought.tool
        block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    return {
        "id": number,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": "tool_use" if thought.tool else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": thought.input_tokens - thought.cached_tokens - thought.written_tokens,
            "cache_read_input_tokens": thought.cached_tokens,
            "cache_creation_input_tokens": thought.written_tokens,
            "output_tokens": thought.output_tokens,
        },
    }


async def _events(thought: Thought, message: dict[str, Any]) -> AsyncIterator[bytes]:
    def event(kind: str, **rest: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()

    start = {**message, "content": [], "stop_reason": None}
    start["usage"] = {**message["usage"], "output_tokens": 1}
    yield event("message_start", message=start)
    block = {**message["content"][0], **({"input": {}} if thought.tool else {"text": ""})}
    yield event("content_block_start", index=0, content_block=block)
    if thought.tool is not None:
        piece = {"type": "input_json_delta", "partial_json": json.dumps(thought.tool[1])}
        yield event("content_block_delta", index=0, delta=piece)
    words = thought.text.split()
    pause = (thought.total_s - thought.first_chunk_s) / max(1, len(words) // 8)
    for at in range(0, len(words), 8):
        delta = {"type": "text_delta", "text": " ".join(words[at : at + 8]) + " "}
        yield event("content_block_delta", index=0, delta=delta)
        await asyncio.sleep(pause)
    yield event("content_block_stop", index=0)
    yield event(
        "message_delta",
        delta={"stop_reason": message["stop_reason"], "stop_sequence": None},
        usage={"output_tokens": thought.output_tokens},
    )
    yield event("message_stop")
