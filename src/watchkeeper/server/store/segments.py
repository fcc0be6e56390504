"""Segment files: one DuckDB database for each signal and UTC day, all in one instance."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb

from watchkeeper.clock import Clock
from watchkeeper.errors import StoreError
from watchkeeper.server.store import schema
from watchkeeper.server.store.rows import Family
from watchkeeper.server.store.settings import StoreSettings

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
_FILE = re.compile(r"\d{4}-\d{2}-\d{2}\.duckdb")
_WAL_POSITION = re.compile(r"entry at byte position (\d+)")
_TRANSIENT = re.compile(
    r"(?i)no space left|file handle conflict|permission denied|could not set lock"
)
"""What keeps a sound file from being opened."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGESTS_MAX = 200_000


def day_of(time_ns: int) -> str:
    """Return the UTC day of a time in Unix nanoseconds, as ``2026-01-31``."""
    days = min(max(time_ns // DAY_NS, -700_000), 2_900_000)
    return (_EPOCH + timedelta(days=days)).date().isoformat()


@dataclass(eq=False, slots=True)
class Segment:
    """An attached segment."""

    signal: str
    day: str
    """Empty for the state database."""
    alias: str
    """Name of the database in SQL."""
    path: Path
    digests: dict[bytes, None] | None = None
    """Digests of committed batches, oldest first; None until the segment is written to."""
    series: set[int] | None = None
    """Ids whose labels the segment holds; None until they are needed."""
    families: set[Family] = field(default_factory=set)
    """Metric metadata that the segment holds, as far as it was looked at."""
    readers: int = 0

    @property
    def wal(self) -> Path:
        """The write-ahead log."""
        return Path(f"{self.path}.wal")

    def size(self) -> int:
        """Return bytes on disk, the write-ahead log included."""
        total = 0
        for path in (self.path, self.wal):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


class Quarantined(NamedTuple):
    """A damaged file that was set aside."""

    path: Path
    reason: str


class Segments:
    """Opens segments and hands out cursors; nothing else touches the connection.

    External access is limited to the data directory and the configuration is locked, so that no
    query can read other files or load extensions (DuckDB documentation, "Securing DuckDB").
    ATTACH needs the directory to be allowed; nothing else is.
    """

    def __init__(self, directory: Path, clock: Clock, settings: StoreSettings) -> None:
        """Attach every segment of *directory*; damaged ones are set aside.

        Args:
            directory: The data directory; it exists and is locked by us.
            clock: Names quarantined files.
            settings: Memory and threads.

        Raises:
            StoreError: A file has a newer format than this version knows, or is not ours.
        """
        self._directory = directory
        self._clock = clock
        self._lock = threading.RLock()
        self._open: dict[tuple[str, str], Segment] = {}
        self.quarantined: list[Quarantined] = []
        shutil.rmtree(directory / "tmp", ignore_errors=True)
        self._instance = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "memory_limit": f"{settings.memory_bytes_max // 1024**2}MiB",
                "threads": str(settings.threads),
                "temp_directory": str(directory / "tmp"),
            },
        )
        try:
            execute = self._instance.execute
            execute("SET allowed_directories=$dirs", {"dirs": [f"{directory}{os.sep}"]})
            execute("SET enable_external_access=false")
            execute("SET lock_configuration=true")
            for signal in SIGNALS:  # these stay empty: what a reader sees where no segment is
                execute(_SCHEMAS[signal])
            for signal in SIGNALS:
                folder = directory / signal
                folder.mkdir(mode=0o700, exist_ok=True)
                for path in sorted(folder.glob("*.duckdb")):
                    if _FILE.fullmatch(path.name):
                        self._attach(signal, path.stem, path)
            self.state = self._attach("state", "", directory / "state.duckdb")
        except BaseException:
            self._instance.close()
            raise

    def segment(self, signal: Signal, day: str) -> Segment:
        """Return the segment of a day, made if it is missing.

        Raises:
            duckdb.Error: The file cannot be made, for example because the disk is full.
        """
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
        return sorted(found, key=lambda segment: segment.day)

    @contextlib.contextmanager
    def reading(
        self, signal: Signal, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[list[Segment]]:
        """Yield the segments of a range; they are not deleted meanwhile."""
        held = self.between(signal, start_ns, end_ns)
        with self._lock:
            held = [segment for segment in held if (signal, segment.day) in self._open]
            for segment in held:
                segment.readers += 1
        try:
            yield held
        finally:
            with self._lock:
                for segment in held:
                    segment.readers -= 1

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own to the same instance, for one thread."""
        return self._instance.cursor()

    def drop(self, segment: Segment) -> bool:
        """Forget a segment and delete its files; returns False while somebody reads it."""
        with self._lock:
            if segment.readers or (segment.signal, segment.day) not in self._open:
                return False
            del self._open[(segment.signal, segment.day)]
            with self._instance.cursor() as cursor:
                cursor.execute(f"DETACH {segment.alias}")
            for path in (segment.path, segment.wal):
                path.unlink(missing_ok=True)
        return True

    def checkpoint(self, segment: Segment) -> None:
        """Move a segment's write-ahead log into its file, if nobody is in the way."""
        try:
            with self._instance.cursor() as cursor:
                cursor.execute(f"CHECKPOINT {segment.alias}")
        except duckdb.Error as error:
            self.mend(segment.signal, segment.day, error)

    def mend(self, signal: str, day: str, error: duckdb.Error) -> None:
        """Attach a segment anew that DuckDB refuses after a failed checkpoint (a full disk).

        Committed rows are in its log. If it does not open now, `segment` and `reopen` try again.
        """
        if "invalidated" not in str(error):
            return
        with self._lock, contextlib.suppress(duckdb.Error), self._instance.cursor() as cursor:
            if signal == "state":
                cursor.execute(f"DETACH {self.state.alias}")
                self._try_attach(self.state)
                return
            segment = self._open.pop((signal, day), None)
            if segment is not None:
                cursor.execute(f"DETACH {segment.alias}")
                self._attach(signal, day, segment.path)

    def reopen(self) -> None:
        """Attach the segments that `mend` let go."""
        for signal in SIGNALS:
            for path in sorted((self._directory / signal).glob("*.duckdb")):
                if _FILE.fullmatch(path.name):
                    with contextlib.suppress(duckdb.Error):
                        self._attach(signal, path.stem, path)

    def close(self) -> None:
        """Checkpoint and close everything; a log that stays is replayed at the next start."""
        for segment in [*self._open.values(), self.state]:
            self.checkpoint(segment)
        self._instance.close()

    def digests(self, segment: Segment) -> dict[bytes, None]:
        """Return the digests of a segment's batches, the latest 200,000 after a restart."""
        if segment.digests is None:
            with self._instance.cursor() as cursor:
                rows = cursor.execute(
                    f"SELECT digest FROM (SELECT digest, committed_ns FROM {segment.alias}.batches "
                    f"ORDER BY committed_ns DESC LIMIT {_DIGESTS_MAX}) ORDER BY committed_ns"
                ).fetchall()
            segment.digests = {row[0]: None for row in rows}
        while len(segment.digests) > _DIGESTS_MAX:
            del segment.digests[next(iter(segment.digests))]
        return segment.digests

    def _attach(self, signal: str, day: str, path: Path) -> Segment:
        with self._lock:
            known = self._open.get((signal, day))
            if known is not None:
                return known
            segment = Segment(signal, day, f"{signal}_{day.replace('-', '')}", path)
            existed = path.exists()
            try:
                self._try_attach(segment)
            except (duckdb.Error, UnicodeDecodeError) as error:
                if not existed or _TRANSIENT.search(str(error)):
                    raise
                self._recover(segment, str(error))
            path.chmod(0o600)
            if signal != "state":
                self._open[(signal, day)] = segment
            return segment

    def _try_attach(self, segment: Segment) -> None:
        with self._instance.cursor() as cursor:
            cursor.execute(f"ATTACH '{_quoted(segment.path)}' AS {segment.alias}")
            try:
                cursor.execute(f"USE {segment.alias}")
                _check(cursor, segment)
            except BaseException:
                with contextlib.suppress(duckdb.Error):
                    cursor.execute("ROLLBACK")
                cursor.execute("USE memory")
                cursor.execute(f"DETACH {segment.alias}")
                raise
            cursor.execute("USE memory")

    def _recover(self, segment: Segment, reason: str) -> None:
        """Set a damaged write-ahead log aside, then the file itself; start anyway.

        Of a damaged log, the part before the damage is kept and replayed: a log that merely ends
        early is valid to DuckDB, which drops the unfinished transaction at its end.
        """
        stamp = self._clock.now_ns()
        position = _WAL_POSITION.search(reason)
        if segment.wal.exists():
            aside = segment.wal.with_name(f"{segment.wal.name}.corrupt-{stamp}")
            segment.wal.rename(aside)
            self.quarantined.append(Quarantined(aside, reason))
            if position:
                shutil.copyfile(aside, segment.wal)
                os.truncate(segment.wal, int(position.group(1)))
                if self._opens(segment):
                    return
                segment.wal.unlink(missing_ok=True)
            if self._opens(segment):
                return
        aside = segment.path.with_name(f"{segment.path.name}.corrupt-{stamp}")
        segment.path.rename(aside)
        self.quarantined.append(Quarantined(aside, reason))
        self._try_attach(segment)

    def _opens(self, segment: Segment) -> bool:
        try:
            self._try_attach(segment)
        except duckdb.Error:
            return False
        return True


def _check(cursor: duckdb.DuckDBPyConnection, segment: Segment) -> None:
    """Make the tables of a fresh file; refuse a file that is not ours or newer than we know."""
    cursor.execute("BEGIN")
    tables = {
        row[0]
        for row in cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = $name",
            {"name": segment.alias},
        ).fetchall()
    }
    row = None
    if "about" in tables:
        row = cursor.execute("SELECT max(value) FROM about WHERE key = 'format'").fetchone()
    version = None if row is None else row[0]
    if tables and version is None:
        raise StoreError.explain(
            "a file in the data directory is not a segment",
            got=str(segment.path),
            accepted="files that watchkeeper wrote",
            next_step=f"move {segment.path} elsewhere",
        )
    if version is None:
        cursor.execute(_SCHEMAS[segment.signal])
        cursor.execute("INSERT INTO about VALUES ('format', $v)", {"v": str(schema.FORMAT_VERSION)})
    elif int(version) > schema.FORMAT_VERSION:
        raise StoreError.explain(
            f"{segment.path} has format {version}",
            got=version,
            accepted=f"up to {schema.FORMAT_VERSION}",
            next_step="use a newer watchkeeper, or another --data-dir",
        )
    elif segment.signal == "state":
        cursor.execute(_SCHEMAS["state"])  # adds the tables and columns of later versions
    cursor.execute("COMMIT")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
