"""What expressions evaluate to: scalars, vectors and windows over steps.

Every value covers all steps of the query at once. An instant query has one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.server.promql.budget import QueryExecutionError
from watchkeeper.server.series import Labels

__all__ = [
    "Bools",
    "Floats",
    "Ints",
    "Scalar",
    "Value",
    "Vector",
    "Windows",
    "dropped",
    "empty",
    "grouped_rows",
    "merged",
    "show",
    "without_name",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_RESERVED = frozenset({"__name__", "__type__", "__unit__"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number for each step."""

    values: Floats


@dataclass(frozen=True, slots=True)
class Vector:
    """Series by steps. A cell holds a sample only where *present* is set."""

    labels: list[Labels]
    values: Floats
    """Shape (series, steps)."""
    present: Bools
    """Shape (series, steps)."""
    drop: Bools
    """Series whose metric name goes away at the end of the query (delayed name removal)."""
    ordered: bool = False
    """Whether the order of the series is part of the result (``sort``, ``topk``)."""

    def map(self, values: Floats, *, drop: bool = True) -> Vector:
        """Return the same series with other values, losing their names unless told otherwise."""
        marks = np.ones_like(self.drop) if drop else self.drop
        return Vector(self.labels, values, self.present, marks)

    def where(self, keep: Bools) -> Vector:
        """Return the same series, present only where *keep* holds too."""
        return Vector(self.labels, self.values, self.present & keep, self.drop, self.ordered)


@dataclass(frozen=True, slots=True)
class Windows:
    """Range vectors: for each series and step a slice of one flat array of samples."""

    labels: list[Labels]
    t_ms: Ints
    """Times of all samples, series after series."""
    values: Floats
    series: Ints
    """For each sample, the number of its series."""
    lo: Ints
    """Shape (series, steps): first sample of the window."""
    hi: Ints
    """Shape (series, steps): one past the last sample of the window."""
    end_ms: Ints
    """For each step, the end of the window; windows are open on the left, closed on the right."""
    range_ms: int
    drop: Bools

    @property
    def counts(self) -> Ints:
        """Samples in each window."""
        return self.hi - self.lo

    def vector(self, values: Floats, present: Bools, *, drop: bool = True) -> Vector:
        """Return an instant vector with a value for each window."""
        marks = np.ones_like(self.drop) if drop else self.drop
        return Vector(self.labels, values, present, marks)


Value = Scalar | Vector | Windows | str


def empty(steps: int) -> Vector:
    """Return a vector without series."""
    shape = (0, steps)
    return Vector([], np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(0, np.bool_))


def without_name(labels: Labels) -> Labels:
    """Return *labels* without the metric's name, type and unit."""
    return tuple(pair for pair in labels if pair[0] not in _RESERVED)


def show(labels: Labels) -> str:
    """Return *labels* as ``{a="b", c="d"}``."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def grouped_rows(keys: Sequence[object]) -> tuple[list[int], list[Ints]]:
    """Group equal *keys*.

    Returns:
        The first row of each group, and the rows of each group, in order of appearance.
    """
    index: dict[object, list[int]] = {}
    for row, key in enumerate(keys):
        index.setdefault(key, []).append(row)
    groups = [np.array(rows, np.int64) for rows in index.values()]
    return [int(rows[0]) for rows in groups], groups


def merged(
    labels: Sequence[Labels],
    vector: Vector,
    *,
    clash: Callable[[Labels], Exception] | None = None,
) -> Vector:
    """Return *vector* under new *labels*; series that became equal are joined.

    Args:
        labels: The new label set of each series.
        vector: The series.
        clash: Makes the error for two samples of one series at the same step.

    Raises:
        QueryExecutionError: Two series became equal and have samples at the same step.
    """
    if len(set(labels)) == len(labels):
        return Vector(list(labels), vector.values, vector.present, vector.drop, vector.ordered)
    firsts, groups = grouped_rows(labels)
    values, present, drop = _rows(vector, firsts)
    for row, rows in enumerate(groups):
        if len(rows) == 1:
            continue
        if (vector.present[rows].sum(axis=0) > 1).any():
            raise (clash or _same_labels)(labels[firsts[row]])
        for other in rows[1:]:
            cells = vector.present[other]
            values[row][cells] = vector.values[other][cells]
            present[row] |= cells
        drop[row] = vector.drop[rows].any()
    return Vector([labels[first] for first in firsts], values, present, drop, vector.ordered)


def _rows(vector: Vector, rows: Iterable[int]) -> tuple[Floats, Bools, Bools]:
    index = np.fromiter(rows, np.int64)
    return vector.values[index].copy(), vector.present[index].copy(), vector.drop[index].copy()


def _same_labels(labels: Labels) -> Exception:
    return QueryExecutionError(
        f"vector cannot contain metrics with the same labelset: got {show(labels)} twice at one "
        "step. Accepted: distinct label sets. Next: aggregate, or keep a label that differs."
    )


def dropped(vector: Vector) -> Vector:
    """Return *vector* as it leaves the query: names removed where that was due.

    Raises:
        QueryExecutionError: Two series became equal and have samples at the same step.
    """
    if not vector.drop.any():
        return vector
    labels = [
        without_name(labels) if drop else labels
        for labels, drop in zip(vector.labels, vector.drop.tolist(), strict=True)
    ]
    return merged(labels, vector)
