"""An endpoint that takes a request and never answers: what was recorded is on disk in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.instrument.recorder.collector import Answer, Collector, collecting, spans_of
from tests.instrument.recorder.test_servers_spans import APPS, answers

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.recorder import HttpExporter, RandomIds, Recorder
from watchkeeper.testing import free_port, wait_until


@pytest.fixture
def hanging() -> Iterator[tuple[Collector, threading.Event]]:
    """Return a collector that answers nothing until the event is set."""
    answer = threading.Event()
    with collecting() as collector:
        collector.script.extend(Answer(503, wait=answer) for _ in range(100))
        yield collector, answer
        answer.set()


def spooled(folder: Path) -> list[str]:
    """Return the names of the spans that wait on disk, sorted."""
    return sorted(
        span.name
        for path in folder.rglob("*-traces-*.otlp")
        for span in spans_of(path.read_bytes())
    )


def hung(collector: Collector, spool_dir: Path) -> Recorder:
    """Return a recorder whose first span is in an attempt that hangs."""
    clock = SystemClock()
    recorder = Recorder(
        {"service.name": "shop"},
        clock=clock,
        ids=RandomIds(),
        exporter=HttpExporter(collector.url, clock=clock, timeout_s=20.0),
        spool_dir=spool_dir,
        interval_s=0.05,
    )
    recorder.start("hangs").end()
    assert wait_until(lambda: len(collector.requests) == 1, 10)
    return recorder


def test_what_hangs_can_be_put_on_disk_and_go_on(
    tmp_path: Path, hanging: tuple[Collector, threading.Event]
) -> None:
    """The batch in the attempt and the queue behind it are on disk; later everything arrives."""
    collector, answer = hanging
    recorder = hung(collector, tmp_path)
    recorder.start("waits").end()
    assert not recorder.flush(0.05)
    recorder.secure()
    assert ["hangs", "waits"] == spooled(tmp_path)

    collector.script.clear()
    answer.set()
    recorder.start("later").end()
    assert recorder.flush(20)
    assert recorder.shutdown()
    assert ["hangs", "later", "waits"] == sorted(span.name for span in collector.spans())
    assert {} == recorder.stats().spans_dropped
    assert [] == spooled(tmp_path)


def test_what_was_taken_after_all_is_not_lost(
    tmp_path: Path, hanging: tuple[Collector, threading.Event]
) -> None:
    """An attempt that succeeds after its batch was put on disk costs a second delivery at most."""
    collector, answer = hanging
    collector.script[0] = Answer(200, wait=answer)
    recorder = hung(collector, tmp_path)
    recorder.secure()
    collector.script.clear()
    answer.set()
    assert recorder.flush(20)
    assert recorder.shutdown()
    bodies = collector.accepted()
    assert ["hangs"] == sorted({span.name for span in collector.spans()})
    assert 1 == len(set(bodies)) <= len(bodies) <= 2


def test_a_uvicorn_that_is_ended_spools_what_hangs(
    tmp_path: Path, hanging: tuple[Collector, threading.Event]
) -> None:
    """Uvicorn dies by its signal past every exit handler; each request that it answered is on disk."""
    collector, _ = hanging
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    answered: Counter[str] = Counter()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "asgiapp:app", "--log-level=error"),
            *("--port", str(port)),
        ],
        cwd=APPS,
        env={
            **os.environ,
            "WATCHKEEPER_ENDPOINT": collector.url,
            "WATCHKEEPER_SPOOL_DIR": str(tmp_path / "spool"),
            "WATCHKEEPER_EXPORT_INTERVAL_S": "0.1",
            "WATCHKEEPER_LOG_LEVEL": "error",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert wait_until(lambda: answers(f"{base}/items/1"), 20)
            assert wait_until(lambda: len(collector.requests) > 0, 20)
            for number in range(2, 30):
                answered[f"/items/{number}"] += answers(f"{base}/items/{number}")
        finally:
            server.send_signal(signal.SIGTERM)
            output = server.communicate(timeout=100)[0]
    seen = {
        pair.value.string_value
        for path in (tmp_path / "spool").rglob("*-traces-*.otlp")
        for span in spans_of(path.read_bytes())
        for pair in span.attributes
        if pair.key == "url.path"
    }
    assert -signal.SIGTERM == server.returncode, output
    assert {"/items/1", *answered} == seen, output
