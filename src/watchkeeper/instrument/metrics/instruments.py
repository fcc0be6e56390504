"""The values behind one series: counter, gauge, histogram.

They live in cells (see `cells`), which are plain memory or a file that sibling processes read.

Why no lock: between the read and the write of ``self.cells[0] += amount`` CPython (3.11 to 3.14 with
the GIL) has no point at which it switches threads or runs signal handlers, so the update is atomic,
cannot deadlock in a handler and needs no repair after a fork. It has such points at the start of a
function, at calls and at jumps backwards, and in 3.11 where an object is made that the garbage
collector tracks; subscripts of a `memoryview` and sums of floats are none of these. For the same
reason `move` can exchange the cells below running threads. A build without the GIL gets the
subclasses with a lock; `counter_type` and its siblings choose once, at import.
"""

from __future__ import annotations

import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence

from watchkeeper.instrument.metrics.cells import Cells, heap_cells

__all__ = [
    "LINK_EVERY_NS",
    "Counter",
    "Exemplar",
    "Gauge",
    "Histogram",
    "Link",
    "counter_type",
    "gauge_type",
    "histogram_type",
]

Exemplar = tuple[float, int, int, int]
"""Value, trace id, span id, nanoseconds since the epoch."""

Link = tuple[int, int] | tuple[int, int, Callable[[int], bool]]
"""Trace id and span id, and for a trace that may not be exported, what asks for that."""

LINK_EVERY_NS = 30_000_000_000
"""Age of an exemplar at which one of a trace that was left out by the ratio may take its place. Each
such exemplar makes one more trace be exported."""


class Counter:
    """A sum that only grows."""

    __slots__ = ("_refuse", "cells", "prefix")

    function: Callable[[], float] | None = None
    """Like a gauge's; a counter always has a value of its own."""

    def __init__(self, prefix: str, refuse: Callable[[], None], cells: Cells | None = None) -> None:
        self.prefix = prefix
        self.cells = heap_cells(1) if cells is None else cells
        self._refuse = refuse

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount*; a negative number or NaN is refused and counted, never raised."""
        if amount >= 0.0:
            self.cells[0] += amount
        else:
            self._refuse()

    def read(self) -> float:
        """Return the sum."""
        value: float = self.cells[0]
        return value

    def move(self, cells: Cells) -> None:
        """Go on in other cells, with the sum so far."""
        cells[0] = self.cells[0]
        self.cells = cells

    def restart(self, cells: Cells) -> None:
        """Go on in other cells with what they hold, as a forked child does."""
        self.cells = cells


class Gauge:
    """A value that goes up and down, or a function that returns it."""

    __slots__ = ("_function", "cells", "prefix")

    def __init__(self, prefix: str, cells: Cells | None = None) -> None:
        self.prefix = prefix
        self.cells = heap_cells(1) if cells is None else cells
        self._function: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Replace the value."""
        self.cells[0] = value

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount*."""
        self.cells[0] += amount

    def dec(self, amount: float = 1.0) -> None:
        """Subtract *amount*."""
        self.cells[0] -= amount

    def set_function(self, function: Callable[[], float] | None) -> None:
        """Read the value from *function* at each exposition; None goes back to the stored value."""
        self._function = function

    @property
    def function(self) -> Callable[[], float] | None:
        """What the value is read from, if it is not stored."""
        return self._function

    def read(self) -> float:
        """Return the value; whatever the function raises passes through."""
        function = self._function
        value: float = self.cells[0] if function is None else function()
        return value

    def move(self, cells: Cells) -> None:
        """Go on in other cells, with the value so far."""
        cells[0] = self.cells[0]
        self.cells = cells

    def restart(self, cells: Cells) -> None:
        """Go on in other cells with what they hold, as a forked child does; a function stays."""
        self.cells = cells


class Histogram:
    """Observations counted in buckets.

    Cell ``i`` holds the observations that are at most ``bounds[i]`` and above the bound before, the
    cell behind them those above every bound, and the last cell the sum.
    """

    __slots__ = ("_now_ns", "_refuse", "bounds", "cells", "exemplars", "prefix")

    def __init__(
        self,
        prefix: str,
        bounds: Sequence[float],
        now_ns: Callable[[], int],
        refuse: Callable[[], None],
        cells: Cells | None = None,
    ) -> None:
        self.prefix = prefix
        self.bounds = bounds
        self.cells = heap_cells(len(bounds) + 2) if cells is None else cells
        self.exemplars: list[Exemplar | None] | None = None
        self._now_ns = now_ns
        self._refuse = refuse

    def observe(self, value: float, exemplar: Link | None = None) -> None:
        """Count *value*.

        Args:
            value: In the metric's unit; NaN is refused and counted, never raised.
            exemplar: Trace id and span id of a recorded span; the last one of a bucket is kept.
                With a third part, which asks for the trace to be exported, the span was left out:
                it takes an old exemplar's place, if the trace will be exported.
        """
        index = bisect_left(self.bounds, value)
        if value != value:  # noqa: PLR0124 - the fastest test for NaN
            self._refuse()
            return
        # No call from here to the last cell: `move` may not come between.
        cells = self.cells
        cells[index] += 1.0
        cells[-1] += value
        if exemplar is not None:
            kept = self.exemplars
            if kept is None:
                kept = self.exemplars = [None] * (len(self.bounds) + 1)
            now_ns = self._now_ns()
            if len(exemplar) == 3:
                last = kept[index]
                if last is not None and now_ns - last[3] < LINK_EVERY_NS:
                    return
                if not exemplar[2](exemplar[0]):
                    return
            kept[index] = (value, exemplar[0], exemplar[1], now_ns)

    @property
    def counts(self) -> list[int]:
        """Observations of each bucket alone, those above every bound last."""
        return [int(count) for count in self.cells.tolist()[:-1]]

    @property
    def total(self) -> float:
        """The sum of all observations."""
        value: float = self.cells[-1]
        return value

    def move(self, cells: Cells) -> None:
        """Go on in other cells, with the observations so far."""
        cells[:] = self.cells
        self.cells = cells

    def restart(self, cells: Cells) -> None:
        """Go on in other cells with what they hold, as a forked child does."""
        self.cells = cells
        self.exemplars = None


class LockedCounter(Counter):
    """A counter for builds without the GIL."""

    __slots__ = ("_lock",)

    def __init__(self, prefix: str, refuse: Callable[[], None], cells: Cells | None = None) -> None:
        super().__init__(prefix, refuse, cells)
        self._lock = threading.Lock()

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount* under the lock."""
        with self._lock:
            super().inc(amount)

    def move(self, cells: Cells) -> None:
        """Go on in other cells under the lock."""
        with self._lock:
            super().move(cells)

    def restart(self, cells: Cells) -> None:
        """Go on in other cells; a forked child cannot rely on the lock that it inherited."""
        self._lock = threading.Lock()
        super().restart(cells)


