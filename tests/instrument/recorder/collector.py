"""An OTLP/HTTP endpoint on 127.0.0.1 that answers as it is told, and a clock and ids that count."""

from __future__ import annotations

import gzip
import itertools
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Answer(NamedTuple):
    """One scripted response."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    wait: threading.Event | None = None


class Request(NamedTuple):
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    answered: int


class Collector:
    """Keeps requests; answers from `script` while it lasts, then 200."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.script: deque[Answer] = deque()
        self.connections = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                collector.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = collector.script.popleft() if collector.script else Answer()
                headers = {key.lower(): value for key, value in self.headers.items()}
                collector.requests.append(Request(self.path, headers, body, answer.status))
                if answer.wait is not None:
                    answer.wait.wait(20)
                self.send_response(answer.status)
                for key, value in answer.headers:
                    self.send_header(key, value)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing: a client that goes away is part of the tests."""

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def accepted(self, path: str = "/v1/traces") -> list[bytes]:
        """Return the bodies that were answered with a success."""
        return [r.body for r in self.requests if r.path == path and r.answered < 300]

    def spans(self) -> list[Span]:
        """Return the spans of accepted requests, each as often as it arrived."""
        return [span for body in self.accepted() for span in spans_of(body)]

    def logs(self) -> list[LogRecord]:
        """Return every record of the accepted log requests."""
        return [
            record
            for body in self.accepted("/v1/logs")
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def log_bodies(self) -> list[str]:
        """Return the bodies of accepted log records."""
        return [record.body.string_value for record in self.logs()]


def spans_of(body: bytes) -> list[Span]:
    """Decode an export request with the official classes."""
    request = ExportTraceServiceRequest.FromString(body)
    return [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


@contextmanager
def collecting(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    """Run a collector for the length of a ``with`` block."""
    collector = Collector(port, tls)
    try:
        yield collector
    finally:
        collector.close()


class TickingClock:
    """Each reading of the epoch is 1,000 ns after the one before; monotonic time moves by hand."""

    def __init__(self) -> None:
        self._ticks = itertools.count(1_700_000_000_000_000_000, 1_000)
        self.monotonic = 0

    def now_ns(self) -> int:
        """Return the next moment."""
        return next(self._ticks)

    def monotonic_ns(self) -> int:
        """Return what was set by hand."""
        return self.monotonic


class CountingIds:
    """Ids that count up."""

    is_random = True

    def __init__(self) -> None:
        self._traces = itertools.count(0xAAAA_0000_0000_0000_0000_0000_0000_0001)
        self._spans = itertools.count(0xBBBB_0000_0000_0001)

    def trace_id(self) -> int:
        """Return the next trace id."""
        return next(self._traces)

    def span_id(self) -> int:
        """Return the next span id."""
        return next(self._spans)

    def after_fork(self) -> None:
        """Go on counting."""
