"""From stored samples to vectors and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from watchkeeper.server.promql.ast import At, Selector
from watchkeeper.server.promql.budget import Budget
from watchkeeper.server.promql.values import Bools, Floats, Ints, Vector, Windows
from watchkeeper.server.series import Labels, Queryable, is_stale

__all__ = ["Flat", "Source", "flat_of_vector", "windows"]


@dataclass(frozen=True, slots=True)
class Flat:
    """Samples of several series in one array, series after series."""

    labels: list[Labels]
    t_ms: Ints
    values: Floats
    series: Ints
    starts: Ints
    """Length series + 1: where each series begins."""

    def after(self, bounds_ms: Ints) -> Ints:
        """Return, by series and bound, the index of the first sample later than the bound.

        All series are searched in one go: a sample's key is its series number, then its time.
        """
        count = len(self.labels)
        if not len(self.t_ms):
            return np.zeros((count, len(bounds_ms)), np.int64)
        low = int(self.t_ms.min())
        width = int(self.t_ms.max()) - low + 3
        keys = self.series * width + (self.t_ms - low)
        clipped = np.clip(bounds_ms - low, -1, width - 2)
        wanted = np.arange(count)[:, None] * width + clipped[None, :]
        found = np.searchsorted(keys, wanted.ravel(), side="right").reshape(wanted.shape)
        return found.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one evaluation takes its samples from."""

    queryable: Queryable
    budget: Budget
    lookback_ms: int
    start_ms: int
    """Start of the whole query, for ``@ start()``."""
    end_ms: int

    def moments(self, times: Ints, at: At | None, offset_ms: int) -> Ints:
        """Return the moments that a selector looks at, for the steps *times*."""
        if at is None:
            return times - offset_ms
        fixed = {"start": self.start_ms, "end": self.end_ms}.get(at.kind, at.t_ms)
        return np.full_like(times, fixed - offset_ms)

    def load(self, selector: Selector, first_ms: int, last_ms: int) -> Flat:
        """Return samples of *selector*, both bounds inclusive, series in label order."""
        self.budget.check()
        found = self.queryable.select(selector.matchers, first_ms, last_ms)
        found = sorted((one for one in found if len(one.t_ms)), key=lambda one: one.labels)
        lengths = np.array([len(one.t_ms) for one in found], np.int64)
        self.budget.take(int(lengths.sum()))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        if not found:
            return Flat([], np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), starts)
        return Flat(
            [one.labels for one in found],
            np.concatenate([one.t_ms for one in found]),
            np.concatenate([one.values for one in found]),
            np.repeat(np.arange(len(found)), lengths),
            starts,
        )

    def instant(self, selector: Selector, times: Ints) -> tuple[Vector, Ints]:
        """Return the newest sample of each series at each step, and its time.

        A sample counts if it is younger than the lookback and no staleness marker.
        """
        moments = self.moments(times, selector.at, selector.offset_ms)
        first = int(moments.min()) - self.lookback_ms + 1
        flat = self.load(selector, first, int(moments.max()))
        self.budget.take(len(flat.labels) * len(times))
        last = flat.after(moments) - 1
        exists = last >= flat.starts[:-1, None]
        last = np.where(exists, last, 0)
        if not len(flat.t_ms):
            nothing = np.zeros((0, len(times)))
            marks = np.zeros(0, np.bool_)
            return Vector([], nothing, nothing.astype(np.bool_), marks), nothing.astype(np.int64)
        stale = is_stale(flat.values)
        taken = flat.t_ms[last]
        present = exists & ~stale[last] & (taken > moments[None, :] - self.lookback_ms)
        drop = np.zeros(len(flat.labels), np.bool_)
        return Vector(flat.labels, flat.values[last], present, drop), taken

    def ranges(self, selector: Selector, range_ms: int, times: Ints) -> Windows:
        """Return the samples of each series in the range before each step, markers left out."""
        moments = self.moments(times, selector.at, selector.offset_ms)
        flat = self.load(selector, int(moments.min()) - range_ms + 1, int(moments.max()))
        self.budget.take(len(flat.labels) * len(times))
        stale = is_stale(flat.values)
        if stale.any():
            flat = _only(flat, ~stale)
        return windows(flat, moments, range_ms, np.zeros(len(flat.labels), np.bool_))


def _only(flat: Flat, keep: Bools) -> Flat:
    series = flat.series[keep]
    lengths = np.bincount(series, minlength=len(flat.labels))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Flat(flat.labels, flat.t_ms[keep], flat.values[keep], series, starts)


def flat_of_vector(vector: Vector, times: Sequence[int] | Ints) -> Flat:
    """Return the samples of a vector over *times* as if they had been stored."""
    series, steps = np.nonzero(vector.present)
    lengths = vector.present.sum(axis=1)
    return Flat(
        vector.labels,
        np.asarray(times, np.int64)[steps],
        vector.values[series, steps],
        series.astype(np.int64),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
    )


def windows(flat: Flat, moments: Ints, range_ms: int, drop: Bools) -> Windows:
    """Return the windows that end at *moments*, open on the left, closed on the right."""
    lo, hi = flat.after(moments - range_ms), flat.after(moments)
    return Windows(
        flat.labels, flat.t_ms, flat.values, flat.series, lo, hi, moments, range_ms, drop
    )
