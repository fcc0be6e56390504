"""Numerics over many windows or groups at once.

Windows are walked sample by sample: step k handles the k-th sample of every window together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from watchkeeper.server.promql.values import Bools, Floats, Ints

__all__ = ["CompensatedSum", "layers", "mean", "quantile_of_sorted"]

_CHUNK = 1 << 16


class CompensatedSum:
    """Kahan summation as improved by Neumaier, cell by cell.

    The rounding error of each addition is computed exactly (Knuth's two-sum). Infinite sums keep
    no error, as in Prometheus.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.sum = np.zeros(shape)
        self.error = np.zeros(shape)

    def add(self, values: Floats) -> None:
        """Add *values* cell by cell; zeros change nothing."""
        total = self.sum + values
        seen = total - self.sum
        error = (self.sum - (total - seen)) + (values - seen)
        with np.errstate(all="ignore"):
            self.error = np.where(np.isinf(total), 0.0, self.error + error)
        self.sum = total

    def result(self) -> Floats:
        """Return the compensated sum."""
        return self.sum + self.error


def layers(lo: Ints, hi: Ints, check: Callable[[], None]) -> Iterator[tuple[slice, Ints, Bools]]:
    """Walk flat windows layer by layer.

    Args:
        lo: First sample of each window, one-dimensional.
        hi: One past the last sample.
        check: Called now and then; may raise to stop.

    Yields:
        A range of windows, the sample's index for each of them, and which of them have it. The
        index is valid (0) even where there is no sample. All layers of a range come in sequence.
    """
    counts = hi - lo
    for start in range(0, len(lo), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(lo)))
        first, count = lo[part], counts[part]
        for k in range(int(count.max(initial=0))):
            if k % 64 == 0:
                check()
            has = count > k
            yield part, np.where(has, first + k, 0), has


def mean(total: CompensatedSum, counts: Floats, again: Callable[[Floats], Floats]) -> Floats:
    """Return the mean from a sum; where the sum overflowed, from a sum of shares.

    Args:
        total: The sum.
        counts: How many values it has.
        again: Sums the values after dividing each by the given counts.
    """
    with np.errstate(all="ignore"):
        result: Floats = total.sum / counts + total.error / counts
        overflow = np.isinf(total.sum)
        if overflow.any():
            result = np.where(overflow, again(counts), result)
    return result


def quantile_of_sorted(q: Floats, ordered: Floats, nans: Ints, counts: Ints) -> Floats:
    """Return quantiles of sorted columns.

    Args:
        q: The quantile for each column.
        ordered: Shape (values, columns), ascending, NaN and gaps last.
        nans: How many values of each column are NaN; they count as the smallest.
        counts: How many values each column has.
    """
    columns = np.arange(ordered.shape[1])
    last = counts - 1
    with np.errstate(all="ignore"):
        rank = np.where((q >= 0) & (q <= 1), q * last, 0.0)
        lower = np.maximum(0, np.floor(rank)).astype(np.int64)
        upper = np.minimum(last, lower + 1)
        weight = rank - np.floor(rank)

        def pick(position: Ints) -> Floats:
            found = ordered[np.clip(position - nans, 0, len(ordered) - 1), columns]
            return np.where(position < nans, np.nan, found)

        result = pick(lower) * (1 - weight) + pick(upper) * weight
    result = np.where(np.isnan(q), np.nan, result)
    return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, result))
