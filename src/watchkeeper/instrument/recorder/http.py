"""OTLP over HTTP, with the standard library's client.

Behaviour follows the OTLP specification 1.x, section OTLP/HTTP: what may be retried, how long to
wait, what a partial success means.
"""

from __future__ import annotations

import contextlib

# The first connection would import this codec. A fork in the middle of that import leaves the
# child with half of it and "unknown encoding: idna", so it is imported before anyone forks.
import encodings.idna  # noqa: F401
import gzip
import http.client
import os
import socket
import ssl
import struct
import sys
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import SplitResult, urlsplit

from watchkeeper.clock import Clock
from watchkeeper.errors import SettingError
from watchkeeper.instrument.parse import without_login
from watchkeeper.instrument.recorder.exporters import Outcome
from watchkeeper.instrument.recorder.read import rejected_items
from watchkeeper.instrument.recorder.records import Signal
from watchkeeper.vocabulary.limits import limit

__all__ = ["HttpExporter", "user_agent"]

_RETRYABLE = frozenset({429, 502, 503, 504})
_TOO_LARGE = 413
_CHUNK = 65_536
_SEND_BYTES = 1 << 20
_TIMEVAL = struct.Struct("ll").pack if sys.platform == "linux" else None
"""``struct timeval`` as ``SO_RCVTIMEO`` takes it; other systems have other forms."""
_SECOND_NS = 1_000_000_000


