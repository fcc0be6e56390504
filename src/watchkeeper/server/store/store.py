"""The store: telemetry in, committed; rows out, by intent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import structlog

from watchkeeper.clock import Clock
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.series import Exemplar, Labels, Matcher, Series
from watchkeeper.server.store.commit import Committer
from watchkeeper.server.store.index import SeriesIndex
from watchkeeper.server.store.insert import TABLES
from watchkeeper.server.store.lock import DirectoryLock, prepare_directory
from watchkeeper.server.store.rows import Batch, Family
from watchkeeper.server.store.segments import DAY_NS, SIGNALS, Segment, Segments, Signal, day_of
from watchkeeper.server.store.select import SeriesReader
from watchkeeper.server.store.writer import Writer
from watchkeeper.vocabulary.limits import limit

__all__ = ["Reader", "Store", "StoreSettings"]

_log = structlog.get_logger("watchkeeper.server.store")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How much the store may use and keep."""

    memory_mb: int = 384
    """Memory of DuckDB, megabytes."""
    threads: int = 2
    """Threads of one query."""
    queue_bytes_max: int = limit("ingest_queue_bytes_max")
    """Decoded telemetry that may wait for a commit, bytes."""
    retention_days: int = 7
    """Whole days kept besides today's."""
    size_bytes_max: int = 8 * 1024**3
    """Bytes on disk beyond which the oldest days are deleted; today's never is."""


class Reader:
    """Some segments of one signal, open for queries; for one thread."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, segments: list[Segment]) -> None:
        """Read *segments* through *cursor*."""
        self._cursor = cursor
        self._segments = segments

    def table(self, name: str) -> str:
        """Return SQL for the rows of a table: a union over the segments, or an empty relation."""
        if not self._segments:
            columns = ", ".join(
                f"NULL::{_SQL_TYPES[str(field.type)]} AS {field.name}" for field in TABLES[name]
            )
            return f"(SELECT {columns} WHERE FALSE)"
        parts = [f"SELECT * FROM {segment.alias}.{name}" for segment in self._segments]
        return f"({' UNION ALL '.join(parts)})"

    def execute(self, sql: str, params: object = None) -> duckdb.DuckDBPyConnection:
        """Run a query; the result is fetched from what is returned."""
        return self._cursor.execute(sql) if params is None else self._cursor.execute(sql, params)


_SQL_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "double": "DOUBLE",
}


class Store:
    """Everything kept on disk. Every method may be called from any thread.

    Open with `open`, end with `close`.
    """

    def __init__(
        self, lock: DirectoryLock, segments: Segments, clock: Clock, settings: StoreSettings,
        metrics: ServerMetrics,
    ) -> None:  # fmt: skip
        self._lock = lock
        self._segments = segments
        self._clock = clock
        self._settings = settings
        self.metrics = metrics
        index = SeriesIndex()
        self._series = SeriesReader(segments, index)
        self._committer = Committer(segments, index, clock, metrics)
        self._writer = Writer(self._committer.commit, bytes_max=settings.queue_bytes_max)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        settings: StoreSettings | None = None,
        metrics: ServerMetrics | None = None,
    ) -> Store:
        """Open or make a data directory.

        Damaged files are set aside as ``*.corrupt-<ns>``, said in the log and counted.

        Args:
            directory: The data directory; made with mode 0700 if it is missing.
            clock: Decides what is today, and stamps commits.
            settings: Bounds; the defaults if None.
            metrics: Where to count; counted nowhere else if None.

        Raises:
            StoreError: The directory is not ours, cannot be used, is in use by another server,
                or has a newer format.
        """
        bounds, counted = settings or StoreSettings(), metrics or ServerMetrics()
        prepare_directory(directory)
        lock = DirectoryLock(directory)
        try:
            segments = Segments(
                directory, clock, memory_mb=bounds.memory_mb, threads=bounds.threads
            )
        except BaseException:
            lock.release()
            raise
        for damaged in segments.quarantined:
            counted.count("watchkeeper.server.quarantined", "damaged")
            _log.error("a damaged file was set aside", file=str(damaged.path), error=damaged.reason)
        return cls(lock, segments, clock, bounds, counted)

    def close(self) -> None:
        """Commit what waits, checkpoint, and let the directory go."""
        self._writer.close()
        self._segments.close()
        self._lock.release()

    @property
    def healthy(self) -> bool:
        """Whether commits can still happen."""
        return self._writer.alive

    def ingest(self, batch: Batch) -> Future[None]:
        """Queue a batch for the next group commit.

        Returns:
            A future that is resolved once the batch and its digest are committed.

        Raises:
            OverloadError: Too much is waiting; nothing of the batch was taken.
        """
        return self._writer.put(batch)

    @contextmanager
    def read(
        self, signal: Signal, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Reader]:
        """Open the segments of a signal that overlap a range of Unix nanoseconds, inclusive."""
        with self._segments.cursor() as cursor:
            yield Reader(cursor, self._segments.between(signal, start_ns, end_ns))

    @contextmanager
    def state_read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the state database for reading; tables need no prefix."""
        with self._segments.cursor() as cursor:
            cursor.execute(f"USE {self._segments.state.alias}")
            yield cursor

    @contextmanager
    def state_write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the state database in one transaction, committed at the end or rolled back."""
        with self.state_read() as cursor:
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return matching series with their samples; see `watchkeeper.server.series.Queryable`."""
        return self._series.select(matchers, start_ms, end_ms)

    def exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Exemplar]:
        """Return the exemplars of matching series in a range, in order of time."""
        return self._series.exemplars(matchers, start_ms, end_ms)

    def series(
        self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[Labels]:
        """Return the labels of series that satisfy any of the sets and have samples in the range."""
        return self._series.series(matcher_sets, start_ms, end_ms)

    def label_names(
        self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        """Return the label names of matching series, sorted; no set means every series."""
        found = self.series(matcher_sets or ((),), start_ms, end_ms)
        return sorted({name for labels in found for name, _ in labels})

    def label_values(
        self, name: str, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        """Return the values of a label among matching series, sorted."""
        found = self.series(matcher_sets or ((),), start_ms, end_ms)
        return sorted({value for labels in found for key, value in labels if key == name})

    def families(self) -> list[Family]:
        """Return metadata of every metric family seen since the start, or stored today."""
        return self._committer.families()

    def status(self) -> dict[str, Any]:
        """Return bytes on disk by signal, series and segments."""
        return {
            "bytes": self._segments.sizes(),
            "series": len(self._series.index),
            "segments": {signal: len(self._segments.between(signal)) for signal in SIGNALS},
            "quarantined": [str(entry.path) for entry in self._segments.quarantined],
        }

    def retain(self) -> list[Path]:
        """Delete the days that are too old or too many bytes, and return their files.

        The oldest go first; today's segments never do.
        """
        today = day_of(self._clock.now_ns())
        oldest = day_of(self._clock.now_ns() - self._settings.retention_days * DAY_NS)
        old = sorted(
            (s for signal in SIGNALS for s in self._segments.between(signal) if s.day < today),
            key=lambda segment: segment.day,
        )
        deleted = []
        for segment in old:
            too_much = sum(self._segments.sizes().values()) > self._settings.size_bytes_max
            if segment.day < oldest or too_much:
                self._segments.drop(segment)
                deleted.append(segment.path)
        return deleted
