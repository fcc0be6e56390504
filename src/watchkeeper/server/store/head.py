"""The newest samples, in memory, so that dashboards and rules do not touch the disk."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.server.store.index import Entry, SeriesIndex

__all__ = ["Head", "HeadSlice"]


class HeadSlice(NamedTuple):
    """Samples of one series."""

    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]


class Head:
    """Every committed sample at or after `floor_ms`, for the series of *index*. Thread-safe.

    Args:
        index: The series; the samples live on their entries.
        floor_ms: Unix milliseconds from which on the head is complete.
        samples_max: Samples beyond which `trim` raises the floor.
    """

    def __init__(self, index: SeriesIndex, floor_ms: int, samples_max: int) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._most = samples_max
        self._count = 0
        self.floor_ms = floor_ms

    def __len__(self) -> int:
        return self._count

    def add(self, entries: Iterable[Entry], times: Iterable[int], values: Iterable[float]) -> None:
        """Keep committed samples; those before the floor are left to the disk."""
        floor = self.floor_ms
        with self._lock:
            added = 0
            for entry, t, value in zip(entries, times, values, strict=True):
                if t < floor:
                    continue
                held = entry.times
                if held and t <= held[-1]:
                    added += _insert(entry, t, value)
                else:
                    held.append(t)
                    entry.values.append(value)
                    added += 1
            self._count += added

    def fill(self, entry: Entry, times: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Keep what the disk holds of a series at start; *times* is strictly increasing."""
        with self._lock:
            entry.times.frombytes(times.tobytes())
            entry.values.frombytes(values.tobytes())
            entry.last_t = int(times[-1])
            self._count += len(times)

    def value_at(self, entry: Entry, t: int) -> float | None:
        """Return the value of a series at exactly *t*, or None."""
        with self._lock:
            at = bisect_left(entry.times, t)
            if at < len(entry.times) and entry.times[at] == t:
                return entry.values[at]
        return None

    def slices(
        self, numbers: Iterable[int], start_ms: int, end_ms: int
    ) -> tuple[int, dict[int, HeadSlice]]:
        """Return the floor and, by series id, the samples from the floor on in the range."""
        found: dict[int, HeadSlice] = {}
        with self._lock:
            for number in numbers:
                entry = self._index.get(number)
                if entry is None or not entry.times:
                    continue
                first = bisect_left(entry.times, start_ms)
                last = bisect_right(entry.times, end_ms)
                if first < last:
                    found[number] = HeadSlice(
                        np.array(entry.times[first:last], dtype=np.int64),
                        np.array(entry.values[first:last], dtype=np.float64),
                    )
            return self.floor_ms, found

    def present(self, numbers: Iterable[int], start_ms: int, end_ms: int | None) -> set[int]:
        """Return which of the series have a sample in the range, which lies above the floor."""
        found = set()
        with self._lock:
            for number in numbers:
                entry = self._index.get(number)
                if entry is None:
                    continue
                at = bisect_left(entry.times, start_ms)
                if at < len(entry.times) and (end_ms is None or entry.times[at] <= end_ms):
                    found.add(number)
        return found

    def trim(self, floor_ms: int) -> None:
        """Raise the floor to *floor_ms*, further if too many samples would stay."""
        with self._lock:
            floor = max(floor_ms, self.floor_ms)
            if self._count > self._most:
                floor = max(floor, self._floor_for(self._most * 3 // 4))
            self.floor_ms = floor
            for entry in self._index:
                cut = bisect_left(entry.times, floor)
                if cut:
                    del entry.times[:cut]
                    del entry.values[:cut]
                    self._count -= cut

    def _floor_for(self, keep: int) -> int:
        """Return a floor above which about *keep* samples lie."""
        times = np.concatenate(
            [np.array(entry.times, dtype=np.int64) for entry in self._index if entry.times]
        )
        position = max(0, len(times) - keep)
        return int(np.partition(times, position)[position])


def _insert(entry: Entry, t: int, value: float) -> int:
    at = bisect_left(entry.times, t)
    if at < len(entry.times) and entry.times[at] == t:
        return 0
    entry.times.insert(at, t)
    entry.values.insert(at, value)
    return 1
