"""A receiver of Alertmanager's webhook, on loopback."""

from __future__ import annotations

from typing import Any

import orjson

from watchkeeper.testing.http_fake import Answer, HttpFake, Request

__all__ = ["FakeWebhook"]


class FakeWebhook(HttpFake):
    """A webhook on 127.0.0.1 that keeps what it took; a context manager.

    Args:
        body_bytes_max: Size beyond which a body is answered 413, in bytes; None for no limit.

    Attributes:
        notifications: The decoded bodies that were taken (answered 200, or whose answer was lost),
            oldest first.
    """

    def __init__(self, *, body_bytes_max: int | None = None) -> None:
        super().__init__(body_bytes_max=body_bytes_max)
        self.notifications: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """The webhook's URL, a secret."""
        return f"{self.base_url}/hook/secret"

    def answer_to(self, request: Request) -> Answer:
        """Take a JSON object with 200; anything else is answered 400."""
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return Answer(400, b"not JSON")
        if not isinstance(body, dict):
            return Answer(400, b"not an object")
        self.notifications.append(body)
        return Answer(200, b"")
