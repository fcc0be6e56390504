"""A Slack endpoint that keeps what it is sent."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["routes"]

_KEPT = 500


def routes() -> list[Route]:
    """Return the incoming webhook and the list of its messages."""
    messages: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    async def hook(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            return PlainTextResponse("invalid_payload", status_code=400)
        messages.append({"received_s": time.time(), "body": body})
        return PlainTextResponse("ok")

    async def listing(_request: Request) -> Response:
        return JSONResponse({"messages": list(messages)})

    return [
        Route("/slack/hook", hook, methods=["POST"]),
        Route("/slack/messages", listing),
    ]
