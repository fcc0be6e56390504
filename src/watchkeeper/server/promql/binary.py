"""Binary operators between scalars and vectors, with Prometheus' vector matching."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from watchkeeper.server.promql.ast import Binary, Card, Matching
from watchkeeper.server.promql.budget import Budget, QueryExecutionError
from watchkeeper.server.promql.catalogue import COMPARISONS, SET_OPERATORS
from watchkeeper.server.promql.values import (
    Bools,
    Floats,
    Ints,
    Scalar,
    Value,
    Vector,
    empty,
    grouped_rows,
    merged,
    show,
    without_name,
)
from watchkeeper.server.series import Labels, sorted_labels

__all__ = ["combine", "negate"]


def _power(left: Floats, right: Floats) -> Floats:
    result: Floats = np.power(left, right)
    return result


_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": _power,
    "atan2": np.arctan2,
}
_COMPARE: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def negate(value: Value) -> Value:
    """Return ``-value``."""
    if isinstance(value, Scalar):
        return Scalar(-value.values)
    if isinstance(value, Vector):
        return value.map(-value.values)
    raise TypeError(f"cannot negate {type(value).__name__}")


def combine(node: Binary, left: Value, right: Value, budget: Budget) -> Value:
    """Evaluate *node* over its evaluated operands.

    Raises:
        QueryExecutionError: Series match several others where only one may.
    """
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        with np.errstate(all="ignore"):
            if node.op in COMPARISONS:
                return Scalar(_COMPARE[node.op](left.values, right.values).astype(np.float64))
            return Scalar(_ARITHMETIC[node.op](left.values, right.values))
    if isinstance(left, Vector) and isinstance(right, Vector):
        if node.op in SET_OPERATORS:
            return _set(node, left, right)
        return _match(node, left, right, budget)
    return _with_scalar(node, left, right)


def _with_scalar(node: Binary, left: Value, right: Value) -> Vector:
    if isinstance(left, Vector) and isinstance(right, Scalar):
        found, a, b = left, left.values, right.values[None, :]
    elif isinstance(left, Scalar) and isinstance(right, Vector):
        found, a, b = right, left.values[None, :], right.values
    else:
        raise TypeError(f"cannot combine {type(left).__name__} and {type(right).__name__}")
    with np.errstate(all="ignore"):
        if node.op not in COMPARISONS:
            return found.map(_ARITHMETIC[node.op](a, b))
        holds = _COMPARE[node.op](a, b)
    if node.return_bool:
        return found.map(holds.astype(np.float64))
    return found.where(holds)


def _signatures(matching: Matching, vector: Vector) -> list[Labels]:
    names = frozenset(matching.labels)
    if matching.on:
        return [tuple(p for p in labels if p[0] in names) for labels in vector.labels]
    return [
        tuple(p for p in labels if p[0] not in names and p[0] != "__name__")
        for labels in vector.labels
    ]


def _numbered(left: list[Labels], right: list[Labels]) -> tuple[Ints, Ints, int]:
    """Number equal signatures across both sides."""
    index: dict[Labels, int] = {}
    numbers = [index.setdefault(key, len(index)) for key in (*left, *right)]
    whole = np.array(numbers, np.int64)
    return whole[: len(left)], whole[len(left) :], len(index)


def _tally(cells: Bools, groups: Ints, count: int) -> Ints:
    """Count set cells by group and step."""
    total = np.zeros((count, cells.shape[1]), np.int64)
    np.add.at(total, groups, cells)
    return total


def _set(node: Binary, left: Vector, right: Vector) -> Vector:
    ours, theirs, count = _numbered(
        _signatures(node.matching, left), _signatures(node.matching, right)
    )
    if node.op != "or":
        seen: Bools = np.greater(_tally(right.present, theirs, count)[ours], 0)
        return left.where(seen if node.op == "and" else ~seen)
    covered: Bools = np.greater(_tally(left.present, ours, count)[theirs], 0)
    rest = right.where(~covered)
    both = Vector(
        left.labels + rest.labels,
        np.concatenate([left.values, rest.values]),
        np.concatenate([left.present, rest.present]),
        np.concatenate([left.drop, rest.drop]),
    )
    return merged(both.labels, both)


def _match(node: Binary, left: Vector, right: Vector, budget: Budget) -> Vector:
    """Combine each series of the "many" side with its partner on the "one" side."""
    steps = left.values.shape[1]
    swapped = node.matching.card is Card.ONE_TO_MANY
    many, one = (right, left) if swapped else (left, right)
    busy: Bools = np.any(many.present, axis=0) & np.any(one.present, axis=0)
    many, one = many.where(busy[None, :]), one.where(busy[None, :])
    many_keys, one_keys = _signatures(node.matching, many), _signatures(node.matching, one)
    _check_one_side(node, one, one_keys, side="left" if swapped else "right")
    partners = _partners(node.matching, one, one_keys)
    result: list[tuple[Labels, int]] = []
    values: list[Floats] = []
    present: list[Bools] = []
    matched: list[Bools] = []
    for row, key in enumerate(many_keys):
        if row % 256 == 0:
            budget.check()
        for included, others, cells in partners.get(key, ()):
            both = many.present[row] & cells
            if not both.any():
                continue
            here, there = many.values[row], others
            value, keep = _operate(node, *((there, here) if swapped else (here, there)))
            result.append((_result_labels(node, many.labels[row], included), row))
            values.append(value)
            present.append(both & keep)
            matched.append(both)
    if not result:
        return empty(steps)
    labels = [pair[0] for pair in result]
    rows = np.array([pair[1] for pair in result])
    _check_many_side(node, labels, [many_keys[row] for row in rows], np.stack(matched))
    drop = np.ones(len(rows), np.bool_) if node.return_bool else many.drop[rows]
    if node.op not in COMPARISONS:
        drop = np.zeros(len(rows), np.bool_)
    combined = Vector(labels, np.stack(values), np.stack(present), drop)
    return merged(labels, combined, clash=_many_to_one)


def _operate(node: Binary, left: Floats, right: Floats) -> tuple[Floats, Bools]:
    """Return values and where a result is kept at all."""
    with np.errstate(all="ignore"):
        if node.op not in COMPARISONS:
            return _ARITHMETIC[node.op](left, right), np.ones(left.shape, np.bool_)
        holds = _COMPARE[node.op](left, right)
    if node.return_bool:
        return holds.astype(np.float64), np.ones(left.shape, np.bool_)
    return left, holds


Partner = tuple[Labels, Floats, Bools]


def _partners(matching: Matching, one: Vector, keys: list[Labels]) -> dict[Labels, list[Partner]]:
    """Return, by signature, what the "one" side holds: labels to take over, values, presence."""
    wanted = [
        tuple((name, dict(labels).get(name, "")) for name in matching.include)
        for labels in one.labels
    ]
    pairs = list(zip(keys, wanted, strict=True))
    firsts, groups = grouped_rows(pairs)
    found: dict[Labels, list[Partner]] = {}
    for first, rows in zip(firsts, groups, strict=True):
        key, included = pairs[first]
        values, cells = one.values[rows[0]], one.present[rows[0]]
        if len(rows) > 1:
            values, cells = values.copy(), cells.copy()
            for row in rows[1:].tolist():
                values[one.present[row]] = one.values[row][one.present[row]]
                cells |= one.present[row]
        found.setdefault(key, []).append((included, values, cells))
    return found


def _result_labels(node: Binary, labels: Labels, included: Labels) -> Labels:
    matching = node.matching
    if node.op not in COMPARISONS:
        labels = without_name(labels)
    if matching.card is Card.ONE_TO_ONE:
        names = frozenset(matching.labels)
        labels = tuple(pair for pair in labels if (pair[0] in names) is matching.on)
    if not included:
        return labels
    return sorted_labels({**dict(labels), **dict(included)})


def _check_one_side(node: Binary, one: Vector, keys: list[Labels], *, side: str) -> None:
    firsts, groups = grouped_rows(keys)
    for first, rows in zip(firsts, groups, strict=True):
        if len(rows) == 1:
            continue
        crowded = one.present[rows].sum(axis=0) > 1
        if crowded.any():
            step = int(np.argmax(crowded))
            names = sorted(show(one.labels[row]) for row in rows if one.present[row, step])
            shown = dict(keys[first]) if node.matching.on else dict(without_name(keys[first]))
            raise QueryExecutionError(
                f"found duplicate series for the match group {show(tuple(shown.items()))} on the "
                f"{side} hand-side of the operation: [{', '.join(names[:2])}];many-to-many "
                "matching not allowed: matching labels must be unique on one side. Accepted: at "
                "most one series in each group there. Next: aggregate that side, or match on "
                "more labels."
            )


def _check_many_side(
    node: Binary, labels: list[Labels], keys: list[Labels], matched: Bools
) -> None:
    """A group may match once, or under ``group_left`` and ``group_right`` once by result."""
    identity: list[object] = (
        list(keys)
        if node.matching.card is Card.ONE_TO_ONE
        else list(zip(keys, labels, strict=True))
    )
    firsts, groups = grouped_rows(identity)
    for first, rows in zip(firsts, groups, strict=True):
        if len(rows) > 1 and (matched[rows].sum(axis=0) > 1).any():
            if node.matching.card is Card.ONE_TO_ONE:
                raise _many_to_one(keys[first])
            raise QueryExecutionError(
                "multiple matches for labels: grouping labels must ensure unique matches: got "
                f"{show(labels[first])} twice at one step. Accepted: one result by label set. "
                "Next: include labels that tell the series apart."
            )


def _many_to_one(labels: Labels) -> Exception:
    return QueryExecutionError(
        "multiple matches for labels: many-to-one matching must be explicit "
        f"(group_left/group_right): got several series for {show(labels)}. Accepted: one series "
        "by group on each side. Next: add group_left or group_right, or aggregate."
    )