class _Connection(http.client.HTTPConnection):
    """A connection that sends head and body of a request in one piece.

    Each time a thread has waited in the system it must get the interpreter's lock back, and while it
    asks for that, the application's threads wake it whenever they let go of the lock for a moment, and
    pay for it. So a request is to wait as few times as it can.
    """

    _held: list[bytes]

    def connect(self) -> None:
        """Connect, with room for a whole request."""
        super().connect()
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        self.limit_s(self.timeout or 0.0)

    def send(self, data: Any) -> None:
        """Hold a part of the request back."""
        self._held.append(data)

    def post(self, target: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a request."""
        self._held = []
        self.request("POST", target, body=body, headers=headers)
        whole, self._held = b"".join(self._held), []
        super().send(whole)

    def limit_s(self, seconds: float) -> None:
        """Let each step of what follows take *seconds* at most."""
        sock: socket.socket | None = self.sock
        if sock is None:
            return
        if _TIMEVAL is None or isinstance(sock, ssl.SSLSocket):
            sock.settimeout(seconds)
            return
        # The system's own limits: Python's would wait in a call of its own before each step.
        sock.settimeout(None)
        micros = max(int(seconds * 1e6), 1)
        limit_ = _TIMEVAL(micros // 1_000_000, micros % 1_000_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit_)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit_)


class _Secure(_Connection, http.client.HTTPSConnection):
    """The same over TLS."""


class HttpExporter:
    """Posts batches as protobuf over a connection that is kept open.

    Redirects are not followed, so headers with credentials stay with the host they were given for.

    Args:
        endpoint: Base URL, ``http`` or ``https``; ``/v1/traces`` and ``/v1/logs`` are appended.
        clock: Times the request, and reads a ``Retry-After`` date.
        headers: Further request headers, for example an ``Authorization``.
        urls: Full URLs by signal, used as they are instead of *endpoint*.
        timeout_s: Time of one attempt in seconds, connecting included.
        compress: Whether to gzip the body.
        tls: Context for ``https``; the default verifies against the host's certificate store.
        retry_after_s_max: Longest wait that an endpoint can ask for, in seconds.

    Raises:
        SettingError: A URL is not absolute or its scheme is neither ``http`` nor ``https``.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        clock: Clock,
        headers: Mapping[str, str] | None = None,
        urls: Mapping[Signal, str] | None = None,
        timeout_s: float = 10.0,
        compress: bool = True,
        tls: ssl.SSLContext | None = None,
        retry_after_s_max: float = limit("export_retry_after_s_max"),
    ) -> None:
        given = dict(urls or {})
        signals: tuple[Signal, ...] = ("traces", "logs")
        self._urls = {
            signal: _parse(given.get(signal) or f"{endpoint.rstrip('/')}/v1/{signal}")
            for signal in signals
        }
        self._clock = clock
        self._timeout_s = timeout_s
        self._compress = compress
        self._tls = tls
        self._retry_after_s_max = retry_after_s_max
        self._headers = {
            "User-Agent": user_agent(),
            **(headers or {}),
            "Content-Type": "application/x-protobuf",
        }
        if compress:
            self._headers["Content-Encoding"] = "gzip"
        self._connections: dict[str, _Connection] = {}

    def export(self, signal: Signal, body: bytes, items: int) -> Outcome:  # noqa: ARG002 - protocol
        """Post one batch; network errors and the retryable statuses give ``retry``."""
        url = self._urls[signal]
        payload = gzip.compress(body, compresslevel=1, mtime=0) if self._compress else body
        kept = url.netloc in self._connections
        try:
            try:
                return self._attempt(url, payload)
            except (http.client.RemoteDisconnected, ConnectionError):
                # A kept connection that the server has closed in the meantime says nothing about
                # the server: once more on a fresh one.
                self._drop(url.netloc)
                if not kept:
                    raise
                return self._attempt(url, payload)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop(url.netloc)
            detail = f"{type(error).__name__}: {error} ({url.scheme}://{url.hostname}:{_port(url)})"
            return Outcome("retry", reachable=False, detail=detail)

    def after_fork(self) -> None:
        """Close the child's descriptors of the connections; the parent's stay open.

        The parent's worker may have been reading when the fork came. The lock of its buffer is then
        held for ever in the child, so no method that takes it is called here.
        """
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            sock = connection.sock
            if sock is not None and (handle := sock.detach()) >= 0:
                os.close(handle)

    def close(self) -> None:
        """Close the connections; a later export opens new ones."""
        for netloc in list(self._connections):
            self._drop(netloc)

    def _attempt(self, url: SplitResult, payload: bytes) -> Outcome:
        deadline_ns = self._clock.monotonic_ns() + int(self._timeout_s * _SECOND_NS)
        connection = self._connections.get(url.netloc)
        if connection is None:
            connection = self._connections[url.netloc] = self._connect(url)
        connection.limit_s(self._timeout_s)
        target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
        connection.post(target, payload, self._headers)
        try:
            response = connection.getresponse()
        except http.client.RemoteDisconnected:
            if self._clock.monotonic_ns() < deadline_ns:
                raise
            # What looks like an end is the system's limit.
            raise TimeoutError("timed out") from None
        answer, whole = self._read(connection, response, deadline_ns)
        if not whole or response.will_close:
            self._drop(url.netloc)
        return self._judge(response, answer)

    def _read(
        self,
        connection: _Connection,
        response: http.client.HTTPResponse,
        deadline_ns: int,
    ) -> tuple[bytes, bool]:
        """Return the body, and whether it was read to its end within time and size."""
        size_max = limit("export_response_bytes_max")
        answer = bytearray()
        whole = False
        try:
            while len(answer) < size_max:
                left_ns = deadline_ns - self._clock.monotonic_ns()
                if left_ns <= 0:
                    break
                connection.limit_s(left_ns / _SECOND_NS)
                chunk = response.read1(_CHUNK)
                if not chunk:
                    whole = response.length == 0 or bool(response.chunked and response.isclosed())
                    break
                answer += chunk
        except (OSError, http.client.HTTPException):
            # The status has arrived, and it alone decides.
            whole = False
        # At length 0 the connection would wait for one more read before the next request.
        response.close()
        return bytes(answer), whole

    def _judge(self, response: http.client.HTTPResponse, answer: bytes) -> Outcome:
        status = response.status
        if 200 <= status < 300:
            kind = response.headers.get_content_type()
            rejected = rejected_items(answer) if kind == "application/x-protobuf" else 0
            return Outcome("delivered", rejected=rejected)
        detail = f"HTTP {status} {response.reason}"
        if status == _TOO_LARGE:
            return Outcome("too_large", detail=detail)
        if status in _RETRYABLE:
            wait_s = self._retry_after(response.headers.get("Retry-After"))
            return Outcome("retry", retry_after_s=wait_s, detail=detail)
        return Outcome("refused", detail=detail)

    def _retry_after(self, value: str | None) -> float | None:
        """Return the seconds to wait, from seconds or an HTTP date; None if there is no such."""
        if not value:
            return None
        try:
            wait_s = float(int(value))
        except ValueError:
            try:
                until_s = parsedate_to_datetime(value).timestamp()
            except (ValueError, OverflowError):
                return None
            wait_s = until_s - self._clock.now_ns() / _SECOND_NS
        return min(max(wait_s, 0.0), self._retry_after_s_max)

    def _connect(self, url: SplitResult) -> _Connection:
        host = url.hostname or ""
        if url.scheme == "http":
            return _Connection(host, _port(url), timeout=self._timeout_s)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return _Secure(host, _port(url), timeout=self._timeout_s, context=self._tls)

    def _drop(self, netloc: str) -> None:
        connection = self._connections.pop(netloc, None)
        if connection is not None:
            connection.close()


def _parse(url: str) -> SplitResult:
    refusal = SettingError.explain(
        "the endpoint is not usable",
        got=without_login(url),
        accepted="an absolute http:// or https:// URL with a host and without user or password",
        next_step="pass for example http://127.0.0.1:8400, and credentials as headers",
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refusal from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or port == 0:
        raise refusal
    return parts


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def user_agent() -> str:
    """Return how the exporters name themselves, as the specification of exporters asks."""
    try:
        ours = version("watchkeeper")
    except PackageNotFoundError:
        ours = "0"
    return f"watchkeeper/{ours} (python {sys.version_info.major}.{sys.version_info.minor})"