class LockedGauge(Gauge):
    """A gauge for builds without the GIL."""

    __slots__ = ("_lock",)

    def __init__(self, prefix: str, cells: Cells | None = None) -> None:
        super().__init__(prefix, cells)
        self._lock = threading.Lock()

    def set(self, value: float) -> None:
        """Replace the value under the lock."""
        with self._lock:
            super().set(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount* under the lock."""
        with self._lock:
            super().inc(amount)

    def dec(self, amount: float = 1.0) -> None:
        """Subtract *amount* under the lock."""
        with self._lock:
            super().dec(amount)

    def move(self, cells: Cells) -> None:
        """Go on in other cells under the lock."""
        with self._lock:
            super().move(cells)

    def restart(self, cells: Cells) -> None:
        """Go on in other cells; a forked child cannot rely on the lock that it inherited."""
        self._lock = threading.Lock()
        super().restart(cells)


class LockedHistogram(Histogram):
    """A histogram for builds without the GIL."""

    __slots__ = ("_lock",)

    def __init__(
        self,
        prefix: str,
        bounds: Sequence[float],
        now_ns: Callable[[], int],
        refuse: Callable[[], None],
        cells: Cells | None = None,
    ) -> None:
        super().__init__(prefix, bounds, now_ns, refuse, cells)
        self._lock = threading.Lock()

    def observe(self, value: float, exemplar: Link | None = None) -> None:
        """Count *value* under the lock."""
        with self._lock:
            super().observe(value, exemplar)

    def move(self, cells: Cells) -> None:
        """Go on in other cells under the lock."""
        with self._lock:
            super().move(cells)

    def restart(self, cells: Cells) -> None:
        """Go on in other cells; a forked child cannot rely on the lock that it inherited."""
        self._lock = threading.Lock()
        super().restart(cells)


_HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

counter_type: type[Counter] = Counter if _HAS_GIL else LockedCounter
gauge_type: type[Gauge] = Gauge if _HAS_GIL else LockedGauge
histogram_type: type[Histogram] = Histogram if _HAS_GIL else LockedHistogram
