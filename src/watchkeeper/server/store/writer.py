"""Group commit: one thread takes everything that waits and commits it together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import duckdb
import pyarrow as pa
import structlog

from watchkeeper.clock import Clock
from watchkeeper.errors import IngestError, OverloadError, PayloadError, StoreError
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.prepare import MetricsRoom, Part, Work, prepare_rows, split
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.segments import Segment, Segments, Signal

__all__ = ["Writer"]

_GROUP_BYTES_MAX = 32 * 1024 * 1024
_ROW_BYTES = 512
_BAD_DATA = (ValueError, TypeError, OverflowError, pa.ArrowException, duckdb.ConversionException)

_log = structlog.get_logger("watchkeeper.server.store")


class _Pending(NamedTuple):
    batch: Batch
    size: int
    future: Future[None]


class _Item(NamedTuple):
    """One batch's part for the segment that is being written."""

    pending: _Pending
    part: Part


class Writer:
    """Owns every write to the segments.

    Args:
        segments: Where rows go.
        room: Decides about samples.
        load_series: Loads a metrics segment's series into the index.
        clock: For commit times and durations.
        metrics: Where commits, duplicates and refusals are counted.
        queue_bytes_max: Decoded bytes that may wait.
    """

    def __init__(
        self,
        segments: Segments,
        room: MetricsRoom,
        load_series: Callable[[Segment], set[int]],
        *,
        clock: Clock,
        metrics: ServerMetrics,
        queue_bytes_max: int,
    ) -> None:
        self._segments = segments
        self._room = room
        self._load_series = load_series
        self._clock = clock
        self._metrics = metrics
        self._most = queue_bytes_max
        self._cursor = segments.cursor()
        self._wake = threading.Condition()
        self._queue: deque[_Pending] = deque()
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._bytes = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="watchkeeper-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread that writes is running."""
        return self._thread.is_alive()

    def submit(self, batch: Batch) -> Future[None]:
        """Queue *batch*; the future resolves once it is committed, or fails with `IngestError`.

        Raises:
            OverloadError: Too much waits already, or the store is closing.
        """
        rows = len(batch.spans) + len(batch.logs) + len(batch.samples)
        size = max(batch.size_bytes, rows * _ROW_BYTES if not batch.size_bytes else 0)
        future: Future[None] = Future()
        with self._wake:
            if self._closing or not self.alive:
                raise OverloadError("the store is closing. Next: send again to a running server.")
            if self._queue and self._bytes + size > self._most:
                raise OverloadError(
                    f"too much telemetry waits for the disk: got {self._bytes + size} bytes. "
                    f"Accepted: {self._most} (ingest_queue_bytes_max). Next: send again later."
                )
            self._bytes += size
            self._queue.append(_Pending(batch, size, future))
            self._wake.notify()
        return future

    def call(self, work: Callable[[], None]) -> Future[None]:
        """Run *work* on the writing thread, between two groups."""
        future: Future[None] = Future()
        with self._wake:
            if self._closing:
                future.set_result(None)
                return future
            self._calls.append((work, future))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Commit what waits, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._cursor.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._calls or self._closing)
                if not self._queue and not self._calls:
                    return
                group: list[_Pending] = []
                size = 0
                while self._queue and (not group or size < _GROUP_BYTES_MAX):
                    pending = self._queue.popleft()
                    size += pending.size
                    if pending.future.set_running_or_notify_cancel():
                        group.append(pending)
                calls, self._calls = self._calls, deque()
            if group:
                self._commit(group)
            with self._wake:
                self._bytes -= size
            for work, future in calls:
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - handed to whoever asked
                    future.set_exception(error)
                else:
                    future.set_result(None)

    def _commit(self, group: Sequence[_Pending]) -> None:
        failed: dict[int, IngestError] = {}
        try:
            now_ns = self._clock.now_ns()
            segments: dict[tuple[Signal, str], list[_Item]] = {}
            for pending in group:
                for key, part in split(pending.batch, now_ns).items():
                    segments.setdefault(key, []).append(_Item(pending, part))
            for (signal, day), items in sorted(segments.items(), key=lambda entry: entry[0]):
                failed |= self._store(signal, day, items)
        except Exception as error:  # noqa: BLE001 - the writer must outlive it; senders are told
            _log.exception("store.commit_failed")
            wrapped = OverloadError(f"the group could not be stored: {error}. Next: send again.")
            failed = {id(pending): wrapped for pending in group}
        for pending in group:
            error_of = failed.get(id(pending))
            if error_of is None:
                pending.future.set_result(None)
            else:
                pending.future.set_exception(error_of)

    def _store(self, signal: Signal, day: str, items: list[_Item]) -> dict[int, IngestError]:
        """Commit the parts of one segment; returns the errors by batch."""
        try:
            self._transaction(signal, day, items)
        except _BAD_DATA as error:
            if len(items) > 1:  # find the one that is to blame
                found: dict[int, IngestError] = {}
                for item in items:
                    found |= self._store(signal, day, [item])
                return found
            self._metrics.count("watchkeeper.server.refused", signal, "malformed")
            return {id(items[0].pending): PayloadError(f"a value cannot be stored: {error}")}
        except (duckdb.Error, StoreError, OSError) as error:
            _log.warning("store.commit_failed", signal=signal, day=day, reason=str(error))
            if isinstance(error, duckdb.Error):
                self._segments.mend(signal, day, error)
            self._metrics.count("watchkeeper.server.refused", signal, "commit_failed")
            wrapped = OverloadError("the disk did not take the batch. Next: send again.", 5.0)
            wrapped.__cause__ = error
            return {id(item.pending): wrapped for item in items}
        return {}

    def _transaction(self, signal: Signal, day: str, items: list[_Item]) -> None:
        segment = self._segments.segment(signal, day)
        known = self._segments.digests(segment)
        digests: dict[bytes, None] = {}
        parts: list[Part] = []
        for item in items:
            digest = item.pending.batch.digest
            if digest and (digest in known or digest in digests):
                self._metrics.count("watchkeeper.server.duplicate_batches", signal)
                continue
            if digest:
                digests[digest] = None
            parts.append(item.part)
        if not parts:
            return
        began = self._clock.monotonic_ns()
        if signal == "metrics":
            self._load_series(segment)
            work = self._room.prepare(segment, parts)
        else:
            work = prepare_rows(signal, parts)
        try:
            self._insert(segment, work, list(digests))
        except BaseException:
            work.undo()
            raise
        known.update(digests)
        work.apply()
        elapsed_s = (self._clock.monotonic_ns() - began) / 1e9
        self._metrics.observe("watchkeeper.server.commit.duration", elapsed_s, signal)
        self._metrics.count("watchkeeper.server.ingested", signal, by=work.items)

    def _insert(self, segment: Segment, work: Work, digests: list[bytes]) -> None:
        cursor = self._cursor
        now_ns = self._clock.now_ns()
        tables = list(work.tables)
        if digests:
            times = pa.array([now_ns] * len(digests), type=pa.int64())
            column = pa.array(digests, type=pa.binary())
            tables.append(("batches", pa.table({"digest": column, "committed_ns": times})))
        if not tables:
            return
        cursor.execute("BEGIN")
        try:
            for name, table in tables:
                cursor.register("incoming", table)
                cursor.execute(f"INSERT INTO {segment.alias}.{name} BY NAME SELECT * FROM incoming")
                cursor.unregister("incoming")
            cursor.execute("COMMIT")
        except BaseException:
            try:
                cursor.execute("ROLLBACK")
            except duckdb.Error as error:
                _log.debug("store.rollback", reason=str(error))
            raise
