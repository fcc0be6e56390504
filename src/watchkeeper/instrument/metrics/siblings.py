"""Reads what the processes of a group have counted, and buries the dead.

Nobody waits for anybody: a reader takes no lock. What the dead have counted is in the file
``retired``, which is replaced as a whole; a reader that finds it replaced meanwhile reads again.
It names the processes that it contains, so that a crash between its replacement and the removal of
their files counts nothing twice, and one before it loses nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.metrics.cells import (
    KEYS,
    LINE_END,
    SAID,
    SAID_UNFINISHED,
    UNFINISHED,
    VALUES,
    numbers,
)
from watchkeeper.instrument.metrics.families import OVERFLOW
from watchkeeper.instrument.metrics.group import is_alive, process_exists
from watchkeeper.instrument.metrics.totals import Totals
from watchkeeper.vocabulary.model import Metric

__all__ = ["Siblings"]

_RETIRED = "retired"
_LOCK = "lock"
_PARTS = frozenset((KEYS, SAID, SAID_UNFINISHED, UNFINISHED))
_ATTEMPTS = 50
_NOTHING: dict[str, Any] = {"folded": [], "values": {}, "foreign": []}


class _Names:
    """The series of one process, read from its file as far as it had got."""

    __slots__ = ("end", "offset", "places")

    def __init__(self) -> None:
        self.offset = 0
        self.end = 0
        """Cells from the start that are in use."""
        self.places: dict[tuple[str, str], tuple[int, int]] = {}

    def read(self, path: Path, texts: dict[str, str]) -> None:
        with path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.offset += whole
        for line in data[:whole].decode("utf-8", "replace").split("\n"):
            self._take(line, texts)

    def _take(self, line: str, texts: dict[str, str]) -> None:
        mark = LINE_END[:-1]
        if not line.endswith(mark):
            return
        try:
            first, count, name, labels = line[: -len(mark)].split(" ", 3)
            place = int(first), int(count)
        except ValueError:
            return
        key = texts.setdefault(name, name), texts.setdefault(labels, labels)
        if place[1] == 0:
            self.places.pop(key, None)
        else:
            self.places[key] = place
            self.end = max(self.end, place[0] + place[1])


class Siblings:
    """The processes of one group, as seen by one of them. Safe to use from one thread at a time.

    Args:
        folder: The directory of the group.
        series_max: Returns how many series a metric may have over all processes.
        own: Name of the files of this process, which is never taken for dead.
    """

    def __init__(self, folder: Path, series_max: Callable[[Metric], int], own: str) -> None:
        self._folder = folder
        self._series_max = series_max
        self._own = own
        self._names: dict[str, _Names] = {}
        self._texts: dict[str, str] = {}
        self._retired: tuple[int, dict[str, Any]] | None = None

    def totals(self) -> Totals:
        """Return everything added up: the living, and what the dead have counted.

        Raises:
            OSError: The directory cannot be read.
        """
        totals, dead = self._settled()
        if dead:
            self._bury(dead, totals)
        return totals

    def bury(self) -> None:
        """Take over what the dead have counted, if there are any, and remove their files."""
        dead = [name for name in self._listed() if not self._lives(name)]
        if dead:
            self.totals()

    def others_live(self) -> bool:
        """Tell whether another process of the group is alive."""
        return any(name != self._own and self._lives(name) for name in self._listed())

    def _settled(self) -> tuple[Totals, list[str]]:
        for _ in range(_ATTEMPTS):
            stamp = self._stamp()
            try:
                found = self._sum()
            except FileNotFoundError:
                continue  # buried by another process just now
            if self._stamp() == stamp:
                return found
        return self._sum()

    def _sum(self) -> tuple[Totals, list[str]]:
        retired = self._read_retired()
        folded = set(retired["folded"])
        totals = Totals(self._series_max)
        totals.add_lasting(retired)
        dead = []
        listed = self._listed()
        for name in listed:
            if name in folded:
                dead.append(name)
                continue
            lives = self._lives(name)
            if not lives:
                dead.append(name)
            self._add(totals, name, lasting=not lives)
        for gone in self._names.keys() - set(listed):
            del self._names[gone]
        return totals, dead

    def _add(
        self,
        totals: Totals,
        name: str,
        *,
        lasting: bool,
        place: Callable[[str, str], str] | None = None,
    ) -> None:
        mine = Totals(self._series_max) if lasting else totals
        for metric, labels, cells in self._series(name):
            mine.add(metric, labels, cells)
        said = self._said(name)
        for metric, by_labels in said.get("values", {}).items():
            for labels, cells in by_labels.items():
                mine.add(metric, labels, cells)
        mine.add_foreign(said.get("foreign", ()))
        if not lasting:
            totals.add_exemplars(said.get("exemplars", {}))
            return
        totals.add_lasting(mine.lasting(), place)

    def _series(self, name: str) -> Iterator[tuple[str, str, list[float]]]:
        names = self._names.get(name)
        if names is None:
            names = self._names[name] = _Names()
        names.read(self._folder / (name + KEYS), self._texts)
        fd = os.open(self._folder / (name + VALUES), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            end = min(names.end, os.fstat(fd).st_size // 8)
            if not end:
                return
            # Through a mapping each cell is read at once; `read` promises no such thing.
            with (
                mmap.mmap(fd, end * 8, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as raw,
                raw.cast("d") as cells,
            ):
                values = numbers(cells)
        finally:
            os.close(fd)
        for (metric, labels), (first, count) in names.places.items():
            if first + count <= end:
                yield metric, labels, values[first : first + count]

    def _said(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._folder / (name + SAID)).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            record_failure("metrics.siblings", error)
            return {}
        return found

    def _listed(self) -> list[str]:
        return sorted(
            entry.removesuffix(VALUES)
            for entry in os.listdir(self._folder)  # noqa: PTH208 - no paths are needed
            if entry.endswith(VALUES)
        )

    def _lives(self, name: str) -> bool:
        return name == self._own or is_alive(self._folder / (name + VALUES))

    def _stamp(self) -> int:
        """Return the time of the last change, which `_replace_retired` lets only grow."""
        try:
            return (self._folder / _RETIRED).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _read_retired(self) -> dict[str, Any]:
        stamp = self._stamp()
        if self._retired is not None and self._retired[0] == stamp:
            return self._retired[1]
        found: dict[str, Any] = _NOTHING
        try:
            found = json.loads((self._folder / _RETIRED).read_bytes())
        except FileNotFoundError:
            pass
        except ValueError as error:
            record_failure("metrics.siblings", error)
        if self._stamp() == stamp:
            self._retired = stamp, found
        return found

    def _bury(self, dead: list[str], shown: Totals) -> None:
        """Add *dead* to the retired, each series where *shown* has it, and remove their files."""
        fd = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._bury_locked(dead, shown)
        except BlockingIOError:
            pass  # another process does it
        except OSError as error:
            record_failure("metrics.siblings", error)
        finally:
            os.close(fd)

    def _bury_locked(self, dead: list[str], shown: Totals) -> None:
        def place(metric: str, labels: str) -> str:
            return labels if shown.has(metric, labels) else OVERFLOW

        retired = self._read_retired()
        present = set(self._listed())
        folded = [name for name in retired["folded"] if name in present]
        new = [name for name in dead if name in present and name not in folded]
        if new:
            totals = Totals(self._series_max)
            totals.add_lasting(retired)
            for name in new:
                self._add(totals, name, lasting=True, place=place)
            folded += new
            self._replace_retired({"folded": folded, **totals.lasting()})
        for name in folded:
            # The values last: without them nobody would look for the rest again.
            for suffix in (KEYS, SAID, SAID_UNFINISHED, VALUES):
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / (name + suffix)).unlink()
        self._remove_unfinished(present)

    def _replace_retired(self, content: dict[str, Any]) -> None:
        temporary = self._folder / f"{_RETIRED}.new"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        # The clock of a file system may be coarser than two burials are apart.
        stamp = max(temporary.stat().st_mtime_ns, self._stamp() + 1)
        os.utime(temporary, ns=(stamp, stamp))
        temporary.rename(self._folder / _RETIRED)

    def _remove_unfinished(self, present: set[str]) -> None:
        """Remove what processes left that died while they joined."""
        for entry in list(self._folder.iterdir()):
            stem, suffix = entry.stem, entry.suffix
            if suffix not in _PARTS or stem in present or stem == _RETIRED:
                continue
            pid = stem.partition("-")[0]
            if not (pid.isdigit() and process_exists(int(pid))):
                with contextlib.suppress(OSError):
                    entry.unlink()
