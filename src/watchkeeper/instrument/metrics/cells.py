"""Where the numbers of one process live: plain memory, or a file that its siblings can read.

A cell is a double. Instruments hold a `memoryview` of their cells and write to it directly; that the
memory behind it may be mapped from a file makes no difference to them. What is written to such a
file is in the page cache at once, so a process that is killed loses nothing that it counted.

A process with a file has three, called ``<pid>-<random>`` and a suffix:

``.values``
    the cells, 8 bytes each in the host's byte order. Whoever holds ``flock`` on it is alive.
``.keys``
    one line per series, only ever appended to: first cell, number of cells, name of the metric,
    labels as in the exposition, and a mark that tells a whole line from one that was cut off.
``.said``
    what the process says of itself that is no cell, see `snapshot`.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from watchkeeper.instrument.guard import record_failure

__all__ = [
    "KEYS",
    "LINE_END",
    "SAID",
    "SAID_UNFINISHED",
    "UNFINISHED",
    "VALUES",
    "Cells",
    "FileCells",
    "Series",
    "heap_cells",
    "numbers",
]

VALUES, KEYS, SAID, UNFINISHED = ".values", ".keys", ".said", ".new"
SAID_UNFINISHED = ".saying"
LINE_END = "\t.\n"
_SEGMENT = 64 * 1024
"""Bytes of the first segment; each further one is as large as all before it together, since a
mapped segment costs a file descriptor. A multiple of every usual page size."""

if TYPE_CHECKING:
    Cells = memoryview[float]
    """Doubles, one after the other."""
else:
    Cells = memoryview


class Series(NamedTuple):
    """One series that needs cells."""

    metric: str
    """The metric's dotted name."""
    labels: str
    """Its labels as the exposition writes them."""
    size: int
    """Cells: 1, or a histogram's buckets and its sum; 0 for a series that is no more."""


def heap_cells(count: int) -> Cells:
    """Return *count* cells of plain memory, all 0."""
    return memoryview(bytearray(8 * count)).cast("d")


def numbers(cells: Cells) -> list[float]:
    """Return what *cells* hold at this moment."""
    found: Any = cells.tolist()
    return cast("list[float]", found)


