"""Functions over the change of a series in a window: rate, delta, deriv and their kin.

Extrapolation follows Prometheus' documentation of ``rate`` and its published tests: up to the
window's edge when the edge is within 1.1 average sample distances, else half a distance; counters
never below zero.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.server.promql.context import Context, Function, scalar, windows
from watchkeeper.server.promql.kahan import CompensatedSum, layers
from watchkeeper.server.promql.values import Bools, Floats, Ints, Value, Vector, Windows

__all__ = ["RATES"]

_COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")


def _take(values: Floats, index: Ints, valid: Bools) -> Floats:
    """Return ``values[index]`` where *valid*, zero elsewhere."""
    if not len(values):
        return np.zeros(index.shape)
    return np.where(valid, values[np.where(valid, index, 0)], 0.0)


def _times(found: Windows, index: Ints, valid: Bools) -> Ints:
    if not len(found.t_ms):
        return np.zeros(index.shape, np.int64)
    taken: Ints = found.t_ms[np.where(valid, index, 0)]
    return taken


def _prefix(flags: Bools) -> Ints:
    """Return for each index how many of the flags before it are set."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(flags, dtype=np.int64)])


def _inside(found: Windows, flags: Bools) -> Ints:
    """Count, by window, flags on samples that have a predecessor in the same window."""
    before = _prefix(flags)
    result: Ints = np.where(
        found.counts > 1, before[found.hi] - before[np.minimum(found.lo + 1, found.hi)], 0
    )
    return result


def _falls(found: Windows) -> Bools:
    """Return which samples are smaller than the one before them in the same series."""
    flags = np.zeros(len(found.values), np.bool_)
    if len(flags):
        flags[1:] = (found.values[1:] < found.values[:-1]) & (found.series[1:] == found.series[:-1])
    return flags


def _resets_lost(found: Windows) -> Floats:
    """Return, by window, what counter resets took away: the sum of the values before them."""
    falls = _falls(found)
    lost = np.zeros(found.lo.shape)
    affected = _inside(found, falls) > 0
    if affected.any():
        drops = np.zeros(len(found.values) + 1)
        drops[:-1][falls] = found.values[np.nonzero(falls)[0] - 1]
        bounds = np.stack([found.lo[affected] + 1, found.hi[affected]], axis=1).ravel()
        lost[affected] = np.add.reduceat(drops, bounds)[::2]
    return lost


def _extrapolated(context: Context, args: list[Value], *, counter: bool, rate: bool) -> Vector:
    found = windows(args[0])
    present = found.counts > 1
    last = found.hi - 1
    first_value = _take(found.values, found.lo, present)
    with np.errstate(all="ignore"):
        change = _take(found.values, last, present) - first_value
        if counter:
            change = change + np.where(present, _resets_lost(found), 0.0)
            _note_counters(context, found, present)
        first_ms, last_ms = _times(found, found.lo, present), _times(found, last, present)
        sampled = (last_ms - first_ms) / 1000
        to_start = (first_ms - (found.end_ms - found.range_ms)[None, :]) / 1000
        to_end = (found.end_ms[None, :] - last_ms) / 1000
        average = sampled / (found.counts - 1)
        threshold = average * 1.1
        to_start = np.where(to_start >= threshold, average / 2, to_start)
        if counter:
            to_zero = sampled * (first_value / change)
            bounded = (change > 0) & (first_value >= 0) & (to_zero < to_start)
            to_start = np.where(bounded, to_zero, to_start)
        to_end = np.where(to_end >= threshold, average / 2, to_end)
        factor = (sampled + to_start + to_end) / sampled
        if rate:
            factor = factor / (found.range_ms / 1000)
        result = change * factor
    return found.vector(result, present)


def _note_counters(context: Context, found: Windows, present: Bools) -> None:
    """Say when a rate is taken of what does not look like a counter by its name or type."""
    used: list[bool] = np.any(present, axis=1).tolist()
    seen: set[tuple[str, str]] = set()
    for labels, has in zip(found.labels, used, strict=True):
        if has:
            known = dict(labels)
            seen.add((known.get("__name__", ""), known.get("__type__", "")))
    for name, kind in sorted(seen):
        if kind:
            if kind not in {"counter", "histogram"}:
                context.notes.info(
                    f'metric might not be a counter, __type__ label is not set to "counter" or '
                    f'"histogram", got "{kind}": "{name}"'
                )
        elif name and not name.endswith(_COUNTER_SUFFIXES):
            context.notes.info(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
                f'"{name}"'
            )


