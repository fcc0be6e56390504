"""The values behind one series: counter, gauge, histogram.

Why no lock: between the read and the write of ``self.value += amount`` CPython (3.11 to 3.14 with
the GIL) has no point at which it switches threads or runs signal handlers, so the update is atomic,
cannot deadlock in a handler and needs no repair after a fork. A build without the GIL gets the
subclasses with a lock; `counter_type` and its siblings choose once, at import.
"""

from __future__ import annotations

import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence

__all__ = [
    "Counter",
    "Exemplar",
    "Gauge",
    "Histogram",
    "counter_type",
    "gauge_type",
    "histogram_type",
]

Exemplar = tuple[float, int, int, int]
"""Value, trace id, span id, nanoseconds since the epoch."""


class Counter:
    """A sum that only grows."""

    __slots__ = ("_refuse", "prefix", "value")

    def __init__(self, prefix: str, refuse: Callable[[], None]) -> None:
        self.prefix = prefix
        self.value = 0.0
        self._refuse = refuse

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount*; a negative number or NaN is refused and counted, never raised."""
        if amount >= 0.0:
            self.value += amount
        else:
            self._refuse()

    def read(self) -> float:
        """Return the sum."""
        return self.value

    def reset(self) -> None:
        """Start again from zero, as a forked child does."""
        self.value = 0.0


class Gauge:
    """A value that goes up and down, or a function that returns it."""

    __slots__ = ("_function", "prefix", "value")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.value = 0.0
        self._function: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Replace the value."""
        self.value = value

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount*."""
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        """Subtract *amount*."""
        self.value -= amount

    def set_function(self, function: Callable[[], float] | None) -> None:
        """Read the value from *function* at each exposition; None goes back to the stored value."""
        self._function = function

    def read(self) -> float:
        """Return the value; whatever the function raises passes through."""
        function = self._function
        return self.value if function is None else function()

    def reset(self) -> None:
        """Start again from zero, as a forked child does; a function stays."""
        self.value = 0.0


class Histogram:
    """Observations counted in buckets.

    ``counts[i]`` holds the observations that are at most ``bounds[i]`` and above the bound before;
    the last entry holds those above every bound.
    """

    __slots__ = ("_now_ns", "_refuse", "bounds", "counts", "exemplars", "prefix", "total")

    def __init__(
        self,
        prefix: str,
        bounds: Sequence[float],
        now_ns: Callable[[], int],
        refuse: Callable[[], None],
    ) -> None:
        self.prefix = prefix
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: list[Exemplar | None] | None = None
        self._now_ns = now_ns
        self._refuse = refuse

    def observe(self, value: float, exemplar: tuple[int, int] | None = None) -> None:
        """Count *value*.

        Args:
            value: In the metric's unit; NaN is refused and counted, never raised.
            exemplar: Trace id and span id of a recorded span; the last one of a bucket is kept.
        """
        index = bisect_left(self.bounds, value)
        if value != value:  # noqa: PLR0124 - the fastest test for NaN
            self._refuse()
            return
        self.counts[index] += 1
        self.total += value
        if exemplar is not None:
            kept = self.exemplars
            if kept is None:
                kept = self.exemplars = [None] * len(self.counts)
            kept[index] = (value, exemplar[0], exemplar[1], self._now_ns())

    def reset(self) -> None:
        """Start again from zero, as a forked child does."""
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        self.exemplars = None


class LockedCounter(Counter):
    """A counter for builds without the GIL."""

    __slots__ = ("_lock",)

    def __init__(self, prefix: str, refuse: Callable[[], None]) -> None:
        super().__init__(prefix, refuse)
        self._lock = threading.Lock()

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount* under the lock."""
        with self._lock:
            super().inc(amount)


class LockedGauge(Gauge):
    """A gauge for builds without the GIL."""

    __slots__ = ("_lock",)

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._lock = threading.Lock()

    def inc(self, amount: float = 1.0) -> None:
        """Add *amount* under the lock."""
        with self._lock:
            super().inc(amount)

    def dec(self, amount: float = 1.0) -> None:
        """Subtract *amount* under the lock."""
        with self._lock:
            super().dec(amount)


class LockedHistogram(Histogram):
    """A histogram for builds without the GIL."""

    __slots__ = ("_lock",)

    def __init__(
        self,
        prefix: str,
        bounds: Sequence[float],
        now_ns: Callable[[], int],
        refuse: Callable[[], None],
    ) -> None:
        super().__init__(prefix, bounds, now_ns, refuse)
        self._lock = threading.Lock()

    def observe(self, value: float, exemplar: tuple[int, int] | None = None) -> None:
        """Count *value* under the lock."""
        with self._lock:
            super().observe(value, exemplar)


_HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

counter_type: type[Counter] = Counter if _HAS_GIL else LockedCounter
gauge_type: type[Gauge] = Gauge if _HAS_GIL else LockedGauge
histogram_type: type[Histogram] = Histogram if _HAS_GIL else LockedHistogram
