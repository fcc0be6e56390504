"""A Slack that answers like the real incoming webhook, on loopback."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson

__all__ = ["Answer", "FakeSlack"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the webhook answers once."""

    status: int = 200
    body: bytes = b"ok"
    retry_after_s: int | None = None


class FakeSlack:
    """An incoming webhook on 127.0.0.1 that keeps what it is sent; a context manager.

    The real one's answers are documented at docs.slack.dev ("Sending messages using incoming
    webhooks"): 200 with the body ``ok``, 4xx with a reason in plain text, 429 with Retry-After.

    Attributes:
        messages: The decoded bodies received, oldest first, refused ones included.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._answers: list[Answer] = []
        self._arrived = threading.Condition()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                fake._take(self, self.rfile.read(length))

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The webhook's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/services/T0/B0/secret"

    def answer_next(self, *answers: Answer) -> None:
        """Answer the next requests with these, then ``ok`` again."""
        self._answers.extend(answers)

    def wait_for(self, count: int, timeout_s: float = 10.0) -> bool:
        """Return whether *count* messages have arrived within the time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.messages) >= count, timeout_s)

    def _take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with self._arrived:
            answer = self._answers.pop(0) if self._answers else Answer()
            try:
                self.messages.append(orjson.loads(body))
            except orjson.JSONDecodeError:
                answer = Answer(400, b"invalid_payload")
            self._arrived.notify_all()
        handler.send_response(answer.status)
        if answer.retry_after_s is not None:
            handler.send_header("Retry-After", str(answer.retry_after_s))
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)
