"""The series of one unit test: given ones appear as time passes, recorded ones are added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import QueryError
from watchkeeper.server.promql.memory import MemoryQueryable
from watchkeeper.server.promql.regex import selects
from watchkeeper.server.series import Labels, Matcher, MatchOp, Series, is_stale
from watchkeeper.server.store.rows import Sample

__all__ = ["TestStore"]

_FIRST = 16


class _Recorded:
    """Samples of one series, added one by one."""

    def __init__(self) -> None:
        self._t_ms = np.zeros(_FIRST, np.int64)
        self._values = np.zeros(_FIRST, np.float64)
        self._size = 0

    def add(self, t_ms: int, value: float) -> None:
        if self._size == len(self._t_ms):
            self._t_ms = np.concatenate([self._t_ms, np.zeros_like(self._t_ms)])
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._t_ms[self._size], self._values[self._size] = t_ms, value
        self._size += 1

    @property
    def t_ms(self) -> NDArray[np.int64]:
        return self._t_ms[: self._size]

    @property
    def values(self) -> NDArray[np.float64]:
        return self._values[: self._size]


class TestStore:
    """A source of series for one unit test.

    Given series are loaded at the beginning, but a query sees of them only what lies before
    `until_ms`: promtool feeds them in as time passes, and so a negative offset sees nothing of
    the future here either.

    Attributes:
        until_ms: The present of the test, Unix milliseconds.
    """

    __test__ = False  # it is no class of tests for pytest

    def __init__(self) -> None:
        self.until_ms = 0
        self._given: dict[Labels, Series] = {}
        self._recorded: dict[Labels, _Recorded] = {}
        self._foreign = MemoryQueryable()
        self._names: dict[str, dict[Labels, None]] = {}
        self._chosen: dict[tuple[Matcher, ...], list[Labels]] = {}
        """What matchers have chosen, until a new series comes: rules ask the same each turn."""
        self._has_foreign = False

    def load(self, series: Series, histograms: Sequence[int] = ()) -> None:
        """Give a series; native histograms are noted at the times *histograms*, Unix ms.

        Raises:
            QueryError: The series has been given already.
        """
        if series.labels in self._given:
            raise QueryError(
                f"the series {dict(series.labels)} is given twice. Accepted: each series once. "
                "Next: join their values."
            )
        self._given[series.labels] = series
        self._note(series.labels)
        if histograms:
            self._foreign.add_foreign(series.labels, histograms)
            self._has_foreign = True

    def _note(self, labels: Labels) -> None:
        self._names.setdefault(dict(labels).get("__name__", ""), {})[labels] = None
        self._chosen.clear()

    def record(self, samples: Iterable[Sample]) -> None:
        """Keep what a rule gave.

        Raises:
            QueryError: A series has another value at that time already.
        """
        for sample in samples:
            there = self._at(sample.labels, sample.t_ms)
            if there is None:
                if sample.labels not in self._recorded:
                    self._recorded[sample.labels] = _Recorded()
                    self._note(sample.labels)
                self._recorded[sample.labels].add(sample.t_ms, sample.value)
            elif not _same(there, sample.value) and not _is_stale(sample.value):
                raise QueryError(
                    f"the rule gives {dict(sample.labels)} the value {sample.value!r}, and another "
                    f"rule or the input gives it {there!r}. Accepted: one value at one time. "
                    "Next: give one of them another name or label."
                )

    def _at(self, labels: Labels, t_ms: int) -> float | None:
        for found in (self._recorded.get(labels), self._given.get(labels)):
            if found is not None:
                place = int(np.searchsorted(found.t_ms, t_ms))
                if place < len(found.t_ms) and found.t_ms[place] == t_ms:
                    return float(found.values[place])
        return None

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return matching series with their samples in the range, bounds inclusive.

        Raises:
            QueryRefusedError: A native histogram lies in the range.
            QueryParseError: A regular expression does not compile.
        """
        if self._has_foreign:
            self._foreign.select(matchers, start_ms, min(end_ms, self.until_ms))
        wanted = tuple(matchers)
        chosen = self._chosen.get(wanted)
        if chosen is None:
            known = self._candidates(wanted)
            pairs = zip(known, selects(wanted, known), strict=True)
            chosen = self._chosen[wanted] = [labels for labels, taken in pairs if taken]
        found = [self._series(labels, start_ms, end_ms) for labels in chosen]
        return [series for series in found if len(series.t_ms)]

    def _candidates(self, matchers: Sequence[Matcher]) -> list[Labels]:
        for matcher in matchers:
            if matcher.name == "__name__" and matcher.op is MatchOp.EQUAL:
                return list(self._names.get(matcher.value, ()))
        return [labels for some in self._names.values() for labels in some]

    def _series(self, labels: Labels, start_ms: int, end_ms: int) -> Series:
        given, recorded = self._given.get(labels), self._recorded.get(labels)
        parts = []
        if given is not None:
            parts.append(_cut(given.t_ms, given.values, start_ms, min(end_ms, self.until_ms)))
        if recorded is not None:
            parts.append(_cut(recorded.t_ms, recorded.values, start_ms, end_ms))
        if len(parts) == 1:
            return Series(labels, *parts[0])
        t_ms = np.concatenate([part[0] for part in parts])
        order = np.argsort(t_ms, kind="stable")
        return Series(labels, t_ms[order], np.concatenate([part[1] for part in parts])[order])


def _cut(
    t_ms: NDArray[np.int64], values: NDArray[np.float64], start_ms: int, end_ms: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    low, high = np.searchsorted(t_ms, (start_ms, end_ms + 1))
    return t_ms[low:high], values[low:high]


def _bits(value: float) -> NDArray[np.float64]:
    return np.array([value], np.float64)


def _same(left: float, right: float) -> bool:
    return bool(_bits(left).view(np.uint64)[0] == _bits(right).view(np.uint64)[0])


def _is_stale(value: float) -> bool:
    return bool(is_stale(_bits(value))[0])