def _last_two(found: Windows) -> tuple[Bools, Floats, Floats, Floats]:
    """Return where two samples exist, both values, and the seconds between them."""
    present = found.counts > 1
    older, newer = found.hi - 2, found.hi - 1
    gap = (_times(found, newer, present) - _times(found, older, present)) / 1000
    return (
        present & (gap > 0),
        _take(found.values, older, present),
        _take(found.values, newer, present),
        gap,
    )


def _irate(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    present, older, newer, gap = _last_two(found)
    _note_counters(context, found, present)
    with np.errstate(all="ignore"):
        change = np.where(newer < older, newer, newer - older)
        return found.vector(change / gap, present)


def _idelta(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    present, older, newer, _gap = _last_two(found)
    with np.errstate(all="ignore"):
        return found.vector(newer - older, present)


def _resets(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return found.vector(_inside(found, _falls(found)).astype(np.float64), found.counts > 0)


def _changes(_context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    flags = np.zeros(len(found.values), np.bool_)
    if len(flags):
        now, before = found.values[1:], found.values[:-1]
        flags[1:] = (now != before) & ~(np.isnan(now) & np.isnan(before))
    return found.vector(_inside(found, flags).astype(np.float64), found.counts > 0)


def _regression(context: Context, found: Windows, origin_ms: Ints) -> tuple[Floats, Floats]:
    """Return slope by second and value at *origin_ms* of the least-squares line, by window."""
    shape = found.lo.shape
    lo, hi, origin = found.lo.ravel(), found.hi.ravel(), origin_ms.ravel()
    parts: list[Floats] = [np.zeros(len(lo)) for _ in range(4)]
    sums: dict[int, list[CompensatedSum]] = {}
    ranges: dict[int, slice] = {}
    for part, index, has in layers(lo, hi, context.budget.check):
        acc = sums.setdefault(part.start, [])
        if not acc:
            acc.extend(CompensatedSum((part.stop - part.start,)) for _ in range(4))
            ranges[part.start] = part
        x = np.where(has, (found.t_ms[index] - origin[part]) / 1000, 0.0)
        y = np.where(has, found.values[index], 0.0)
        with np.errstate(all="ignore"):
            for one, what in zip(acc, (x, y, x * y, x * x), strict=True):
                one.add(what)
    for start, acc in sums.items():
        for target, one in zip(parts, acc, strict=True):
            target[ranges[start]] = one.result()
    n = (hi - lo).astype(np.float64)
    sum_x, sum_y, sum_xy, sum_xx = parts
    with np.errstate(all="ignore"):
        slope = (sum_xy - sum_x * sum_y / n) / (sum_xx - sum_x * sum_x / n)
        intercept = sum_y / n - slope * sum_x / n
    first = _take(found.values, lo, hi > lo)
    constant = (_changes_between(found) == 0).ravel()
    slope = np.where(constant, np.where(np.isinf(first), np.nan, 0.0), slope)
    intercept = np.where(constant, np.where(np.isinf(first), np.nan, first), intercept)
    return slope.reshape(shape), intercept.reshape(shape)


def _changes_between(found: Windows) -> Ints:
    flags = np.zeros(len(found.values), np.bool_)
    if len(flags):
        flags[1:] = found.values[1:] != found.values[:-1]
    return _inside(found, flags)


def _deriv(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    present = found.counts > 1
    slope, _ = _regression(context, found, _times(found, found.lo, present))
    return found.vector(slope, present)


def _predict_linear(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    ahead = scalar(args[1]).values
    origin = np.broadcast_to(context.times[None, :], found.lo.shape)
    slope, intercept = _regression(context, found, origin)
    with np.errstate(all="ignore"):
        return found.vector(slope * ahead[None, :] + intercept, found.counts > 1)


RATES: dict[str, Function] = {
    "rate": lambda context, args: _extrapolated(context, args, counter=True, rate=True),
    "increase": lambda context, args: _extrapolated(context, args, counter=True, rate=False),
    "delta": lambda context, args: _extrapolated(context, args, counter=False, rate=False),
    "irate": _irate,
    "idelta": _idelta,
    "resets": _resets,
    "changes": _changes,
    "deriv": _deriv,
    "predict_linear": _predict_linear,
}
