"""A small HTTP server beside the application that answers scrapes, and its announcement."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from watchkeeper.errors import StartError
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.pages import BODY_BYTES_MAX, Ask, Page, Pages, answered
from watchkeeper.vocabulary.limits import limit

__all__ = ["MetricsListener"]

_IDLE_S = 75.0
"""Longer than usual scrape intervals, so that connections are kept between scrapes."""


class MetricsListener:
    """Answers ``GET <path>`` on the loopback interface from daemon threads.

    With *targets_dir* it announces itself to Prometheus' ``file_sd`` by the file
    ``<service>-<pid>.json``, and removes that file when it stops. Files of the same service whose
    process is gone are removed at the start.

    Args:
        scrape: Returns body and content type for an ``Accept`` header.
        service: Name of the service, which becomes the label ``job``.
        path: Path of the metrics.
        port: Port to bind on 127.0.0.1, 0 for a free one.
        targets_dir: Directory for the announcement, made if missing; None announces nothing.
        pages: Further pages that it answers, by path.
    """

    def __init__(
        self,
        scrape: Callable[[str], tuple[bytes, str]],
        *,
        service: str,
        path: str = "/metrics",
        port: int = 0,
        targets_dir: Path | None = None,
        pages: Pages | None = None,
    ) -> None:
        self._scrape = scrape
        self._pages = pages or {}
        self._service = service
        self._path = path
        self._wanted_port = port
        self._targets_dir = targets_dir
        self._server: _Server | None = None
        self._file: Path | None = None
        self.port = 0
        """The port it listens on, 0 while it does not."""

    def start(self) -> None:
        """Bind, serve and announce.

        Raises:
            StartError: The port is in use.
        """
        try:
            self._server = _Server(self._wanted_port, self._path, self._scrape, self._pages)
        except OSError as error:
            raise StartError.explain(
                "the listener for metrics cannot bind its port",
                got=self._wanted_port,
                accepted="a free port, or 0 to have one chosen",
                next_step=f"set metrics_port=0 or stop what uses the port ({error})",
            ) from error
        self.port = int(self._server.server_address[1])
        thread = threading.Thread(
            target=self._server.serve, name="watchkeeper-metrics", daemon=True
        )
        thread.start()
        self.announce()

    def announce(self) -> None:
        """Write the announcement, if there is a directory for it and it is not there yet."""
        if self._targets_dir is None or self._file is not None or self._server is None:
            return
        try:
            self._file = self._write_target(self._targets_dir)
        except OSError as error:
            record_failure("metrics.announce", error)

    def withdraw(self) -> None:
        """Remove the announcement; scrapes are still answered."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink()

    def stop(self) -> None:
        """Withdraw the announcement and stop serving; does nothing if it does not serve."""
        self.withdraw()
        server, self._server = self._server, None
        if server is not None:
            server.end()
        self.port = 0

    def after_fork(self) -> None:
        """Leave socket and file to the parent and start anew; runs in a forked child."""
        server, self._server, self._file, self.port = self._server, None, None, 0
        if server is None:
            return
        server.socket.close()
        # A fixed port is still the parent's.
        self._wanted_port = 0
        self.start()

    def _write_target(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "_", self._service)[:100] or "unknown_service"
        for old in folder.glob(f"{slug}-*.json"):
            pid = old.stem.removeprefix(f"{slug}-")
            if pid.isdigit() and not _is_alive(int(pid)):
                with contextlib.suppress(OSError):
                    old.unlink()
        target = {
            "targets": [f"127.0.0.1:{self.port}"],
            "labels": {"job": self._service, "__metrics_path__": self._path},
        }
        if self._path == "/metrics":
            del target["labels"]["__metrics_path__"]  # type: ignore[attr-defined]  # a dict, one line above
        file = folder / f"{slug}-{os.getpid()}.json"
        temporary = folder / f".{file.name}.tmp"
        temporary.write_text(json.dumps([target]) + "\n", encoding="utf-8")
        temporary.replace(file)
        return file


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self, port: int, path: str, scrape: Callable[[str], tuple[bytes, str]], pages: Pages
    ) -> None:
        self.pages = pages
        self.path = path
        self.scrape = scrape
        self.ending = threading.Event()
        self.slots = threading.BoundedSemaphore(limit("scrape_connections_max"))
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
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
