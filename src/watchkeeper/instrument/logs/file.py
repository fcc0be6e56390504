"""The log file: any number of processes append to it, and any of them sets it aside when it is full.

How no line is lost or torn: each line is one ``write`` to a file opened for appending, which the
kernel does not interleave with others on a local file system. Whoever sets the file aside renames it
under a lock; the others write to the renamed file until they notice, within a second. Every writer
holds a shared ``flock`` on the file that it has open, so that `watchkeeper.instrument.logs.archive`
can tell when nobody writes to it any more. The kernel takes these locks back from processes that die.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["LogFile"]

_SECOND_NS = 1_000_000_000
_OPEN_ATTEMPTS = 5
_OPEN_WAIT_S = 1.0
_LOOK_BYTES_MIN = 4_096
_BUSY = frozenset({errno.EAGAIN, errno.EACCES})


class LogFile:
    """Appends whole lines to a file that others may rename, truncate or delete at any time.

    Safe to use from any thread. Never raises: what cannot be written is counted, and the first time
    said on stderr. The file is made with mode 0600 and its directory if it is missing.

    Args:
        path: The file; absolute.
        bytes_max: Size at which it is set aside. It may end up larger by a 64th for each process.
        period_s: Seconds after which it is set aside, counted from midnight UTC; 0 for never.
        lost: Called for each line that could not be written.
        fallback: Takes the lines that could not be written, or None if they are written elsewhere
            anyway.
    """

    def __init__(
        self,
        path: Path,
        *,
        bytes_max: int,
        period_s: int,
        lost: Callable[[], None],
        fallback: Callable[[bytes], None] | None = None,
    ) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._period_ns = period_s * _SECOND_NS
        self._lost = lost
        self._fallback = fallback
        self._fd = -1
        self._identity = (0, 0)
        self._period = 0
        self._look_at_ns = 0
        self._left = 0
        self._torn = False
        self._complained = False
        self._closed = False
        self._looking = threading.Lock()
        self.set_aside = 0
        """How many files this process has set aside."""

    def write(self, line: bytes, now_ns: int) -> None:
        """Append *line*; never raises.

        Args:
            line: With its newline.
            now_ns: Nanoseconds since the epoch.
        """
        if self._left <= 0 or not 0 < self._look_at_ns - now_ns <= _SECOND_NS:
            self.look(now_ns)
        if self._torn:
            # The disk was full in the middle of a line: this one shall not be glued to it.
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self._failed(line, error)
            return
        self._left -= written
        if written == len(line):
            self._torn = False
            return
        self._torn = True
        self._failed(line, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)))

    def look(self, now_ns: int) -> None:
        """Open the file again if it is another one by now, and set it aside when it is full or old.

        Called about once a second, also while nothing is written: a silent process must let go of a
        file that was set aside.
        """
        # While another thread opens the file for the first time there is nothing to write to yet.
        wait_s = _OPEN_WAIT_S if self._fd < 0 else 0.0
        if self._closed or not self._looking.acquire(timeout=wait_s):
            return
        try:
            self._look(now_ns)
        except OSError as error:
            self._complain(error)
        finally:
            # Only now: until the file is open, other threads come here and wait.
            self._look_at_ns = now_ns + _SECOND_NS
            self._left = max(self._bytes_max // 64, _LOOK_BYTES_MIN)
            self._looking.release()

    def close(self) -> None:
        """Close the file; lines that come later are counted as lost."""
        self._closed = True
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._is_ours(fd):
            os.close(fd)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may have held; the file stays open."""
        self._looking = threading.Lock()

    def _look(self, now_ns: int) -> None:
        if self._fd >= 0 and not self._is_ours(self._fd):
            # Somebody closed every descriptor, as daemons do; this number may be another file now.
            self._fd = -1
        if self._fd < 0:
            self._open(now_ns)
            return
        try:
            there = self.path.stat()
        except OSError:
            # Deleted or renamed, perhaps with its directory.
            self._open(now_ns)
            return
        if (there.st_dev, there.st_ino) != self._identity:
            self._open(now_ns)
        elif there.st_size >= self._bytes_max or (
            there.st_size and self._period_of(now_ns) > self._period
        ):
            self._set_aside(now_ns)

    def _open(self, now_ns: int) -> None:
        for _ in range(_OPEN_ATTEMPTS):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                # Only whoever compresses a file that was set aside holds it exclusively: then, or
                # if it was renamed before the lock was there, this is not the file to write to.
                taken = _is_locked_shared(fd) and self._adopt(fd, now_ns)
            finally:
                if fd != self._fd:
                    os.close(fd)
            if taken:
                return
        raise OSError(errno.EAGAIN, "is replaced all the time", str(self.path))

    def _adopt(self, fd: int, now_ns: int) -> bool:
        here = os.fstat(fd)
        try:
            there = self.path.stat()
        except OSError:
            return False
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            return False
        self._period = self._period_of(here.st_mtime_ns if here.st_size else now_ns)
        self._identity = (here.st_dev, here.st_ino)
        if self._fd < 0:
            self._fd = fd
        else:
            # The number stays the same, so that a thread that is about to write never meets a
            # number that is closed, or another file by then.
            os.dup2(fd, self._fd, inheritable=False)
        return True

    def _set_aside(self, now_ns: int) -> None:
        lock = os.open(
            self.path.with_name(f".{self.path.name}.lock"),
            os.O_CREAT | os.O_RDWR | os.O_CLOEXEC,
            0o600,
        )
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
                # Another process is at it.
                return
            there = self.path.stat()
            if (there.st_dev, there.st_ino) == self._identity:
                self.path.rename(self._name_aside(now_ns))
                self.set_aside += 1
            self._open(now_ns)
        finally:
            os.close(lock)

    def _name_aside(self, now_ns: int) -> Path:
        when = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        for number in range(1_000):
            suffix = f"-{number:03}" if number else ""
            name = self.path.with_name(f"{self.path.name}.{when}{suffix}")
            if not name.exists() and not name.with_name(f"{name.name}.gz").exists():
                return name
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))

    def _period_of(self, ns: int) -> int:
        return ns // self._period_ns if self._period_ns else 0

    def _is_ours(self, fd: int) -> bool:
        try:
            here = os.fstat(fd)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == self._identity

    def _failed(self, line: bytes, error: OSError) -> None:
        self._lost()
        if self._fallback is not None:
            self._fallback(line)
        # A file that could not be opened has told why.
        if not (self._complained and error.errno == errno.EBADF):
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if self._complained:
            return
        self._complained = True
        # If this fails too, nowhere is left to complain.
        with contextlib.suppress(Exception):
            sys.stderr.write(
                f"watchkeeper: the log file {self.path} cannot be written ({error.strerror}); lines "
                "that it misses are counted in watchkeeper_telemetry_dropped_total. Free space or "
                "correct the path and its permissions; it is tried again all the time\n"
            )


def _is_locked_shared(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks: nobody can take it exclusively either.
        return error.errno not in _BUSY
    return True
