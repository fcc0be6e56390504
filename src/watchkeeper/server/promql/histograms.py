"""Quantiles and fractions of classic histograms.

Source: Prometheus documentation of ``histogram_quantile`` and ``histogram_fraction``; linear
interpolation inside a bucket, counts made monotonic first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from watchkeeper.server.promql.context import Context, Function, scalar, vector
from watchkeeper.server.promql.overtime import note_quantile
from watchkeeper.server.promql.values import Bools, Floats, Ints, Value, Vector, grouped_rows
from watchkeeper.server.series import Labels

__all__ = ["HISTOGRAMS"]

_TOLERANCE = 1e-12
"""Relative difference of neighbouring buckets that counts as floating-point noise."""


@dataclass(frozen=True, slots=True)
class _Buckets:
    """Buckets of one histogram at the same set of steps."""

    bounds: Floats
    """Upper bounds, ascending, distinct."""
    counts: Floats
    """Shape (bounds, steps), cumulative."""


Fold = Callable[[_Buckets, Ints, Labels], Floats]


def _over_buckets(context: Context, found: Vector, fold: Fold) -> Vector:
    """Apply *fold* to each histogram in *found*; series differ in ``le`` only."""
    bounds, keys, rows = _parsed(context, found)
    firsts, groups = grouped_rows(keys)
    steps = found.values.shape[1]
    values = np.zeros((len(groups), steps))
    present = np.zeros((len(groups), steps), np.bool_)
    for number, group in enumerate(groups):
        context.budget.check()
        members = rows[group]
        upper, cells = bounds[group], found.present[members]
        present[number] = cells.any(axis=0)
        for mask, where in _patterns(cells):
            buckets = _coalesced(upper[mask], found.values[members][mask][:, where])
            values[number][where] = fold(buckets, where, keys[firsts[number]])
    labels = [keys[first] for first in firsts]
    return Vector(labels, values, present, np.ones(len(labels), np.bool_))


def _parsed(context: Context, found: Vector) -> tuple[Floats, list[Labels], Ints]:
    """Return bound and remaining labels of each usable bucket series, and its row."""
    bounds: list[float] = []
    keys: list[Labels] = []
    rows: list[int] = []
    for row, labels in enumerate(found.labels):
        known = dict(labels)
        le = known.get("le", "")
        try:
            bound = float("bad" if "_" in le or le.strip() != le else le)
        except ValueError:
            if found.present[row].any():
                name = known.get("__name__", "")
                context.notes.warn(
                    'bucket label "le" is missing or has a malformed value of '
                    f'"{le}" for metric name "{name}"'
                )
            continue
        bounds.append(bound)
        keys.append(tuple(pair for pair in labels if pair[0] != "le"))
        rows.append(row)
    return np.array(bounds), keys, np.array(rows, np.int64)


def _patterns(cells: Bools) -> list[tuple[Bools, Ints]]:
    """Split steps by which buckets exist there; nearly always there is one pattern."""
    steps = np.nonzero(cells.any(axis=0))[0]
    if not len(steps):
        return []
    if cells[:, steps].all():
        return [(np.ones(len(cells), np.bool_), steps)]
    patterns, inverse = np.unique(cells[:, steps], axis=1, return_inverse=True)
    return [
        (patterns[:, number], steps[inverse.ravel() == number])
        for number in range(patterns.shape[1])
    ]


def _coalesced(bounds: Floats, counts: Floats) -> _Buckets:
    """Sort buckets and add up those whose bounds are spelt differently but equal."""
    order = np.argsort(bounds, kind="stable")
    bounds, counts = bounds[order], counts[order]
    distinct, starts = np.unique(bounds, return_index=True)
    if len(distinct) == len(bounds):
        return _Buckets(bounds, counts)
    return _Buckets(distinct, np.add.reduceat(counts, starts, axis=0))


def _monotonic(counts: Floats) -> tuple[Floats, bool]:
    """Return counts that never fall, and whether more than noise had to be mended."""
    fixed = counts.copy()
    forced = False
    previous = fixed[0].copy()
    with np.errstate(all="ignore"):
        for row in fixed[1:]:
            total = np.abs(previous) + np.abs(row)
            near = (np.abs(previous - row) / total < _TOLERANCE) & (previous != 0) & (row != 0)
            falls = row < previous
            forced = forced or bool((falls & ~near).any())
            row[near | falls] = previous[near | falls]
            previous = row
    return fixed, forced


def _quantile(context: Context, args: list[Value]) -> Vector:
    wanted = scalar(args[0]).values
    note_quantile(context, wanted)

    def fold(buckets: _Buckets, steps: Ints, labels: Labels) -> Floats:
        q = wanted[steps]
        result = np.full(len(steps), np.nan)
        if np.isposinf(buckets.bounds[-1]) and len(buckets.bounds) > 1:
            counts, forced = _monotonic(buckets.counts)
            if forced:
                name = dict(labels).get("__name__", "")
                context.notes.info(
                    "input to histogram_quantile needed to be fixed for monotonicity "
                    f'(see the documentation of histogram_quantile) for metric name "{name}"'
                )
            result = _interpolated(q, buckets.bounds, counts)
        result = np.where(np.isnan(q), np.nan, result)
        return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, result))

    return _over_buckets(context, vector(args[1]), fold)


def _interpolated(q: Floats, bounds: Floats, counts: Floats) -> Floats:
    steps = np.arange(counts.shape[1])
    last = len(bounds) - 1
    with np.errstate(all="ignore"):
        rank = q * counts[-1]
        reached = counts[:-1] >= rank[None, :]
        bucket = np.where(reached.any(axis=0), reached.argmax(axis=0), last)
        inner = np.minimum(bucket, last - 1)
        below = np.maximum(inner - 1, 0)
        has_below = inner > 0
        start = np.where(has_below, bounds[below], 0.0)
        under = np.where(has_below, counts[below, steps], 0.0)
        inside = counts[inner, steps] - under
        result = start + (bounds[inner] - start) * ((rank - under) / inside)
    result = np.where((inner == 0) & (bounds[0] <= 0), bounds[0], result)
    result = np.where(bucket == last, bounds[last - 1], result)
    return np.where(counts[-1] == 0, np.nan, result)


def _fraction(context: Context, args: list[Value]) -> Vector:
    lower, upper = scalar(args[0]).values, scalar(args[1]).values

    def fold(buckets: _Buckets, steps: Ints, _labels: Labels) -> Floats:
        if not np.isposinf(buckets.bounds[-1]):
            return np.full(len(steps), np.nan)
        low, high = lower[steps], upper[steps]
        total = buckets.counts[-1]
        with np.errstate(all="ignore"):
            share = (_below(high, buckets) - _below(low, buckets)) / total
        result = np.where(low >= high, 0.0, share)
        return np.where((total == 0) | np.isnan(low) | np.isnan(high), np.nan, result)

    return _over_buckets(context, vector(args[2]), fold)


def _below(values: Floats, buckets: _Buckets) -> Floats:
    """Estimate how many observations are at most *values*; infinite buckets are not divided."""
    bounds, counts = buckets.bounds, buckets.counts
    steps = np.arange(counts.shape[1])
    bucket = np.minimum(np.searchsorted(bounds, values, side="left"), len(bounds) - 1)
    here = counts[bucket, steps]
    before = np.where(bucket > 0, counts[np.maximum(bucket - 1, 0), steps], 0.0)
    start = np.where(bucket > 0, bounds[np.maximum(bucket - 1, 0)], 0.0)
    with np.errstate(all="ignore"):
        inside = before + (here - before) * (values - start) / (bounds[bucket] - start)
    first = bucket == 0
    below_zero = np.where(np.isneginf(values), 0.0, here)
    inside = np.where(first & (bounds[0] <= 0), below_zero, inside)
    inside = np.where(first & (bounds[0] > 0) & (values <= 0), 0.0, inside)
    inside = np.where(np.isposinf(bounds[bucket]), before, inside)
    return np.where(values == bounds[bucket], here, inside)


HISTOGRAMS: dict[str, Function] = {
    "histogram_quantile": _quantile,
    "histogram_fraction": _fraction,
}
