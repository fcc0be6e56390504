"""Batches on disk while the endpoint is down.

One directory per service holds one directory per process, named by pid and a random token, with
a lock file of the same name beside it. A process holds an exclusive `flock` on its lock file for
as long as it lives; the system drops the lock when the process ends, however it ends. Who gets the
lock of another directory knows that its owner is gone, and moves the batches into its own. So no
file ever has two senders.

A batch is written under another name, then renamed: a file with the right name is whole. Nothing
is synced to the device: batches survive the end of the process, not of the machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from watchkeeper.instrument.recorder.records import Batch, Signal

__all__ = ["Spool", "Spooled"]

_NAME = re.compile(
    r"(?P<time>\d{20})-(?P<serial>\d{8})-(?P<token>[0-9a-f]{16})"
    r"-(?P<signal>traces|logs)-(?P<items>\d{1,9})\.otlp"
)


class Spooled(NamedTuple):
    """One batch on disk."""

    name: str
    signal: Signal
    items: int
    size: int
    """Bytes."""


class Spool:
    """The batches of this process on disk, oldest first. Used by one thread at a time.

    Args:
        root: Directory for the spools of all services; made with mode 0700 if missing.
        service: Name of the service; its processes adopt each other's leftovers.
        bytes_max: Bytes on disk; beyond it the oldest batches are dropped.
        now_ns: Returns nanoseconds since the epoch, for the names.
        on_drop: Called with signal, items and reason (``spool_full`` or ``spool_read``).
    """

    def __init__(
        self,
        root: Path,
        service: str,
        *,
        bytes_max: int,
        now_ns: Callable[[], int],
        on_drop: Callable[[Signal, int, str], None],
    ) -> None:
        self._base = root / _slug(service)
        self._bytes_max = bytes_max
        self._now_ns = now_ns
        self._on_drop = on_drop
        self._entries: deque[Spooled] = deque()
        self._directory: Path | None = None
        self._lock_fd = -1
        self._token = ""
        self._serial = 0
        self.size = 0
        """Bytes on disk."""

    def __len__(self) -> int:
        """Return how many batches wait."""
        return len(self._entries)

    def open(self) -> None:
        """Make and lock this process's directory, if that was not done yet.

        Raises:
            OSError: The directory cannot be made, or belongs to someone else.
        """
        if self._directory is not None:
            return
        self._base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._base.mkdir(mode=0o700, exist_ok=True)
        if self._base.stat().st_uid != os.geteuid():
            raise PermissionError(f"{self._base} belongs to another user")
        self._token = os.urandom(8).hex()
        directory = self._base / f"{os.getpid()}-{self._token}"
        # The lock comes before the directory: a directory that can be seen is locked.
        handle = _locked(_lock_path(directory))
        self._lock_fd = -1 if handle is None else handle
        directory.mkdir(mode=0o700)
        self._directory = directory

    def put(self, batch: Batch) -> None:
        """Write a batch; drops the oldest ones where there is no room.

        Raises:
            OSError: It cannot be written.
        """
        self.open()
        size = len(batch.body)
        if size > self._bytes_max:
            self._on_drop(batch.signal, batch.items, "spool_full")
            return
        while self.size + size > self._bytes_max and self._entries:
            oldest = self._entries[0]
            self.discard(oldest)
            self._on_drop(oldest.signal, oldest.items, "spool_full")
        self._serial += 1
        name = (
            f"{self._now_ns():020d}-{self._serial:08d}-{self._token}"
            f"-{batch.signal}-{batch.items}.otlp"
        )
        path = self._path(name)
        partial = path.with_suffix(".tmp")
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(batch.body)
            partial.rename(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self._entries.append(Spooled(name, batch.signal, batch.items, size))
        self.size += size

    def oldest(self) -> tuple[Spooled, Batch] | None:
        """Return the oldest batch without removing it; drops what cannot be read."""
        while self._entries:
            entry = self._entries[0]
            try:
                body = self._path(entry.name).read_bytes()
            except OSError:
                self.discard(entry)
                self._on_drop(entry.signal, entry.items, "spool_read")
                continue
            return entry, Batch(entry.signal, body, entry.items)
        return None

    def discard(self, entry: Spooled) -> None:
        """Remove a batch that was sent or given up."""
        self._entries.remove(entry)
        self.size -= entry.size
        try:
            self._path(entry.name).unlink(missing_ok=True)
        except OSError:
            # The endpoint folds duplicates, so sending it again after a restart is harmless.
            return

    def adopt(self) -> int:
        """Take over the batches of processes that are gone; return how many.

        Raises:
            OSError: This process's own directory cannot be made.
        """
        self.open()
        adopted = 0
        for directory in list(self._base.iterdir()):
            if directory == self._directory or not directory.is_dir():
                continue
            try:
                adopted += self._adopt_one(directory)
            except OSError:
                # Someone else was quicker, or it is not ours to read.
                continue
        return adopted

    def close(self) -> None:
        """Give up the directory; what is left in it is adopted by the next process."""
        if self._directory is not None:
            if not self._entries:
                try:
                    self._directory.rmdir()
                    _lock_path(self._directory).unlink(missing_ok=True)
                except OSError:
                    pass
            self._directory = None
        self.release()

    def release(self) -> None:
        """Close this process's hold on the lock file and touch nothing else; for forked children."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _adopt_one(self, directory: Path) -> int:
        lock = _locked(_lock_path(directory))
        if lock is None:
            return 0
        entries: list[Spooled] = []
        try:
            for path in sorted(directory.iterdir()):
                match = _NAME.fullmatch(path.name)
                if match is None:
                    path.unlink()
                    continue
                size = path.stat().st_size
                path.rename(self._path(path.name))
                signal = cast("Signal", match["signal"])
                entries.append(Spooled(path.name, signal, int(match["items"]), size))
            directory.rmdir()
            _lock_path(directory).unlink(missing_ok=True)
        finally:
            os.close(lock)
            self._entries = deque(sorted((*self._entries, *entries)))
            self.size += sum(entry.size for entry in entries)
        return len(entries)

    def _path(self, name: str) -> Path:
        if self._directory is None:
            raise FileNotFoundError("the spool is not open")
        return self._directory / name


def _lock_path(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock of *path*, or None if someone else does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _slug(service: str) -> str:
    """Return a name that is safe as a directory and differs for different services."""
    digest = hashlib.sha256(service.encode(errors="replace")).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9_-]+", "_", service)[:48]
    return f"{words}-{digest}"
