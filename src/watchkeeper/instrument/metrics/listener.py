"""A small HTTP server beside the application that answers scrapes, and its announcement."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

from watchkeeper.errors import StartError
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.metrics.targets import Crew, TargetsDir
from watchkeeper.instrument.pages import BODY_BYTES_MAX, Ask, Page, Pages, answered
from watchkeeper.vocabulary.limits import limit

__all__ = ["MetricsListener"]

_IDLE_S = 75.0
"""Longer than usual scrape intervals, so that connections are kept between scrapes."""
_PATIENCE, _PAUSE_S = 100, 0.02
"""Attempts to bind the port of a worker that died, and the pause between two."""


class MetricsListener:
    """Answers ``GET <path>`` on the loopback interface from daemon threads.

    With *targets_dir* it announces itself to Prometheus' ``file_sd`` by the file
    ``<service>-<pid>.json``, and removes that file when it stops. Files of the same service whose
    process is gone are removed at the start.

    In a group of workers one process at a time serves and announces. When it stops or dies, the
    next one takes over its port and its file, so that there is always one target, the same.

    Args:
        scrape: Returns body and content type for an ``Accept`` header.
        service: Name of the service, which becomes the label ``job``.
        path: Path of the metrics.
        port: Port to bind on 127.0.0.1, 0 for a free one.
        targets_dir: Directory for the announcement, made if missing; None announces nothing.
        pages: Further pages that it answers, by path.
        refusal: Returns a status for a request that may not be answered, from its header
            ``Authorization`` and the client's address; None lets it pass.
        crowded: Called for each connection that is one too many.
        connections_max: Connections at once; further ones are answered 503.
    """

    def __init__(  # noqa: PLR0913 - every part is an argument
        self,
        scrape: Callable[[str], tuple[bytes, str]],
        *,
        service: str,
        path: str = "/metrics",
        port: int = 0,
        targets_dir: Path | None = None,
        pages: Pages | None = None,
        refusal: Callable[[str, str | None], int | None] | None = None,
        crowded: Callable[[], None] = lambda: None,
        connections_max: int = limit("scrape_connections_max"),
    ) -> None:
        self._scrape = scrape
        self._pages = pages or {}
        self._service = service
        self._path = path
        self._wanted_port = port
        self._targets = TargetsDir(targets_dir, service, path) if targets_dir is not None else None
        self._refusal = refusal
        self._crowded = crowded
        self._connections_max = connections_max
        self._server: _Server | None = None
        self._file = ""
        self._crew: Crew | None = None
        self._stopped = True
        self._lock = threading.RLock()
        self.port = 0
        """The port it listens on, 0 while it does not."""

    def start(self, crew: Crew | None = None) -> None:
        """Bind, serve and announce; in a group, as soon as no other process does.

        Args:
            crew: The other workers of this process's group; None if it is alone.

        Raises:
            StartError: The port is in use.
        """
        with self._lock:
            self._stopped = False
            self._crew = crew
            if crew is None or crew.claim(self._take_over):
                self._serve()
                self.announce()

    def join(self, crew: Crew) -> None:
        """Go on as a worker of a group that begins with this process."""
        with self._lock:
            self._crew = crew
            if not self._stopped and crew.claim(self._take_over):
                crew.note(self.port, self._file)

    def announce(self) -> None:
        """Write the announcement, if there is a directory for it and it is not there yet."""
        with self._lock:
            if self._crew is not None and self._server is None:
                if self._stopped:
                    self.start(self._crew)
                return
            if self._targets is None or self._file or self._server is None:
                return
            name = self._crew.noted()[1] if self._crew is not None else ""
            try:
                self._file = self._targets.write(self.port, name, workers=self._crew is not None)
            except OSError as error:
                record_failure("metrics.announce", error)
            if self._crew is not None:
                self._crew.note(self.port, self._file)

    def withdraw(self) -> None:
        """Remove the announcement; scrapes are still answered. In a group, let another one do it."""
        if self._crew is not None:
            self.stop()
            return
        file, self._file = self._file, ""
        self._remove(file)

    def stop(self) -> None:
        """Withdraw the announcement and stop serving; does nothing if it does not serve."""
        with self._lock:
            self._stopped = True
            server, self._server = self._server, None
            file, self._file = self._file, ""
            self.port = 0
            if server is not None:
                server.end()
            crew = self._crew
            if crew is None:
                self._remove(file)
            else:
                # Whoever goes last takes the announcement along, also if another wrote it.
                crew.leave(lambda: self._remove(file or crew.noted()[1]))

    def after_fork(self, crew: Crew | None = None) -> None:
        """Leave socket and file to the parent and start anew; runs in a forked child.

        Args:
            crew: The group that the child works in; None if it is alone.
        """
        self._lock = threading.RLock()
        server, self._server, self._file, self.port = self._server, None, "", 0
        old, self._crew = self._crew, None
        if old is not None:
            old.after_fork()
        if server is not None:
            server.socket.close()
        if server is None and self._stopped:
            return
        if crew is None:
            # A fixed port is still the parent's.
            self._wanted_port = 0
        self.start(crew)

    def _remove(self, file: str) -> None:
        if self._targets is not None and file:
            self._targets.remove(file)

    def _take_over(self) -> None:
        with self._lock:
            if not self._stopped and self._server is None:
                self._serve()
                self.announce()

    def _serve(self) -> None:
        noted = self._crew.noted()[0] if self._crew is not None else 0
        try:
            self._server = self._bound(self._wanted_port or noted, patient=noted > 0)
        except OSError as error:
            if not noted or self._wanted_port:
                self._refuse_port(error)
            # Somebody else took the port in between: a new target is better than none.
            self._server = self._bound(0, patient=False)
        self.port = int(self._server.server_address[1])
        thread = threading.Thread(
            target=self._server.serve, name="watchkeeper-metrics", daemon=True
        )
        thread.start()

    def _bound(self, port: int, *, patient: bool) -> _Server:
        for _ in range(_PATIENCE if patient else 0):
            try:
                return self._made(port)
            except OSError:
                # The kernel may let go of the lock of a dying process before its socket.
                threading.Event().wait(_PAUSE_S)
        return self._made(port)

    def _made(self, port: int) -> _Server:
        return _Server(
            port,
            self._path,
            self._scrape,
            self._refusal,
            self._pages,
            self._crowded,
            self._connections_max,
        )

    def _refuse_port(self, error: OSError) -> NoReturn:
        if self._crew is not None:
            self._crew.release()
        raise StartError.explain(
            "the listener for metrics cannot bind its port",
            got=self._wanted_port,
            accepted="a free port, or 0 to have one chosen",
            next_step=f"set metrics_port=0 or stop what uses the port ({error})",
        ) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self,
        port: int,
        path: str,
        scrape: Callable[[str], tuple[bytes, str]],
        refusal: Callable[[str, str | None], int | None] | None,
        pages: Pages,
        crowded: Callable[[], None],
        connections_max: int,
    ) -> None:
        self.pages = pages
        self.crowded = crowded
        self.path = path
        self.scrape = scrape
        self.refusal = refusal
        self.ending = threading.Event()
        self.slots = threading.BoundedSemaphore(connections_max)
        super().__init__(("127.0.0.1", port), _Handler)

    def serve(self) -> None:
        """Accept connections until `end`; blocks in ``accept`` instead of polling."""
        while not self.ending.is_set():
            try:
                request, address = self.get_request()
            except OSError:
                # Either the socket was closed by `end`, or there are too many open files.
                self.ending.wait(0.1)
                continue
            try:
                self.process_request(request, address)
            except Exception as error:  # noqa: BLE001 - no thread for the connection, for example
                record_failure("metrics.listener", error)
                self.shutdown_request(request)

    def end(self) -> None:
        """Stop accepting; ``shutdown`` is what wakes a thread from ``accept`` on Linux."""
        self.ending.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.slots.acquire(blocking=False):
            self.crowded()
            with contextlib.suppress(OSError):
                request.sendall(
                    b"HTTP/1.1 503 Service Unavailable\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: a scraper that goes away is no news for the application's output."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "watchkeeper"
    sys_version = ""
    timeout = _IDLE_S
    server: _Server

    def do_GET(self) -> None:
        """Answer a scrape, or a page."""
        if self.path in self.server.pages:
            self._answer_page(self.server.pages[self.path])
            return
        if self.path.partition("?")[0] != self.server.path:
            self._answer(404, b"not found\n", "text/plain; charset=utf-8")
            return
        refusal = self.server.refusal
        given = self.headers.get("Authorization", "")
        status = None if refusal is None else refusal(given, self.client_address[0])
        if status is not None:
            self._answer(status, b"not allowed\n", "text/plain; charset=utf-8")
            return
        try:
            body, kind = self.server.scrape(self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001 - the scraper must hear about it, the host must not
            record_failure("metrics.scrape", error)
            self._answer(500, b"metrics failed\n", "text/plain; charset=utf-8")
            return
        self._answer(200, body, kind)

    def do_PUT(self) -> None:
        """Answer a page."""
        page = self.server.pages.get(self.path)
        if page is None:
            self.close_connection = True
            self._answer(404, b"not found\n", "text/plain; charset=utf-8")
            return
        self._answer_page(page)

    def do_DELETE(self) -> None:
        """Answer a page."""
        self.do_PUT()

    def do_HEAD(self) -> None:
        """Answer a scrape without its body."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet, as above."""

    def _answer_page(self, page: Page) -> None:
        length = self.headers.get("Content-Length", "0")
        body: bytes | None = None
        if length.isdecimal() and len(length) < 10 and int(length) <= BODY_BYTES_MAX:
            body = self.rfile.read(int(length))
        else:
            self.close_connection = True
        ask = Ask(self.command, self.headers.get("Authorization", ""), body)
        found = answered(page, ask)
        self.send_response(found.status)
        for name, value in found.all_headers():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
