"""Segment files: one DuckDB database for each signal and UTC day, all in one instance."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb

from watchkeeper.clock import Clock
from watchkeeper.errors import StoreError
from watchkeeper.server.store import schema

__all__ = ["DAY_NS", "SIGNALS", "Quarantined", "Segment", "Segments", "Signal", "day_of"]

Signal = Literal["spans", "logs", "metrics"]
SIGNALS: tuple[Signal, ...] = ("spans", "logs", "metrics")
DAY_NS = 86_400_000_000_000

_SCHEMAS = {
    "spans": schema.SPANS,
    "logs": schema.LOGS,
    "metrics": schema.METRICS,
    "state": schema.STATE,
}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.duckdb")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_of(time_ns: int) -> str:
    """Return the UTC day of a time in Unix nanoseconds, as ``2026-01-31``."""
    days = min(max(time_ns // DAY_NS, -700_000), 2_900_000)
    return (_EPOCH + timedelta(days=days)).date().isoformat()


class Segment(NamedTuple):
    """An attached segment."""

    signal: str
    day: str
    """Empty for the state database."""
    alias: str
    """Name of the database in SQL."""
    path: Path


class Quarantined(NamedTuple):
    """A damaged file that was set aside."""

    path: Path
    reason: str


class Segments:
    """Opens segments and hands out cursors; nothing else touches the connection.

    External access is limited to the data directory and the configuration is locked, so that no
    query can read other files (DuckDB documentation, "Securing DuckDB").
    """

    def __init__(self, directory: Path, clock: Clock, *, memory_mb: int, threads: int) -> None:
        """Attach every segment of *directory*; damaged ones are set aside.

        Args:
            directory: The data directory; it exists and is locked by us.
            clock: Names quarantined files.
            memory_mb: Most memory that DuckDB may use, in megabytes.
            threads: Threads of one query.

        Raises:
            StoreError: A file has a newer format than this version knows.
        """
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Segment] = {}
        self.quarantined: list[Quarantined] = []
        self._instance = duckdb.connect(":memory:")
        self._instance.execute(f"SET memory_limit='{int(memory_mb)}MB'")
        self._instance.execute(f"SET threads={int(threads)}")
        self._instance.execute("SET allowed_directories=[$dir]", {"dir": str(directory)})
        self._instance.execute(f"SET temp_directory='{_quoted(directory / 'tmp')}'")
        self._instance.execute("SET enable_external_access=false")
        self._instance.execute("SET lock_configuration=true")
        for signal in SIGNALS:
            folder = directory / signal
            folder.mkdir(mode=0o700, exist_ok=True)
            for path in sorted(folder.glob("*.duckdb")):
                if _DAY.fullmatch(path.name):
                    self._attach(signal, path.stem, path)
        self.state = self._attach("state", "", directory / "state.duckdb")

    def segment(self, signal: Signal, day: str) -> Segment:
        """Return the segment of a day, made if it is missing."""
        with self._lock:
            found = self._open.get((signal, day))
        return found or self._attach(signal, day, self._directory / signal / f"{day}.duckdb")

    def between(
        self, signal: Signal, start_ns: int | None = None, end_ns: int | None = None
    ) -> list[Segment]:
        """Return the segments whose day overlaps the range, oldest first."""
        first = "" if start_ns is None else day_of(start_ns)
        last = "9999" if end_ns is None else day_of(end_ns)
        with self._lock:
            found = [
                segment
                for (kind, day), segment in self._open.items()
                if kind == signal and first <= day <= last
            ]
        return sorted(found)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own to the same instance, for one thread."""
        return self._instance.cursor()

    def drop(self, segment: Segment) -> None:
        """Forget a segment and delete its files."""
        with self._lock:
            self._open.pop((segment.signal, segment.day), None)
            with self._instance.cursor() as cursor:
                cursor.execute(f"DETACH {segment.alias}")
        for path in (segment.path, Path(f"{segment.path}.wal")):
            path.unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Return bytes on disk by signal, write-ahead logs included."""
        return {
            signal: sum(
                path.stat().st_size for path in (self._directory / signal).glob("*.duckdb*")
            )
            for signal in SIGNALS
        }

    def close(self) -> None:
        """Checkpoint and close everything."""
        for segment in [*self._open.values(), self.state]:
            try:
                self._instance.execute(f"CHECKPOINT {segment.alias}")
            except duckdb.Error:
                continue  # its write-ahead log is replayed at the next start
        self._instance.close()

    def _attach(self, signal: str, day: str, path: Path) -> Segment:
        with self._lock:
            known = self._open.get((signal, day))
            if known is not None:
                return known
            segment = Segment(signal, day, f"{signal}_{day.replace('-', '')}", path)
            try:
                self._try_attach(segment)
            except (duckdb.Error, UnicodeDecodeError) as error:
                self._recover(segment, str(error))
            path.chmod(0o600)
            if signal != "state":
                self._open[(signal, day)] = segment
            return segment

    def _try_attach(self, segment: Segment) -> None:
        with self._instance.cursor() as cursor:
            cursor.execute(f"ATTACH '{_quoted(segment.path)}' AS {segment.alias}")
            try:
                self._check(cursor, segment)
            except Exception:
                cursor.execute(f"DETACH {segment.alias}")
                raise

    def _check(self, cursor: duckdb.DuckDBPyConnection, segment: Segment) -> None:
        cursor.execute(f"USE {segment.alias}")
        try:
            for statement in _SCHEMAS[segment.signal].split(";"):
                if statement.strip():
                    cursor.execute(statement)
            version = _one(cursor, "SELECT max(value) FROM about WHERE key = 'format'")
            if version is None:
                cursor.execute(
                    "INSERT INTO about VALUES ('format', $v)", {"v": str(schema.FORMAT_VERSION)}
                )
        finally:
            cursor.execute("USE memory")
        if version is not None and int(version) > schema.FORMAT_VERSION:
            raise StoreError(
                f"data file has a newer format: got version {version} in {str(segment.path)!r}. "
                f"Accepted: up to {schema.FORMAT_VERSION}. "
                "Next: use a newer watchkeeper, or another --data-dir."
            )

    def _recover(self, segment: Segment, reason: str) -> None:
        """Set a damaged write-ahead log aside, then the file itself; start anyway."""
        for path in (Path(f"{segment.path}.wal"), segment.path):
            if not path.exists():
                continue
            aside = path.with_name(f"{path.name}.corrupt-{self._clock.now_ns()}")
            path.rename(aside)
            self.quarantined.append(Quarantined(aside, reason))
            try:
                self._try_attach(segment)
            except duckdb.Error as error:
                reason = str(error)
            else:
                return
        self._try_attach(segment)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _one(cursor: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = cursor.execute(sql).fetchone()
    return None if row is None else row[0]
