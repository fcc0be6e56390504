"""The face of the store: what the other rooms call."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import duckdb
import structlog

from watchkeeper.clock import Clock
from watchkeeper.errors import OverloadError, QueryLimitError, StoreError
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.series import Exemplar, Labels, Matcher, Series
from watchkeeper.server.store.head import Head
from watchkeeper.server.store.index import SeriesIndex
from watchkeeper.server.store.lock import DirectoryLock, prepare_directory
from watchkeeper.server.store.prepare import MetricsRoom
from watchkeeper.server.store.reader import Reader
from watchkeeper.server.store.retention import expired
from watchkeeper.server.store.rows import Batch, Family
from watchkeeper.server.store.samples import SampleRoom
from watchkeeper.server.store.segments import (
    DAY_NS,
    SIGNALS,
    Quarantined,
    Segment,
    Segments,
    Signal,
    day_of,
)
from watchkeeper.server.store.settings import StoreSettings
from watchkeeper.server.store.writer import Writer
from watchkeeper.vocabulary.limits import limit

__all__ = ["Store"]

_SECOND_NS = 1_000_000_000
_MS_NS = 1_000_000

_log = structlog.get_logger("watchkeeper.server.store")


class Store:
    """Keeps spans, logs and samples in one directory. Thread-safe; made by `open`."""

    def __init__(
        self, directory: Path, *, clock: Clock, settings: StoreSettings, metrics: ServerMetrics
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._settings = settings
        self.metrics = metrics
        self._lock = DirectoryLock(directory, clock)
        try:
            self._segments = Segments(directory, clock, settings)
        except BaseException:
            self._lock.release()
            raise
        self._report_quarantined()
        self._index = SeriesIndex(settings.series_max)
        floor_ms = clock.now_ns() // _MS_NS - int(settings.head_window_s * 1_000)
        self._head = Head(self._index, floor_ms, settings.head_samples_max)
        self._samples = SampleRoom(self._segments, self._index, self._head)
        self._samples.fill_head()
        self._room = MetricsRoom(self._index, self._head, metrics)
        self._room.families = self._samples.stored_families()
        self._state_lock = threading.RLock()
        self._disk_checked_ns = -_SECOND_NS
        self._disk_free = 0
        self._closed = False
        self._writer = Writer(
            self._segments,
            self._room,
            self._samples.load_series,
            clock=clock,
            metrics=metrics,
            queue_bytes_max=settings.queue_bytes_max,
        )

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        settings: StoreSettings | None = None,
        metrics: ServerMetrics | None = None,
    ) -> Store:
        """Open the store in *directory*, made with mode 0700 if it is missing.

        Damaged files are set aside under ``*.corrupt-<ns>``, logged and counted; see `quarantined`.

        Args:
            directory: The data directory; one process at a time may have it open.
            clock: Where time comes from.
            settings: Sizes and ages; the defaults if None.
            metrics: Where the store counts what it does; nowhere if None.

        Raises:
            StoreError: Another process has the directory open; it is not ours; it was written by
                a newer version; or it cannot be written.
        """
        directory = directory.absolute()
        prepare_directory(directory)
        return cls(
            directory,
            clock=clock,
            settings=settings or StoreSettings(),
            metrics=metrics or ServerMetrics(),
        )

    def close(self) -> None:
        """Commit what waits, checkpoint, and let the directory go; harmless if called again."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._segments.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # writing

    def ingest(self, batch: Batch) -> Future[None]:
        """Keep *batch*: all of it or nothing.

        Returns:
            Resolves after the transactions with the rows and the digest are committed, or at
            once-known duplicates after their group is. Fails with `PayloadError` if a value
            cannot be stored, and with `OverloadError` if the disk does not take it.

        Raises:
            OverloadError: More than ``ingest_queue_bytes_max`` waits, the disk is nearly full, or
                the store is closing.
        """
        self._check_disk()
        return self._writer.submit(batch)

    def window_ns(self) -> tuple[int, int]:
        """Return the oldest and newest time, in Unix nanoseconds, that receivers should accept."""
        now_ns = self._clock.now_ns()
        oldest = now_ns - int(self._settings.retention_days * DAY_NS)
        return oldest, now_ns + int(self._settings.future_s_max * _SECOND_NS)

    def _check_disk(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._disk_checked_ns >= _SECOND_NS:
            self._disk_checked_ns = now_ns
            self._disk_free = shutil.disk_usage(self._directory).free
        if self._disk_free < self._settings.disk_free_bytes_min:
            self.metrics.count("watchkeeper.server.refused", "all", "disk_full")
            raise OverloadError(
                f"the disk is nearly full: got {self._disk_free} free bytes. Accepted: at least "
                f"{self._settings.disk_free_bytes_min} (disk_free_bytes_min). "
                "Next: free some space; nothing else is needed.",
                retry_after_s=30.0,
            )

    # reading

    @contextlib.contextmanager
    def read(
        self,
        signal: Signal,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Iterator[Reader]:
        """Open the segments whose UTC day overlaps the range, both ends included.

        Args:
            signal: ``spans``, ``logs`` or ``metrics``.
            start_ns: Unix nanoseconds; open if None.
            end_ns: Unix nanoseconds; open if None.
            timeout_s: Seconds after which queries are broken off; ``query_timeout_s_max`` if None.

        Raises:
            QueryLimitError: The queries took longer than that.
        """
        seconds = limit("query_timeout_s_max") if timeout_s is None else timeout_s
        with (
            self._segments.reading(signal, start_ns, end_ns) as segments,
            self._segments.cursor() as cursor,
        ):
            timer = threading.Timer(seconds, cursor.interrupt)
            timer.daemon = True
            timer.start()
            try:
                cursor.execute("BEGIN")
                yield Reader(cursor, signal, segments)
            except duckdb.InterruptException:
                raise QueryLimitError(
                    f"the query took too long: got {seconds} s. Accepted: less. "
                    "Next: narrow its time range."
                ) from None
            finally:
                timer.cancel()

    @contextlib.contextmanager
    def state_read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a cursor on the state database, to read."""
        with self._segments.cursor() as cursor:
            cursor.execute(f"USE {self._segments.state.alias}")
            yield cursor

    @contextlib.contextmanager
    def state_write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a transaction on the state database: committed at the end, undone on an error.

        Raises:
            StoreError: It could not be committed.
        """
        with self._state_lock, self._segments.cursor() as cursor:
            cursor.execute(f"USE {self._segments.state.alias}")
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            try:
                cursor.execute("COMMIT")
            except duckdb.Error as error:
                self._segments.mend("state", "", error)
                raise StoreError(
                    f"the state was not committed: {error}. Next: see whether the disk is full."
                ) from error

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return series with their samples; see `watchkeeper.server.series.Queryable`."""
        return self._samples.select(matchers, start_ms, end_ms)

    def exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Exemplar]:
        """Return the exemplars of matching series in the range, oldest first."""
        return self._samples.exemplars(matchers, start_ms, end_ms)

    def label_names(
        self,
        matcher_sets: Sequence[Sequence[Matcher]] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[str]:
        """Return the label names of the series that satisfy at least one set; all if there is none."""
        return self._samples.label_names(matcher_sets, start_ms, end_ms)

    def label_values(
        self,
        name: str,
        matcher_sets: Sequence[Sequence[Matcher]] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[str]:
        """Return the values of the label *name*, sorted, over series as in `label_names`."""
        return self._samples.label_values(name, matcher_sets, start_ms, end_ms)

    def series(
        self,
        matcher_sets: Iterable[Sequence[Matcher]],
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Labels]:
        """Return the series that satisfy at least one set of matchers, sorted."""
        return self._samples.series(matcher_sets, start_ms, end_ms)

    def families(self) -> list[Family]:
        """Return the metadata of the metric families seen lately, by name."""
        known = dict(self._room.families)
        return [known[name] for name in sorted(known)]

    # upkeep

    @property
    def healthy(self) -> bool:
        """Whether telemetry can be written: the writer runs and the store is open."""
        return not self._closed and self._writer.alive

    @property
    def quarantined(self) -> list[Quarantined]:
        """The damaged files that were set aside since the store was opened."""
        return list(self._segments.quarantined)

    def maintain(self) -> None:
        """Delete what is too old or too much, shorten the memory, and update the gauges.

        Called now and then by the server; blocks until it is done.
        """
        self._writer.call(self._maintain).result()

    def _maintain(self) -> None:
        now_ns = self._clock.now_ns()
        self._segments.reopen()
        self._head.trim(now_ns // _MS_NS - int(self._settings.head_window_s * 1_000))
        today = day_of(now_ns)
        everything = [s for signal in SIGNALS for s in self._segments.between(signal)]
        for segment in expired(everything, today, self._settings):
            if self._segments.drop(segment):
                self._forget(segment)
                _log.info("store.segment_deleted", signal=segment.signal, day=segment.day)
        for segment in everything:
            if segment.day < today and segment.wal.exists():
                self._segments.checkpoint(segment)
        for signal in SIGNALS:
            size = sum(segment.size() for segment in self._segments.between(signal))
            self.metrics.set("watchkeeper.server.store.size", size, signal)
        self.metrics.set("watchkeeper.server.series", len(self._index))

    def _forget(self, segment: Segment) -> None:
        """Drop series from the index that no other segment holds."""
        if segment.series:
            gone = set(segment.series)
            for other in self._segments.between("metrics"):
                gone -= self._samples.load_series(other)
            self._index.forget(number for number in gone if not self._index[number].times)

    def status(self) -> dict[str, Any]:
        """Return sizes and counts for the status page."""
        bytes_by_signal = {
            signal: sum(segment.size() for segment in self._segments.between(signal))
            for signal in SIGNALS
        }
        return {
            "bytes": bytes_by_signal,
            "segments": {signal: len(self._segments.between(signal)) for signal in SIGNALS},
            "series": len(self._index),
            "samples_in_memory": len(self._head),
            "memory_from_ms": self._head.floor_ms,
            "quarantined": [entry.path.name for entry in self.quarantined],
        }

    def _report_quarantined(self) -> None:
        for entry in self._segments.quarantined:
            reason = "wal" if ".wal." in entry.path.name else "file"
            self.metrics.count("watchkeeper.server.quarantined", reason)
            _log.warning("store.quarantined", file=str(entry.path), reason=entry.reason)
