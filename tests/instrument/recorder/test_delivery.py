"""The whole way from a span to the endpoint, when the endpoint misbehaves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.instrument.recorder.collector import Answer, Collector, TickingClock, collecting

from watchkeeper.clock import SystemClock
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


@contextmanager
def recording(url: str, **more: object) -> Iterator[Recorder]:
    """A recorder that exports to *url* only when it is flushed."""
    clock = SystemClock()
    recorder = Recorder(
        {"service.name": "shop"},
        clock=clock,
        ids=RandomIds(),
        exporter=HttpExporter(url, clock=clock, timeout_s=2.0),
        **{"interval_s": 60.0, "jitter": lambda: 0.0, **more},  # type: ignore[arg-type] # as the constructor's
    )
    try:
        yield recorder
    finally:
        recorder.shutdown(1.0)


def emit(recorder: Recorder, *names: str) -> None:
    """Start and end a span for each name."""
    for name in names:
        recorder.start(name).end()


def log(recorder: Recorder, text: str) -> None:
    """Emit one log record."""
    recorder.emit_log(LogRecord(1, 9, "info", text, {}))


def names(collector: Collector) -> list[str]:
    """Return the names of the spans that arrived, in order."""
    return [span.name for span in collector.spans()]


def test_everything_arrives_once_and_is_counted() -> None:
    """Spans and logs of several threads arrive exactly once, in batches of the limit."""
    with (
        collecting() as collector,
        recording(collector.url, limits=RecorderLimits(batch_items_max=50)) as recorder,
    ):
        threads = [
            threading.Thread(target=emit, args=(recorder, *(f"{n}-{i}" for i in range(100))))
            for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log(recorder, "hello")
        assert recorder.flush(5.0)
        assert recorder.flush(5.0)
        stats = recorder.stats()
        assert {f"{n}-{i}" for n in range(3) for i in range(100)} == set(names(collector))
        assert 300 == len(names(collector))
        assert ["hello"] == collector.log_bodies()
    assert (300, 300, 300, 1, 1) == (
        stats.spans_started, stats.spans_ended, stats.spans_exported,
        stats.logs_created, stats.logs_exported,
    )  # fmt: skip
    assert ({}, {}, 0, 0) == (
        stats.spans_dropped, stats.logs_dropped, stats.span_queue, stats.log_queue,
    )  # fmt: skip


def test_a_retryable_answer_is_retried_with_the_same_bytes() -> None:
    """503, then success: the batch arrives once, unchanged."""
    with collecting() as collector, recording(collector.url) as recorder:
        collector.script.append(Answer(503))
        emit(recorder, "a")
        assert recorder.flush(5.0)
        assert [503, 200] == [request.answered for request in collector.requests]
        assert 1 == len({request.body for request in collector.requests})
        assert 1 == recorder.stats().spans_exported


def test_retry_after_is_honoured() -> None:
    """An endpoint that asks for a second gets no request before it."""
    with collecting() as collector, recording(collector.url) as recorder:
        collector.script.append(Answer(429, (("Retry-After", "1"),)))
        emit(recorder, "a")
        assert not recorder.flush(0.2)
        assert not recorder.flush(0.2)
        assert 1 == len(collector.requests)
        assert recorder.flush(5.0)
        assert ["a"] == names(collector)


@pytest.mark.parametrize("status", [400, 401, 404, 501])
def test_a_final_refusal_is_counted_and_not_retried(status: int) -> None:
    """The batch is lost with reason refused; the next one goes through."""
    with collecting() as collector, recording(collector.url) as recorder:
        collector.script.append(Answer(status))
        emit(recorder, "a", "b")
        assert recorder.flush(5.0)
        emit(recorder, "c")
        assert recorder.flush(5.0)
        assert ["c"] == names(collector)
        assert ({"refused": 2}, 1) == (
            recorder.stats().spans_dropped,
            recorder.stats().spans_exported,
        )


def test_a_request_that_is_too_large_is_sent_in_parts() -> None:
    """413 halves the batch until its parts are taken; an item that is too large alone is lost."""
    with collecting() as collector, recording(collector.url) as recorder:
        collector.script.extend(
            [Answer(413), Answer(413), Answer(200), Answer(413), Answer(503), Answer(200)]
        )
        emit(recorder, "a", "b", "c", "d", "e")
        log(recorder, "unharmed")
        assert recorder.flush(5.0)
        assert ["a", "c", "d", "e"] == sorted(names(collector))
        assert ["unharmed"] == collector.log_bodies()
        assert ({"refused": 1}, 4) == (
            recorder.stats().spans_dropped,
            recorder.stats().spans_exported,
        )


def test_a_partial_success_is_counted_and_not_retried() -> None:
    """What the endpoint rejected counts as dropped, the rest as exported."""
    with collecting() as collector, recording(collector.url) as recorder:
        collector.script.append(Answer(200, body=b"\x0a\x02\x08\x02"))
        emit(recorder, "a", "b", "c")
        assert recorder.flush(5.0)
        assert 1 == len(collector.requests)
        assert ({"rejected": 2}, 1) == (
            recorder.stats().spans_dropped,
            recorder.stats().spans_exported,
        )


def test_an_outage_is_spooled_and_delivered_once_in_order(tmp_path: Path) -> None:
    """Down, then up: everything arrives exactly once, oldest first, and the disk is empty."""
    with collecting() as gone:
        port, url = gone.port, gone.url
    with recording(url, spool_dir=tmp_path) as recorder:
        for name in ("a", "b", "c"):
            emit(recorder, name)
            log(recorder, name)
            assert not recorder.flush(5.0)
        assert recorder.stats().spool_bytes > 0
        assert 6 == len(list(tmp_path.rglob("*.otlp")))
        with collecting(port) as collector:
            emit(recorder, "d")
            assert recorder.flush(5.0)
            assert ["a", "b", "c", "d"] == names(collector)
            assert ["a", "b", "c"] == collector.log_bodies()
        assert 0 == recorder.stats().spool_bytes
        assert 4 == recorder.stats().spans_exported
        assert [] == list(tmp_path.rglob("*.otlp"))


def test_without_a_spool_an_outage_waits_in_memory() -> None:
    """The backlog is delivered when the endpoint is back."""
    with collecting() as gone:
        port, url = gone.port, gone.url
    with recording(url) as recorder:
        emit(recorder, "a")
        assert not recorder.flush(5.0)
        assert recorder.stats().backlog_bytes > 0
        with collecting(port) as collector:
            assert recorder.flush(5.0)
            assert ["a"] == names(collector)
        assert 0 == recorder.stats().backlog_bytes


def test_what_cannot_be_sent_at_shutdown_is_spooled_for_the_next(tmp_path: Path) -> None:
    """The next recorder of the same service delivers what the last one could not."""
    with collecting() as gone:
        port, url = gone.port, gone.url
    with recording(url, spool_dir=tmp_path) as first:
        emit(first, "a")
        assert not first.shutdown(2.0)
        assert not first.shutdown(2.0)
        assert {} == first.stats().spans_dropped
        emit(first, "late")
        assert {"shutdown": 1} == first.stats().spans_dropped
    with collecting(port) as collector, recording(url, spool_dir=tmp_path) as second:
        emit(second, "b")
        assert second.flush(5.0)
        assert ["a", "b"] == sorted(names(collector))


def test_without_a_spool_the_loss_at_shutdown_is_counted() -> None:
    """Nothing disappears without a reason."""
    with collecting() as gone:
        url = gone.url
    with recording(url) as recorder:
        emit(recorder, "a", "b")
        assert not recorder.shutdown(2.0)
        assert {"shutdown": 2} == recorder.stats().spans_dropped


def test_a_hanging_endpoint_delays_shutdown_by_the_deadline_only(tmp_path: Path) -> None:
    """The batch in a hanging attempt and those behind it are spooled."""
    release = threading.Event()
    with collecting() as collector:
        collector.script.append(Answer(503, wait=release))
        with recording(collector.url, spool_dir=tmp_path) as recorder:
            emit(recorder, "in flight")
            assert not recorder.flush(0.3)
            emit(recorder, "queued")
            began = time.monotonic()
            assert not recorder.shutdown(0.3)
            assert time.monotonic() - began < 1.5
            release.set()
        with recording(collector.url, spool_dir=tmp_path / "x") as idle:
            assert idle.flush(1.0)
    assert 2 == len(list(tmp_path.rglob("*-traces-1.otlp")))


def test_a_full_queue_drops_the_newest_and_counts() -> None:
    """Memory is bounded while the endpoint hangs."""
    release = threading.Event()
    limits = RecorderLimits(span_queue_items_max=10, log_queue_items_max=5, batch_items_max=4)
    with collecting() as collector, recording(collector.url, limits=limits) as recorder:
        collector.script.append(Answer(wait=release))
        emit(recorder, "first")
        assert not recorder.flush(0.2)
        emit(recorder, *(str(n) for n in range(15)))
        for n in range(9):
            log(recorder, str(n))
        stats = recorder.stats()
        assert ({"queue_full": 5}, {"queue_full": 4}) == (stats.spans_dropped, stats.logs_dropped)
        assert (10, 5) == (stats.span_queue, stats.log_queue)
        release.set()
        assert recorder.flush(5.0)
        assert ["first", *(str(n) for n in range(10))] == names(collector)


def test_an_unusable_spool_directory_falls_back_to_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where the directory should be costs a warning, not the telemetry."""
    (tmp_path / "file").write_text("in the way")
    with collecting() as gone:
        port, url = gone.port, gone.url
    with (
        caplog.at_level(logging.WARNING, "watchkeeper"),
        recording(url, spool_dir=tmp_path / "file") as recorder,
    ):
        emit(recorder, "a")
        assert not recorder.flush(5.0)
        assert recorder.stats().backlog_bytes > 0
        with collecting(port) as collector:
            assert recorder.flush(5.0)
            assert ["a"] == names(collector)


