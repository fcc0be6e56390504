"""Whatever the application does to it, the recorder neither breaks nor blocks nor bloats it."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.instrument.recorder.collector import Collector, collecting

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.recorder import LogRecord, MemoryExporter, RandomIds, Recorder

HEAD = """
import os, sys, time, threading
import watchkeeper
from opentelemetry import trace
watchkeeper.configure(
    service="shop", endpoint=sys.argv[1], spool_dir=sys.argv[2], instrument="none",
    export_interval_s=float(os.environ.get("INTERVAL", "0.1")),
)
tracer = trace.get_tracer("test")
def emit(*names):
    for name in names:
        tracer.start_span(name).end()
"""


def run(script: str, *arguments: str, code: int = 0, **env: str) -> tuple[str, str]:
    """Run a script to its end and return its output and its errors."""
    source = HEAD + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", source, *arguments],
        capture_output=True, text=True, timeout=160, check=False, env={**os.environ, **env},
    )  # fmt: skip
    assert code == done.returncode, done.stderr
    return done.stdout, done.stderr


def names(collector: Collector) -> list[str]:
    """Return the names of the spans that arrived, sorted."""
    return sorted(span.name for span in collector.spans())


@contextmanager
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ("", 0),
        ("raise ValueError('the application failed')", 1),
        ("sys.exit(3)", 3),
        ("import atexit\natexit.register(lambda: 1 / 0)", 0),
        ("threading.Thread(target=lambda: (time.sleep(0.2), emit('late'))).start()", 0),
    ],
)
def test_a_script_that_ends_at_once_delivers(last: str, code: int, tmp_path: Path) -> None:
    """However it ends, also by an error, in an exit handler or on a thread that outlives main."""
    with collecting() as collector:
        run(f"emit('a', 'b')\n{last}", collector.url, str(tmp_path), code=code, INTERVAL="30")
        assert ["a", "b"] == [name for name in names(collector) if name != "late"]
        assert ("late" in last) == ("late" in names(collector))


def test_an_exit_at_a_hanging_endpoint_is_bounded(tmp_path: Path) -> None:
    """The exit takes seconds, not forever, and the next process delivers what was spooled."""
    with silent() as url:
        began = time.monotonic()
        run("emit('a')\ntime.sleep(0.4)\nemit('b')", url, str(tmp_path))
        assert time.monotonic() - began < 15
    with collecting() as collector:
        run("emit('c')", collector.url, str(tmp_path))
        assert ["a", "b", "c"] == names(collector)


LEAVING = """
from watchkeeper.instrument.host import current
for number in range(3):
    child = os.fork()
    if child == 0:
        with tracer.start_as_current_span(f"task {number}"):
            pass
        current().stop(1.0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_worker_that_is_recycled_past_exit_handlers_delivers(tmp_path: Path) -> None:
    """What finished before ``os._exit`` arrives where the integration says that it leaves."""
    with collecting() as collector:
        run(LEAVING, collector.url, str(tmp_path), INTERVAL="30")
        assert ["task 0", "task 1", "task 2"] == names(collector)


def test_a_recycled_worker_at_a_hanging_endpoint_spools(tmp_path: Path) -> None:
    """Even a request in flight is on disk before the worker is gone."""
    with silent() as url:
        run(LEAVING, url, str(tmp_path), INTERVAL="30")
    with collecting() as collector:
        run("emit('next')", collector.url, str(tmp_path))
        assert ["next", "task 0", "task 1", "task 2"] == names(collector)


def test_an_exporter_that_logs_does_not_feed_itself(tmp_path: Path) -> None:
    """With every logger at debug and the endpoint down, the lines stay few and the run is short."""
    with collecting() as gone:
        url = gone.url
    out, _ = run(
        """
        import logging
        logging.getLogger().setLevel("DEBUG")
        for number in range(20):
            emit(str(number))
            logging.getLogger("app").warning("line %s", number)
            time.sleep(0.05)
        """,
        url,
        str(tmp_path),
    )
    lines = out.splitlines()
    assert 20 == sum('"logger":"app"' in line for line in lines)
    assert len(lines) < 30


def memory_recorder() -> tuple[Recorder, MemoryExporter]:
    """Return a recorder that exports into memory when flushed."""
    exporter = MemoryExporter()
    recorder = Recorder(
        {}, clock=SystemClock(), ids=RandomIds(), exporter=exporter, interval_s=60.0
    )
    return recorder, exporter


class Hostile:
    """Raises, and grows, wherever foreign code may run."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    __hash__ = None  # type: ignore[assignment] # not hashable either


def test_hostile_values_cost_only_themselves() -> None:
    """Values that raise from every method leave a placeholder, and the span arrives."""
    recorder, exporter = memory_recorder()
    tracer = recorder.tracer_provider.get_tracer("t")
    loop: list[object] = []
    loop.append(loop)
    values: list[object] = [Hostile(), [Hostile()], {"k": Hostile()}, loop, object(), 1 << 80]
    for number, value in enumerate(values):
        with tracer.start_as_current_span("s", attributes={"at start": value}) as span:  # type: ignore[dict-item] # wrong on purpose
            span.set_attribute("later", value)  # type: ignore[arg-type] # wrong on purpose
            span.add_event("e", {"in event": value})  # type: ignore[dict-item] # wrong on purpose
            span.set_attribute("kept", number)
    with pytest.raises(ValueError), tracer.start_as_current_span("error"):
        raise ValueError(Hostile())
    assert recorder.flush(10.0)
    stats = recorder.stats()
    recorder.shutdown(1.0)
    assert (7, {}) == (stats.spans_exported, stats.spans_dropped)
    assert b"kept" in exporter.bodies("traces")[0]


def test_huge_values_are_cut_without_a_copy() -> None:
    """A value of 100 MB, a list of it and an error with it cost a few megabytes at most."""
    recorder, exporter = memory_recorder()
    tracer = recorder.tracer_provider.get_tracer("t")
    huge, data = "x" * 100_000_000, b"x" * 100_000_000
    tracemalloc.start()
    try:
        with tracer.start_as_current_span("s", attributes={"text": huge, "data": data}) as span:
            span.set_attribute("list", [huge] * 20)
            span.add_event("e", {"text": huge})
        assert recorder.flush(20.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        recorder.shutdown(1.0)
    assert peak < 8_000_000
    assert sum(map(len, exporter.bodies("traces"))) < 600_000


def test_hostile_and_huge_values_in_logs(tmp_path: Path) -> None:
    """Each entry is written and exported with what can be shown of it, within a few megabytes."""
    with collecting() as collector:
        out, errors = run(
            """
            import tracemalloc, logging
            class Hostile:
                def __repr__(self): raise RuntimeError
                __str__ = __bool__ = __len__ = __repr__
            loop = []
            loop.append(loop)
            huge = "x" * 100_000_000
            log = watchkeeper.get_logger("app")
            tracemalloc.start()
            for value in (Hostile(), [Hostile()], {"k": Hostile()}, loop, 1 << 80, huge, [huge] * 9):
                log.warning("shown", value=value)
                logging.getLogger("std").warning("shown", extra={"value": value})
            log.warning(huge)
            assert watchkeeper.flush(10)
            print(tracemalloc.get_traced_memory()[1])
            """,
            collector.url,
            str(tmp_path),
        )
        assert 15 == len(collector.logs())
    *lines, peak = out.splitlines()
    assert ("", 15) == (errors, len(lines))
    assert int(peak) < 16_000_000


def test_thousands_of_threads_lose_nothing() -> None:
    """Each short-lived thread's span arrives, and one worker serves them all."""
    recorder, exporter = memory_recorder()
    before = threading.active_count()
    for _ in range(20):
        threads = [
            threading.Thread(target=lambda n=n: recorder.start(f"{n}").end()) for n in range(100)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert threading.active_count() <= before + 1
    assert recorder.flush(10.0)
    exported = recorder.stats().spans_exported
    recorder.shutdown(1.0)
    assert 2_000 == exported
    assert exporter.bodies("traces")


def test_spans_that_end_in_finalizers_arrive() -> None:
    """The collector may run them at any allocation, on any thread, within the recorder's own code."""
    recorder, _ = memory_recorder()

    class Holder:
        def __init__(self, number: int) -> None:
            self.span = recorder.start(f"f{number}")
            self.me = self

        def __del__(self) -> None:
            self.span.end()

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(500):
            Holder(number)
            recorder.start("between").end()
            recorder.emit_log(LogRecord(1, 9, "info", "x", {}))
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert recorder.flush(10.0)
    stats = recorder.stats()
    recorder.shutdown(1.0)
    assert (1_000, 500) == (stats.spans_exported, stats.logs_exported)


def test_finalizers_at_the_interpreters_exit_are_harmless(tmp_path: Path) -> None:
    """A span that ends after everything is torn down is dropped without a word."""
    with collecting() as collector:
        _, errors = run(
            """
            class Holder:
                def __init__(self):
                    self.span = tracer.start_span("too late")
                def __del__(self):
                    self.span.end()
            emit("in time")
            keep = Holder()
            """,
            collector.url,
            str(tmp_path),
        )
        assert "in time" in names(collector)
    assert "" == errors
