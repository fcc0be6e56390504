"""A provider of LLMs on this host that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

__all__ = ["Provider", "Reply", "anthropic_events", "chat_chunks", "provider", "sse"]


class Reply(NamedTuple):
    """One answer of the provider."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Provider:
    """Answers each request with the next reply, and keeps what it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []

    def answers(self, *bodies: Reply | dict[str, Any]) -> None:
        """Say what the next requests are answered."""
        for body in bodies:
            reply = body if isinstance(body, Reply) else Reply(json.dumps(body).encode())
            self.replies.append(reply)


def sse(items: Iterable[tuple[str | None, dict[str, Any]]], end: str | None = None) -> Reply:
    """Return a stream of server-sent events as an answer."""
    lines = []
    for name, data in items:
        lines.append(f"event: {name}\n" if name else "")
        lines.append(f"data: {json.dumps(data)}\n\n")
    if end:
        lines.append(f"data: {end}\n\n")
    return Reply("".join(lines).encode(), kind="text/event-stream")


def chat_chunks(words: int = 3, *, usage: bool = True) -> Reply:
    """Return a streamed answer of OpenAI's Chat Completions."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
        for _ in range(words)
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        tokens = {"prompt_tokens": 10, "completion_tokens": words, "total_tokens": 10 + words}
        chunks.append({"choices": [], "usage": tokens})
    return sse([(None, {**head, **chunk}) for chunk in chunks], "[DONE]")


def anthropic_events(words: int = 3) -> Reply:
    """Return a streamed answer of Anthropic's Messages."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "word "},
            }
            for _ in range(words)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": words},
        },
        {"type": "message_stop"},
    ]
    return sse([(event["type"], event) for event in events])


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider on a free port for the length of a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            made.requests.append(json.loads(self.rfile.read(length)))
            made.headers.append(dict(self.headers))
            made.paths.append(self.path)
            reply = made.replies.pop(0)
            self.send_response(reply.status)
            self.send_header("content-type", reply.kind)
            self.send_header("content-length", str(len(reply.body)))
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Provider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)
