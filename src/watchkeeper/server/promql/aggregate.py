"""Aggregations over the series of a vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from watchkeeper.server.promql.ast import Aggregate
from watchkeeper.server.promql.budget import Budget, QueryExecutionError
from watchkeeper.server.promql.kahan import CompensatedSum, mean, quantile_of_sorted
from watchkeeper.server.promql.labels import sort_rows
from watchkeeper.server.promql.numbers import plain_number
from watchkeeper.server.promql.values import (
    Bools,
    Floats,
    Ints,
    Scalar,
    Value,
    Vector,
    grouped_rows,
    without_name,
)
from watchkeeper.server.series import Labels, sorted_labels

__all__ = ["aggregate"]


@dataclass(frozen=True, slots=True)
class _Groups:
    """Which rows of a vector belong together."""

    vector: Vector
    labels: list[Labels]
    rows: list[Ints]
    budget: Budget

    def layers(self) -> Iterator[tuple[Floats, Bools]]:
        """Yield the k-th row of every group, for k = 0, 1, …; absent cells hold zero."""
        longest = max((len(rows) for rows in self.rows), default=0)
        table = np.full((len(self.rows), longest), -1, np.int64)
        for number, rows in enumerate(self.rows):
            table[number, : len(rows)] = rows
        for k in range(longest):
            if k % 256 == 0:
                self.budget.check()
            index = table[:, k]
            present = self.vector.present[index] & (index >= 0)[:, None]
            yield np.where(present, self.vector.values[index], 0.0), present

    def result(self, values: Floats, present: Bools) -> Vector:
        """Return one series by group."""
        drop = np.array([self.vector.drop[rows].any() for rows in self.rows], np.bool_)
        return Vector(self.labels, values, present, drop)

    def counts(self) -> Floats:
        """Return how many samples each group has at each step."""
        total = np.zeros((len(self.rows), self.vector.values.shape[1]))
        for number, rows in enumerate(self.rows):
            total[number] = self.vector.present[rows].sum(axis=0)
        return total


def aggregate(node: Aggregate, found: Vector, param: Value | None, budget: Budget) -> Vector:
    """Evaluate *node* over its evaluated operand and parameter.

    Raises:
        QueryExecutionError: The parameter is NaN or out of range, or makes no label name.
    """
    kept = frozenset(node.labels)
    if node.without:
        keys = [
            tuple(pair for pair in without_name(labels) if pair[0] not in kept)
            for labels in found.labels
        ]
    else:
        keys = [tuple(pair for pair in labels if pair[0] in kept) for labels in found.labels]
    firsts, rows = grouped_rows(keys)
    groups = _Groups(found, [keys[first] for first in firsts], rows, budget)
    if node.op in {"topk", "bottomk"} and isinstance(param, Scalar):
        return _top(groups, param.values, descending=node.op == "topk")
    if node.op == "quantile" and isinstance(param, Scalar):
        return _quantile(groups, param.values)
    if node.op == "count_values" and isinstance(param, str):
        return _count_values(groups, param)
    return _FOLDS[node.op](groups)


def _total(groups: _Groups, share: Floats | None = None) -> CompensatedSum:
    shape = (len(groups.rows), groups.vector.values.shape[1])
    total = CompensatedSum(shape)
    with np.errstate(all="ignore"):
        for values, _ in groups.layers():
            total.add(values if share is None else values / np.maximum(share, 1))
    return total


def _sum(groups: _Groups) -> Vector:
    return groups.result(_total(groups).result(), groups.counts() > 0)


def _avg(groups: _Groups) -> Vector:
    counts = groups.counts()
    result = mean(_total(groups), counts, lambda share: _total(groups, share).result())
    return groups.result(result, counts > 0)


def _extreme(fold: Callable[[Floats, Floats], Floats]) -> Callable[[_Groups], Vector]:
    """NaN loses against any number, so it stays only where nothing else is."""

    def function(groups: _Groups) -> Vector:
        counts = groups.counts()
        result = np.full(counts.shape, np.nan)
        for values, present in groups.layers():
            result = np.where(present, fold(result, values), result)
        return groups.result(result, counts > 0)

    return function


def _count(groups: _Groups) -> Vector:
    counts = groups.counts()
    return groups.result(counts, counts > 0)


def _group(groups: _Groups) -> Vector:
    counts = groups.counts()
    return groups.result(np.ones(counts.shape), counts > 0)


def _variance(groups: _Groups) -> tuple[Floats, Bools]:
    """Return the population variance (Welford's method) and where there is one."""
    shape = (len(groups.rows), groups.vector.values.shape[1])
    n, center, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    with np.errstate(all="ignore"):
        for values, present in groups.layers():
            n = n + present
            away = np.where(present, values - center, 0.0)
            center = center + np.where(present, away / n, 0.0)
            squares = squares + np.where(present, away * (values - center), 0.0)
        return squares / n, n > 0


def _stdvar(groups: _Groups) -> Vector:
    return groups.result(*_variance(groups))


def _stddev(groups: _Groups) -> Vector:
    variance, present = _variance(groups)
    with np.errstate(all="ignore"):
        return groups.result(np.sqrt(variance), present)


_FOLDS: dict[str, Callable[[_Groups], Vector]] = {
    "sum": _sum,
    "avg": _avg,
    "min": _extreme(np.fmin),
    "max": _extreme(np.fmax),
    "count": _count,
    "group": _group,
    "stddev": _stddev,
    "stdvar": _stdvar,
}


def _top(groups: _Groups, wanted: Floats, *, descending: bool) -> Vector:
    """Keep the k largest or smallest samples of each group, step by step; NaN comes last."""
    if np.isnan(wanted).any():
        raise QueryExecutionError(
            "Parameter value is NaN: got NaN as the number of series to keep. Accepted: a number. "
            "Next: correct the parameter of topk() or bottomk()."
        )
    if (np.abs(wanted) >= 2.0**63).any():
        raise QueryExecutionError(
            f"Scalar value {wanted.max()} overflows int64: got it as the number of series to "
            "keep. Accepted: a whole number. Next: correct the parameter."
        )
    most = np.trunc(wanted)
    found = groups.vector
    keep = np.zeros(found.present.shape, np.bool_)
    order: list[int] = []
    for rows in groups.rows:
        groups.budget.check()
        values, present = found.values[rows], found.present[rows]
        nans = np.isnan(values)
        rank_class = np.where(present, nans.astype(np.int64), 2)
        filled = np.where(nans, 0.0, -values if descending else values)
        sequence = np.lexsort((filled, rank_class), axis=0)
        rank = np.empty_like(sequence)
        np.put_along_axis(rank, sequence, np.arange(len(rows))[:, None], axis=0)
        keep[rows] = present & (rank < most[None, :])
        order.extend(rows[sequence[:, 0]].tolist())
    result = found.where(keep)
    return sort_rows(result, order) if found.values.shape[1] == 1 else result


def _quantile(groups: _Groups, wanted: Floats) -> Vector:
    found = groups.vector
    notes = groups.budget.notes
    for value in np.unique(wanted[~((wanted >= 0) & (wanted <= 1))]).tolist():
        notes.warn(f"quantile value should be between 0 and 1, got {plain_number(value)}")
    values = np.zeros((len(groups.rows), found.values.shape[1]))
    counts = groups.counts()
    for number, rows in enumerate(groups.rows):
        groups.budget.check()
        cells = np.where(found.present[rows], found.values[rows], np.nan)
        nans = (np.isnan(cells) & found.present[rows]).sum(axis=0)
        have = np.maximum(counts[number], 1).astype(np.int64)
        values[number] = quantile_of_sorted(wanted, np.sort(cells, axis=0), nans, have)
    return groups.result(values, counts > 0)


def _count_values(groups: _Groups, name: str) -> Vector:
    """Count equal values, one series for each value."""
    if not name:
        raise QueryExecutionError(
            'invalid label name "": got it in count_values(). Accepted: any text but the empty '
            "one. Next: name the label."
        )
    found = groups.vector
    steps = found.values.shape[1]
    tallies: dict[Labels, Floats] = {}
    drops: dict[Labels, bool] = {}
    for key, rows in zip(groups.labels, groups.rows, strict=True):
        for row in rows.tolist():
            groups.budget.check()
            cells = found.present[row]
            for value in np.unique(found.values[row][cells]).tolist():
                same = found.values[row] == value if value == value else np.isnan(found.values[row])  # noqa: PLR0124 - false for NaN only
                labels = sorted_labels({**dict(key), name: plain_number(value)})
                tally = tallies.setdefault(labels, np.zeros(steps))
                tally += cells & same
                drops[labels] = drops.get(labels, False) or bool(found.drop[row])
    if not tallies:
        return groups.result(np.zeros((0, steps)), np.zeros((0, steps), np.bool_))
    values = np.stack(list(tallies.values()))
    return Vector(list(tallies), values, values > 0, np.array(list(drops.values()), np.bool_))
