"""A real server, killed and stopped in the middle of its work."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.clock import SystemClock
from watchkeeper.server.store import Store
from watchkeeper.testing.processes import free_port, wait_until

HEADERS = {"content-type": "application/x-protobuf"}
SPANS = 20
ROUNDS = 3


class Server:
    """``watchkeeper serve`` as a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory.parent / f"server-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "watchkeeper.cli", "serve", "--port", str(self.port),
                    "--otlp-port", "0", "--data-dir", str(directory), "--scrape-interval", "0.5",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def ready(self) -> bool:
        """Return whether the server answers."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        return False

    def __enter__(self) -> Self:
        assert wait_until(self.ready, 30), self.log.read_text()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(40)


def body(trace: int) -> bytes:
    """Return a request with the spans of one trace."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    now_ns = SystemClock().now_ns()
    for number in range(SPANS):
        spans.add(
            trace_id=trace.to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"),
            name="work", start_time_unix_nano=now_ns, end_time_unix_nano=now_ns + 1,
        )  # fmt: skip
    return request.SerializeToString()


class Sender:
    """Threads that send traces one after the other and note what was acknowledged."""

    def __init__(self, url: str, first: int, threads: int = 4) -> None:
        self.sent: dict[int, bytes] = {}
        self.acknowledged: set[int] = set()
        self.codes: set[int] = set()
        self._url = url
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(first + n * 1_000_000,))
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        with httpx.Client(timeout=10) as client:
            while not self._stop.is_set():
                number += 1
                self.sent[number] = body(number)
                try:
                    answer = client.post(
                        f"{self._url}/v1/traces", content=self.sent[number], headers=HEADERS
                    )
                except httpx.HTTPError:
                    return
                self.codes.add(answer.status_code)
                if answer.status_code == 200:
                    self.acknowledged.add(number)

    def join(self) -> None:
        """Wait until every thread ended: the server is gone, or `_stop` is set."""
        self._stop.set()
        for thread in self._threads:
            thread.join(20)


def stored(directory: Path) -> dict[int, int]:
    """Return the number of spans by trace."""
    with Store.open(directory, clock=SystemClock()) as store:
        assert store.quarantined == []
        with store.read("spans") as reader:
            rows = reader.execute(
                f"SELECT trace_id, count(*) FROM {reader.table('spans')} GROUP BY ALL"
            ).fetchall()
    return {int.from_bytes(trace, "big"): count for trace, count in rows}


@pytest.mark.timeout(720)
def test_a_killed_server_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """Killed again and again: what was acknowledged is there, whole, and a retry is folded."""
    directory = tmp_path / "data"
    acknowledged: set[int] = set()
    unsure: dict[int, bytes] = {}
    for turn in range(ROUNDS):
        with Server(directory) as server:
            for number, again in unsure.items():
                answer = httpx.post(f"{server.url}/v1/traces", content=again, headers=HEADERS)
                assert answer.status_code == 200
                acknowledged.add(number)
            sender = Sender(server.url, first=turn * 100_000_000)
            wanted = 60 + 40 * turn
            assert wait_until(lambda s=sender, w=wanted: len(s.acknowledged) > w, 30)  # type: ignore[misc] # bound at once
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(40)
            sender.join()
        acknowledged |= sender.acknowledged
        unsure = {n: b for n, b in sender.sent.items() if n not in sender.acknowledged}
    found = stored(directory)

    assert acknowledged <= set(found)
    assert set(found) <= acknowledged | set(unsure)
    assert {SPANS} == set(found.values())


@pytest.mark.timeout(480)
def test_a_stopped_server_finishes_what_it_took(tmp_path: Path) -> None:
    """SIGTERM under load: no request breaks off, exit code 0, nothing is left in a log file."""
    directory = tmp_path / "data"
    with Server(directory) as server:
        sender = Sender(server.url, first=0)
        assert wait_until(lambda: len(sender.acknowledged) > 60, 30)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(80)
        sender.join()
    left = [path.name for path in directory.rglob("*.wal")]
    found = stored(directory)

    assert code == 0, server.log.read_text()
    assert sender.codes == {200}
    assert sender.acknowledged <= set(found)
    assert left == []


@pytest.mark.timeout(480)
def test_one_server_for_a_directory(tmp_path: Path) -> None:
    """A second server says who holds the directory; a second signal ends the first at once."""
    directory = tmp_path / "data"
    with Server(directory) as server:
        second = Server(directory)
        code = second.process.wait(120)
        reason = second.log.read_text()
        with socket.create_connection(("127.0.0.1", server.port)) as held:
            held.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n")
            held.sendall(b"Content-Type: application/x-protobuf\r\n\r\nx")
            server.process.send_signal(signal.SIGINT)
            server.process.send_signal(signal.SIGTERM)
            ended = server.process.wait(40)

    assert code == 1
    assert f"process {server.process.pid}" in reason
    assert str(directory) in reason
    assert "Traceback" not in reason
    assert ended in (0, 1)
