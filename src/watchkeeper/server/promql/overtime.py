"""Functions that fold the samples of a window: ``sum_over_time`` and its kin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from watchkeeper.server.promql.context import Context, Function, scalar, windows
from watchkeeper.server.promql.kahan import CompensatedSum, layers, mean, quantile_of_sorted
from watchkeeper.server.promql.values import Bools, Floats, Ints, Value, Vector, Windows

__all__ = ["OVER_TIME", "note_quantile"]

_CELLS = 1 << 21


def _add_windows(context: Context, found: Windows, share: Floats | None = None) -> CompensatedSum:
    """Return the compensated sum of each window, of each value divided by *share* if given."""
    lo, hi = found.lo.ravel(), found.hi.ravel()
    total = CompensatedSum(lo.shape)
    running: CompensatedSum | None = None
    current = slice(0, 0)
    for part, index, has in layers(lo, hi, context.budget.check):
        if running is None or part != current:
            _store(total, running, current)
            running, current = CompensatedSum((part.stop - part.start,)), part
        values = found.values[index]
        with np.errstate(all="ignore"):
            values = values if share is None else values / share.ravel()[part]
            running.add(np.where(has, values, 0.0))
    _store(total, running, current)
    total.sum = total.sum.reshape(found.lo.shape)
    total.error = total.error.reshape(found.lo.shape)
    return total


def _store(total: CompensatedSum, running: CompensatedSum | None, part: slice) -> None:
    if running is not None:
        total.sum[part], total.error[part] = running.sum, running.error


def _sum(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return found.vector(_add_windows(context, found).result(), found.counts > 0)


def _avg(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    counts = found.counts.astype(np.float64)
    total = _add_windows(context, found)
    result = mean(total, counts, lambda share: _add_windows(context, found, share).result())
    return found.vector(result, found.counts > 0)


def _extreme(
    fold: Callable[[Floats, Floats], Floats],
) -> Function:
    """Return the smallest or largest value; NaN only where nothing else is.

    Windows overlap freely, so blocks of doubling length are folded once and each window is
    answered from two of them.
    """

    def function(_context: Context, args: list[Value]) -> Vector:
        found = windows(args[0])
        counts = found.counts
        present = counts > 0
        result = np.full(counts.shape, np.nan)
        block, length = found.values, 1
        while present.any():
            here = present & (counts >= length) & (counts < 2 * length)
            if here.any():
                left, right = found.lo[here], found.hi[here] - length
                result[here] = fold(block[left], block[right])
            if not (counts >= 2 * length).any():
                break
            block = fold(block[:-length], block[length:])
            length *= 2
        return found.vector(result, present)

    return function


def _spread(context: Context, found: Windows) -> Floats:
    """Return the population variance of each window (Welford's method)."""
    lo, hi = found.lo.ravel(), found.hi.ravel()
    result = np.zeros(len(lo))
    center = np.zeros(0)
    squares = CompensatedSum((0,))
    average = CompensatedSum((0,))
    current, k = slice(0, 0), 0
    for part, index, has in layers(lo, hi, context.budget.check):
        if part != current:
            current, k = part, 0
            average = CompensatedSum((part.stop - part.start,))
            squares = CompensatedSum((part.stop - part.start,))
        k += 1
        values = found.values[index]
        with np.errstate(all="ignore"):
            center = values - average.result()
            average.add(np.where(has, center / k, 0.0))
            squares.add(np.where(has, center * (values - average.result()), 0.0))
            result[part] = squares.result()
    with np.errstate(all="ignore"):
        shaped: Floats = (result / (hi - lo)).reshape(found.lo.shape)
    return shaped


def _stdvar(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return found.vector(_spread(context, found), found.counts > 0)


def _stddev(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    with np.errstate(all="ignore"):
        return found.vector(np.sqrt(_spread(context, found)), found.counts > 0)


def _quantile(context: Context, args: list[Value]) -> Vector:
    wanted, found = scalar(args[0]).values, windows(args[1])
    note_quantile(context, wanted)
    counts = found.counts.ravel()
    lo = found.lo.ravel()
    q = np.broadcast_to(wanted[None, :], found.lo.shape).ravel()
    result = np.full(len(counts), np.nan)
    for count in np.unique(counts[counts > 0]).tolist():
        where = np.nonzero(counts == count)[0]
        size = max(1, _CELLS // count)
        for start in range(0, len(where), size):
            context.budget.check()
            some = where[start : start + size]
            picked = found.values[lo[some][None, :] + np.arange(count)[:, None]]
            nans = np.isnan(picked).sum(axis=0)
            full = np.full(len(some), count, np.int64)
            result[some] = quantile_of_sorted(q[some], np.sort(picked, axis=0), nans, full)
    return found.vector(result.reshape(found.lo.shape), found.counts > 0)


def note_quantile(context: Context, wanted: Floats) -> None:
    """Warn about quantiles outside 0 to 1."""
    for value in np.unique(wanted[~((wanted >= 0) & (wanted <= 1))]).tolist():
        shown = "NaN" if value != value else f"{value:g}"  # noqa: PLR0124 - true for NaN only
        context.notes.warn(f"quantile value should be between 0 and 1, got {shown}")


def _pick(found: Windows, index: Ints) -> Vector:
    present: Bools = found.counts > 0
    if not len(found.values):
        return found.vector(np.zeros(index.shape), present, drop=False)
    return found.vector(found.values[np.where(present, index, 0)], present, drop=False)


def _first(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return _pick(found, found.lo)


def _last(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return _pick(found, found.hi - 1)


def _count(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return found.vector(found.counts.astype(np.float64), found.counts > 0)


def _present(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return found.vector(np.ones(found.counts.shape), found.counts > 0)


OVER_TIME: dict[str, Function] = {
    "sum_over_time": _sum,
    "avg_over_time": _avg,
    "min_over_time": _extreme(np.fmin),
    "max_over_time": _extreme(np.fmax),
    "count_over_time": _count,
    "present_over_time": _present,
    "first_over_time": _first,
    "last_over_time": _last,
    "stddev_over_time": _stddev,
    "stdvar_over_time": _stdvar,
    "quantile_over_time": _quantile,
}