def test_the_exporter_never_feeds_itself() -> None:
    """Spans and logs made by the exporter's own code, on its thread, go nowhere."""
    recorder: Recorder

    class Chatty(MemoryExporter):
        def export(self, signal: Signal, body: bytes, items: int) -> Outcome:
            tracer = recorder.tracer_provider.get_tracer("http")
            with tracer.start_as_current_span("POST"), tracer.start_as_current_span("connect"):
                log(recorder, "sending")
            return super().export(signal, body, items)

    chatty = Chatty()
    recorder = Recorder(
        {"service.name": "s"}, clock=SystemClock(), ids=RandomIds(), exporter=chatty,
        interval_s=60.0,
    )  # fmt: skip
    seen: list[str] = []
    recorder.add_end_hook(lambda span: seen.append(span.name))
    emit(recorder, "a")
    assert recorder.flush(5.0)
    assert recorder.shutdown(5.0)
    assert (1, ["a"], 0) == (len(chatty.batches), seen, recorder.stats().logs_created)


def test_an_exporter_that_raises_is_survived() -> None:
    """An exporter with a bug loses its batch, counted, and gets the next one."""

    class Broken(MemoryExporter):
        def export(self, signal: Signal, body: bytes, items: int) -> Outcome:
            super().export(signal, body, items)
            raise ZeroDivisionError

    broken = Broken()
    recorder = Recorder({}, clock=SystemClock(), ids=RandomIds(), exporter=broken, interval_s=60.0)
    emit(recorder, "a")
    assert recorder.flush(5.0)
    emit(recorder, "b")
    assert recorder.shutdown(5.0)
    assert 2 == len(broken.batches)
    assert {"refused": 2} == recorder.stats().spans_dropped