class FileCells:
    """The cells of one process that its siblings read; see the module's description.

    Args:
        folder: The directory of the group.

    Raises:
        OSError: The files cannot be made; nothing is left behind.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"{os.getpid()}-{os.urandom(4).hex()}"
        """What its files are called."""
        self.folder = folder
        self.strays: list[tuple[Series, Cells]] = []
        """Series that had to go to plain memory, since the disk was full for example."""
        self._lock = threading.Lock()
        self._segment = heap_cells(0)
        self._taken: dict[tuple[str, str], tuple[int, Cells]] = {}
        self._gone: set[tuple[str, str]] = set()
        self._next = 0
        self._end = 0
        self._torn = False
        self._fds: list[int] = []
        try:
            self._keys = self._open(KEYS)
            self._values = self._open(UNFINISHED)
            # A description of its own: mappings duplicate theirs, and a lock lasts until the last
            # duplicate is closed.
            self._owner = self._open(UNFINISHED)
            fcntl.flock(self._owner, fcntl.LOCK_EX)
            self._grow(_SEGMENT)
            # The others must never see a file of ours that is not locked: they would bury us.
            self._path(UNFINISHED).rename(self._path(VALUES))
        except OSError:
            self.remove()
            raise

    def take(self, series: Series) -> Cells:
        """Return the cells of *series*, all 0 if it is new; plain memory where the disk is full."""
        return self.take_all((series,))[0]

    def take_all(self, wanted: Sequence[Series]) -> list[Cells]:
        """Return the cells of several series, announced to the siblings in one write."""
        with self._lock:
            fresh: list[tuple[Series, Cells, bytes]] = []
            found = [self._place(series, fresh) for series in wanted]
            if fresh:
                self._announce(fresh)
            return found

    def forget(self, series: Series) -> None:
        """Tell the siblings that *series* is no more; its cells wait for its return."""
        key = (series.metric, series.labels)
        with self._lock:
            place = self._taken.get(key)
            self.strays = [stray for stray in self.strays if stray[0][:2] != key]
            if place is not None and key not in self._gone:
                self._gone.add(key)
                gone = Series(*key, 0)
                self._announce([(gone, heap_cells(0), _line(place[0], gone))])
                self.strays = [stray for stray in self.strays if stray[0] != gone]

    def say(self, text: bytes) -> None:
        """Replace what this process says of itself.

        Raises:
            OSError: It cannot be written; what was said before stands.
        """
        temporary = self._path(SAID_UNFINISHED)
        temporary.write_bytes(text)
        temporary.rename(self._path(SAID))

    def present(self) -> bool:
        """Tell whether the siblings can still see the file: somebody may have removed it."""
        try:
            return os.fstat(self._owner).st_nlink > 0
        except OSError:
            return False

    def leave(self) -> None:
        """Stop being alive: the siblings take over what was counted. Cells stay usable."""
        fds, self._fds = self._fds, []
        # Numbers of closed files are given to others.
        self._keys = self._values = self._owner = -1
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)

    def remove(self) -> None:
        """Leave, and remove the files with what was counted."""
        self.leave()
        for suffix in (KEYS, SAID, SAID_UNFINISHED, UNFINISHED, VALUES):
            with contextlib.suppress(OSError):
                self._path(suffix).unlink()

    def _path(self, suffix: str) -> Path:
        return self.folder / (self.name + suffix)

    def _open(self, suffix: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND * (suffix == KEYS) | os.O_NOFOLLOW
        fd = os.open(self._path(suffix), flags | os.O_CLOEXEC, 0o600)
        self._fds.append(fd)
        return fd

    def _grow(self, size: int) -> None:
        start = self._end
        if hasattr(os, "posix_fallocate"):
            # A hole would be filled at the first write through the mapping, and a full disk would
            # then kill the process by SIGBUS; this is an error that can be handled.
            os.posix_fallocate(self._values, start, size)
        else:
            os.pwrite(self._values, bytes(size), start)
        mapped = mmap.mmap(self._values, size, offset=start)
        self._segment = memoryview(mapped).cast("d")
        self._next, self._end = start // 8, start + size

    def _place(self, series: Series, fresh: list[tuple[Series, Cells, bytes]]) -> Cells:
        key = (series.metric, series.labels)
        first, cells = self._taken.get(key, (0, None))
        if cells is not None and len(cells) == series.size:
            if key in self._gone:
                self._gone.discard(key)
                cells[:] = heap_cells(series.size)
                fresh.append((series, cells, _line(first, series)))
            return cells
        try:
            if (self._next + series.size) * 8 > self._end:
                self._grow(max(self._end, _SEGMENT, 8 * series.size))
        except (OSError, ValueError) as error:
            record_failure("metrics.cells", error)
            cells = heap_cells(series.size)
            self._taken[key] = 0, cells
            self.strays.append((series, cells))
            return cells
        first, segment = self._next, self._segment
        offset = first - (self._end // 8 - len(segment))
        self._next += series.size
        cells = segment[offset : offset + series.size]
        self._taken[key] = first, cells
        fresh.append((series, cells, _line(first, series)))
        return cells

    def _announce(self, fresh: list[tuple[Series, Cells, bytes]]) -> None:
        # A line that was cut off must not swallow the next one.
        start = b"\n" if self._torn else b""
        data = start + b"".join(line for _, _, line in fresh)
        try:
            written = os.write(self._keys, data) - len(start)
        except OSError as error:
            record_failure("metrics.cells", error)
            written = 0
        self._torn = written < len(data) - len(start)
        for series, cells, line in fresh:
            written -= len(line)
            if written < 0:
                self.strays.append((series, cells))


def _line(first: int, series: Series) -> bytes:
    line = f"{first} {series.size} {series.metric} {series.labels}{LINE_END}"
    return line.encode("utf-8", "replace")
