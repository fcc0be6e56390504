"""An endpoint that is away for minutes: everything arrives in order, and the application is as quick."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from tests.instrument.recorder.collector import Collector, TickingClock, collecting
from tests.instrument.rig import HandClock

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.instrument.recorder import (
    HttpExporter,
    LogRecord,
    MemoryExporter,
    Outcome,
    RandomIds,
    Recorder,
    RecorderLimits,
    Signal,
)
from watchkeeper.instrument.recorder.courier import Courier, exponential
from watchkeeper.instrument.recorder.records import Batch
from watchkeeper.testing import wait_until


@contextmanager
def recording(url: str, spool: Path | None, clock: Clock, **more: object) -> Iterator[Recorder]:
    """A recorder that exports every hundredth of a second, with the shortest waits."""
    recorder = Recorder(
        {"service.name": "shop"}, clock=clock, ids=RandomIds(), spool_dir=spool,
        exporter=HttpExporter(url, clock=clock, timeout_s=2.0),
        **{"interval_s": 0.01, "jitter": lambda: 0.0, **more},  # type: ignore[arg-type] # as the constructor's
    )  # fmt: skip
    try:
        yield recorder
    finally:
        recorder.shutdown(1.0)


def both(recorder: Recorder, number: int) -> None:
    """Record one span and one log record of that number."""
    recorder.start(str(number)).end()
    recorder.emit_log(LogRecord(1, 9, "info", str(number), {}))


def numbers(collector: Collector) -> tuple[list[int], list[int]]:
    """Return the numbers of the spans and of the records that arrived, in order."""
    return (
        [int(span.name) for span in collector.spans()],
        [int(body) for body in collector.log_bodies()],
    )


def taken(recorder: Recorder) -> bool:
    """Whether the worker has taken everything from the queues."""
    now = recorder.stats()
    return now.span_queue == now.log_queue == 0


def test_ten_minutes_without_the_endpoint_lose_nothing(tmp_path: Path) -> None:
    """Every span and record of the outage arrives once, in order, when the endpoint is back."""
    clock = HandClock()
    with collecting() as gone:
        port, url = gone.port, gone.url
    with recording(url, tmp_path, clock) as recorder:
        for number in range(120):
            clock.advance(5.0)
            both(recorder, number)
            assert wait_until(lambda: taken(recorder), 10)
        assert recorder.stats().spool_bytes > 0
        with collecting(port) as collector:
            clock.advance(30.0)
            both(recorder, 120)
            assert wait_until(lambda: numbers(collector) == ([*range(121)], [*range(121)]), 20)
            assert wait_until(lambda: recorder.stats().spool_bytes == 0, 10)
        stats = recorder.stats()
    assert (121, 121, {}, {}) == (
        stats.spans_exported, stats.logs_exported, stats.spans_dropped, stats.logs_dropped,
    )  # fmt: skip


def test_beyond_the_spools_cap_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    """What arrives is the newest part, whole and in order; the rest is counted as spool_full."""
    clock = HandClock()
    limits = RecorderLimits(spool_bytes_max=4_000)
    with collecting() as gone:
        port, url = gone.port, gone.url
    with recording(url, tmp_path, clock, limits=limits) as recorder:
        for number in range(60):
            clock.advance(10.0)
            recorder.start(str(number)).end()
            assert wait_until(lambda: taken(recorder), 10)
        assert recorder.stats().spool_bytes <= 4_000
        lost = recorder.stats().spans_dropped["spool_full"]
        with collecting(port) as collector:
            clock.advance(30.0)
            assert wait_until(lambda: recorder.stats().spool_bytes == 0, 10)
            spans, _ = numbers(collector)
    assert 0 < lost < 60
    assert list(range(lost, 60)) == spans


def test_an_outage_costs_few_attempts() -> None:
    """Ten minutes of failures are about twenty attempts; waits of the endpoint's own are obeyed."""

    class Down(MemoryExporter):
        wait_s: float | None = None

        def export(self, signal: Signal, body: bytes, items: int) -> Outcome:
            super().export(signal, body, items)
            return Outcome("retry", retry_after_s=self.wait_s, reachable=False)

    clock, exporter = TickingClock(), Down()
    courier = Courier(
        exporter, None, clock=clock, backoff=exponential(lambda: 1.0), backlog_bytes_max=1_000
    )
    courier.take(Batch("traces", b"x", 1))
    for second in range(600):
        clock.monotonic = second * 1_000_000_000
        courier.step()
    backed_off, exporter.wait_s = len(exporter.batches), 120.0
    for second in range(600, 1_200):
        clock.monotonic = second * 1_000_000_000
        courier.step()

    assert 15 <= backed_off <= 25
    assert 5 <= len(exporter.batches) - backed_off <= 7


def calls_of_a_span(recorder: Recorder) -> int:
    """Return how many functions run on this thread between the start and the end of a span."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG001 - the hook's signature
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        recorder.start("measured").end()
    finally:
        sys.setprofile(before)
    return count


def cost_of_a_span(recorder: Recorder) -> float:
    """Return the least CPU time of a hundred spans on this thread, of many tries."""
    gc.collect()
    best = float("inf")
    for _ in range(30):
        began = time.thread_time_ns()
        for _ in range(100):
            recorder.start("measured").end()
        best = min(best, time.thread_time_ns() - began)
        time.sleep(0.002)
    return best


def test_a_span_costs_the_same_while_the_endpoint_is_down(tmp_path: Path) -> None:
    """The same function calls, and no more CPU time than noise explains."""
    clock = SystemClock()
    with collecting() as collector:
        url = collector.url
        with recording(url, tmp_path, clock) as recorder:
            recorder.start("first").end()
            assert recorder.flush(5.0)
            up = (calls_of_a_span(recorder), cost_of_a_span(recorder))
            assert recorder.flush(5.0)
    with recording(url, tmp_path, clock) as recorder:
        recorder.start("first").end()
        assert not recorder.flush(5.0)
        down = (calls_of_a_span(recorder), cost_of_a_span(recorder))
        recorder.shutdown(0.1)

    assert up[0] == down[0]
    assert down[1] < 2.0 * up[1]


@pytest.mark.timeout(720)
def test_a_real_minute_without_the_endpoint(tmp_path: Path) -> None:
    """After a minute of refused connections everything arrives by itself, in order."""
    clock = SystemClock()
    with collecting() as gone:
        port, url = gone.port, gone.url
    with recording(url, tmp_path, clock, interval_s=0.2) as recorder:
        ends = time.monotonic() + 60.0
        number = 0
        while time.monotonic() < ends:
            both(recorder, number)
            number += 1
            time.sleep(0.05)
        with collecting(port) as collector:
            expected = [*range(number)]
            assert wait_until(lambda: numbers(collector) == (expected, expected), 60)
        stats = recorder.stats()
    assert number > 600
    assert (number, number, {}, {}) == (
        stats.spans_exported, stats.logs_exported, stats.spans_dropped, stats.logs_dropped,
    )  # fmt: skip
