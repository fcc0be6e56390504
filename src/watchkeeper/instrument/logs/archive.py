"""Log files that were set aside: compressed when nobody writes to them, deleted when they are old."""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["Archive"]

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
_EVERY_NS = 60 * _SECOND_NS
_CHUNK = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
"""Makes zlib write gzip's header and checksum."""


class Archive:
    """Tends the files beside a log file whose names begin with its name and a time.

    Any number of processes may do so at once: an exclusive ``flock`` on a file decides who compresses
    it, and cannot be had while a process still has it open for writing.

    Args:
        path: The log file.
        compress: Whether files are compressed.
        days_max: Days after its last line that a file is kept.
        bytes_max: Size of all files that are kept; the oldest go first.
    """

    def __init__(self, path: Path, *, compress: bool, days_max: int, bytes_max: int) -> None:
        self._path = path
        self._compress = compress
        self._keep_ns = days_max * _DAY_NS
        self._bytes_max = bytes_max
        self._next_ns = 0

    def tend(self, now_ns: int, *, soon: bool = False) -> None:
        """Compress and delete what is due, at most once a minute.

        Args:
            now_ns: Nanoseconds since the epoch.
            soon: Do it now; a file was set aside.
        """
        if not soon and 0 < self._next_ns - now_ns <= _EVERY_NS:
            return
        self._next_ns = now_ns + _EVERY_NS
        if self._compress:
            for file in self.files():
                if file.suffix != ".gz" and not _when_unused(file, self._pack):
                    # Others let go of it within a second or two.
                    self._next_ns = now_ns + 2 * _SECOND_NS
        self._delete(now_ns)

    def files(self) -> list[Path]:
        """Return the files that were set aside, oldest first."""
        start = f"{self._path.name}."
        with contextlib.suppress(OSError):
            return sorted(
                file
                for file in self._path.parent.iterdir()
                if file.name.startswith(start) and file.name[len(start) : len(start) + 8].isdigit()
            )
        return []

    def _pack(self, file: Path, fd: int) -> None:
        packed = file.with_name(f"{file.name}.gz")
        temporary = file.with_name(f".{packed.name}.tmp")
        target = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(target, "wb") as out:
                packer = zlib.compressobj(wbits=_GZIP)
                while chunk := os.read(fd, _CHUNK):
                    out.write(packer.compress(chunk))
                out.write(packer.flush())
            found = os.fstat(fd)
            os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))
            temporary.replace(packed)
        except OSError:
            # The disk is full, for example: the file stays as it is.
            temporary.unlink(missing_ok=True)
            raise
        file.unlink()

    def _delete(self, now_ns: int) -> None:
        sizes: list[tuple[Path, int]] = []
        for file in self.files():
            with contextlib.suppress(OSError):
                found = file.stat()
                if now_ns - found.st_mtime_ns > self._keep_ns and _remove(file):
                    continue
                sizes.append((file, found.st_size))
        total = sum(size for _, size in sizes)
        for file, size in sizes:
            if total <= self._bytes_max:
                break
            with contextlib.suppress(OSError):
                if _remove(file):
                    total -= size


def _remove(file: Path) -> bool:
    if file.suffix == ".gz":
        file.unlink(missing_ok=True)
        return True
    return _when_unused(file, lambda path, _: path.unlink())


def _when_unused(file: Path, work: Callable[[Path, int], None]) -> bool:
    """Run *work* while nobody has *file* open for writing; return whether that was possible."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # Another process may have done the work between the opening and the lock.
        with contextlib.suppress(FileNotFoundError):
            here, there = os.fstat(fd), file.stat()
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                work(file, fd)
        return True
    finally:
        os.close(fd)
