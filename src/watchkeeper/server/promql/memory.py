"""A source of series in memory, for tests, benchmarks and rule unit tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from watchkeeper.errors import QueryRefusedError
from watchkeeper.server.promql.regex import selects
from watchkeeper.server.series import Labels, Matcher, Series

__all__ = ["MemoryQueryable"]


class MemoryQueryable:
    """Series held in memory. Add everything before the first query; then it is thread-safe."""

    def __init__(self, series: Iterable[Series] = ()) -> None:
        self._series: dict[Labels, Series] = {}
        self._foreign: dict[Labels, list[int]] = {}
        for one in series:
            self.add(one)

    def add(self, series: Series) -> None:
        """Add samples; at equal times the later call wins."""
        known = self._series.get(series.labels)
        if known is None:
            self._series[series.labels] = series
            return
        t_ms = np.concatenate([known.t_ms, series.t_ms])
        values = np.concatenate([known.values, series.values])
        order = np.argsort(t_ms, kind="stable")
        t_ms, values = t_ms[order], values[order]
        keep = np.append(t_ms[1:] != t_ms[:-1], np.ones(min(1, len(t_ms)), np.bool_))
        self._series[series.labels] = Series(series.labels, t_ms[keep], values[keep])

    def add_foreign(self, labels: Labels, t_ms: Sequence[int]) -> None:
        """Note samples of a kind this engine refuses, such as native histograms."""
        self._foreign.setdefault(labels, []).extend(t_ms)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return matching series with their samples in the range, bounds inclusive.

        Raises:
            QueryRefusedError: A native histogram lies in the range.
            QueryParseError: A regular expression does not compile.
        """
        for labels, found in zip(self._foreign, selects(matchers, self._foreign), strict=True):
            if found and any(start_ms <= t <= end_ms for t in self._foreign[labels]):
                raise QueryRefusedError(
                    f"native histograms are not supported: got {dict(labels)!r}. Accepted: float "
                    "samples and classic histograms. Next: scrape the classic buckets."
                )
        chosen = selects(matchers, self._series)
        result: list[Series] = []
        for one, found in zip(self._series.values(), chosen, strict=True):
            if found:
                low, high = np.searchsorted(one.t_ms, (start_ms, end_ms + 1))
                result.append(Series(one.labels, one.t_ms[low:high], one.values[low:high]))
        return result
