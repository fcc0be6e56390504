"""An ASGI server in a few lines: sends one request and collects the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What an application sent."""

    status: int
    headers: dict[str, str]
    body: bytes
    messages: list[Any]


async def ask(
    app: Any,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    **more: Any,
) -> Answer:
    """Run *app* for one request; what it raises passes through. Status 0 means no answer."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"shop.example:8000"),
            *((name.encode(), value.encode()) for name, value in headers),
        ],
        "client": ("10.0.0.7", 5000),
        "server": ("127.0.0.1", 8000),
        **more,
    }
    return await drive(app, scope, body)


async def drive(app: Any, scope: dict[str, Any], given: bytes = b"") -> Answer:
    """Run *app* with *scope* and a body in one part."""
    messages: list[Any] = []
    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        if asked > 1:
            # The client stays: there is nothing more to tell.
            await asyncio.Event().wait()
        return {"type": "http.request", "body": given, "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    starts = (m for m in messages if m["type"] == "http.response.start")
    start: Any = next(starts, {"status": 0})
    body = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")
    pairs = {name.decode(): value.decode() for name, value in start.get("headers", ())}
    return Answer(start["status"], pairs, body, messages)
