"""What the fakes that speak HTTP have in common: scripted answers, hangs, refusals, limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from watchkeeper.testing.patience import patience

__all__ = ["Answer", "HttpFake", "Request"]

_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fake answers once."""

    status: int = 200
    body: bytes = b"ok"
    retry_after_s: int | None = None
    """Value of the header Retry-After, in seconds; None leaves it out."""
    hang: bool = False
    """Take the request and say nothing until the fake is closed."""
    drop: bool = False
    """Close the connection without an answer, and forget the request."""
    lost: bool = False
    """Take the request as usual, then close the connection without an answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


class HttpFake:
    """A server on 127.0.0.1 that keeps what it is sent; a context manager.

    Args:
        body_bytes_max: Size beyond which a body is answered 413, in bytes; None for no limit.

    Attributes:
        requests: All requests that arrived whole, oldest first, refused ones included.
    """

    def __init__(self, *, body_bytes_max: int | None = None) -> None:
        self.requests: list[Request] = []
        self._answers: list[Answer] = []
        self._arrived = threading.Condition()
        self._closed = threading.Event()
        self._body_bytes_max = body_bytes_max
        self._port = 0
        self._listen()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._stop()

    @property
    def base_url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._port}"

    def answer_next(self, *answers: Answer) -> None:
        """Answer the next requests with these, then as usual again."""
        with self._arrived:
            self._answers.extend(answers)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections for the time of the ``with`` block; the address stays the same."""
        self._stop()
        try:
            yield
        finally:
            self._listen()
            self._thread.start()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> bool:
        """Return whether *count* requests have arrived within the time, in seconds."""
        with self._arrived:
            return self._arrived.wait_for(
                lambda: len(self.requests) >= count, timeout_s * patience()
            )

    def answer_to(self, request: Request) -> Answer:
        """Take *request* and return the usual answer; each kind of fake has its own."""
        raise NotImplementedError

    def keep(self, request: Request) -> None:
        """Note *request*, whatever it is answered; for kinds that show requests decoded."""

    def _listen(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with suppress(ConnectionError):
                    fake._serve(self)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", "0"))
        too_large = self._body_bytes_max is not None and length > self._body_bytes_max
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = b"" if too_large else handler.rfile.read(length)
        request = Request(urlsplit(handler.path).path, headers, body)
        if too_large:
            left = length
            while left > 0:
                left -= len(handler.rfile.read(min(left, _READ_BYTES))) or left
        with self._arrived:
            answer = self._answered(request, too_large=too_large)
        if answer.hang:
            self._closed.wait()
        if answer.hang or answer.drop or answer.lost:
            return
        handler.send_response(answer.status)
        if answer.retry_after_s is not None:
            handler.send_header("Retry-After", str(answer.retry_after_s))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _answered(self, request: Request, *, too_large: bool) -> Answer:
        scripted = self._answers.pop(0) if self._answers else None
        if scripted is not None and scripted.drop:
            return scripted
        self.requests.append(request)
        self.keep(request)
        self._arrived.notify_all()
        if too_large:
            return Answer(413, b"the body is too large")
        if scripted is None:
            return self.answer_to(request)
        if scripted.lost:
            self.answer_to(request)
        return scripted