def test_a_recorder_that_was_never_used_has_no_thread() -> None:
    """Flush and shutdown of an unused recorder return at once."""
    before = threading.active_count()
    recorder = Recorder({}, clock=SystemClock(), ids=RandomIds(), exporter=MemoryExporter())
    assert recorder.flush(0.0)
    assert recorder.shutdown(0.0)
    assert before == threading.active_count()


def test_without_an_exporter_hooks_still_run() -> None:
    """Metrics can be derived from spans that go nowhere."""
    recorder = Recorder({}, clock=SystemClock(), ids=RandomIds(), exporter=None)
    seen: list[str] = []
    recorder.add_end_hook(lambda span: seen.append(span.name))
    emit(recorder, "a")
    log(recorder, "nowhere")
    assert recorder.flush(0.0)
    assert ["a"] == seen
    assert (1, {}) == (recorder.stats().spans_ended, recorder.stats().spans_dropped)


def test_the_waits_between_retries_double_up_to_a_cap() -> None:
    """From one second to thirty, half of it at most taken away by jitter."""
    longest, shortest = exponential(lambda: 1.0), exponential(lambda: 0.0)
    assert [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == [longest(n) for n in range(1, 8)]
    assert [0.5, 15.0] == [shortest(1), shortest(1_000_000)]


def test_the_backlog_in_memory_is_bounded() -> None:
    """Beyond its limit the oldest batches are dropped and counted."""

    class Down(MemoryExporter):
        def export(self, signal: Signal, body: bytes, items: int) -> Outcome:
            super().export(signal, body, items)
            return Outcome("retry", reachable=False)

    clock, exporter = TickingClock(), Down()
    courier = Courier(
        exporter, None, clock=clock, backoff=exponential(lambda: 1.0), backlog_bytes_max=100
    )
    for number in range(5):
        courier.take(Batch("traces", bytes([number]) * 40, 10))
    assert 1 == len(exporter.batches)
    assert (80, {"backlog_full": 30}) == (courier.backlog_bytes, courier.drops("traces"))
    assert not courier.step()
    clock.monotonic = 1_000_000_000
    assert not courier.step()
    assert b"\x03" * 40 == exporter.batches[-1][1]
