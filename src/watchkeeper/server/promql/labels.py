"""Functions over label sets, presence and order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from watchkeeper.server.promql.ast import Expr, MatrixSelector, Selector, unwrap
from watchkeeper.server.promql.budget import QueryExecutionError
from watchkeeper.server.promql.context import Context, Function, text, vector, windows
from watchkeeper.server.promql.regex import compiled
from watchkeeper.server.promql.values import Value, Vector, merged
from watchkeeper.server.series import Labels, MatchOp, sorted_labels

__all__ = ["LABELS", "sort_rows"]

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def _label_replace(_context: Context, args: list[Value]) -> Vector:
    found = vector(args[0])
    target, template, source, pattern = (text(arg) for arg in args[1:5])
    _check_label(target, "label_replace")
    regex = compiled(pattern)
    drop = found.drop.copy()
    changed: list[Labels] = []
    for row, labels in enumerate(found.labels):
        known = dict(labels)
        match = regex.fullmatch(known.get(source, ""))
        if match is None:
            changed.append(labels)
            continue
        known[target] = _expand(template, match)
        drop[row] &= target != "__name__"
        changed.append(sorted_labels(known))
    return merged(changed, Vector(found.labels, found.values, found.present, drop))


def _expand(template: str, match: Any) -> str:
    """Replace ``$1``, ``${1}`` and ``$name`` by groups of *match*; unknown ones by nothing."""
    named: dict[str, int] = match.re.groupindex
    most: int = match.re.groups

    def one(reference: re.Match[str]) -> str:
        if reference.group() == "$$":
            return "$"
        name = reference.group(1) or reference.group(2)
        index = int(name) if name.isdigit() else named.get(name, -1)
        if not 0 <= index <= most:
            return ""
        found: str | None = match.group(index)
        return found or ""

    return _REFERENCE.sub(one, template)


def _check_label(name: str, function: str) -> None:
    if not name:
        raise QueryExecutionError(
            f'invalid label name in {function}(): got "". Accepted: any text but the empty one. '
            "Next: name the label to set."
        )


def _label_join(_context: Context, args: list[Value]) -> Vector:
    found = vector(args[0])
    target, separator, *sources = (text(arg) for arg in args[1:])
    _check_label(target, "label_join")
    drop = found.drop.copy()
    if target == "__name__":
        drop[:] = False
    changed: list[Labels] = []
    for labels in found.labels:
        known = dict(labels)
        known[target] = separator.join(known.get(source, "") for source in sources)
        changed.append(sorted_labels(known))
    return merged(changed, Vector(found.labels, found.values, found.present, drop))


def _absent_labels(arg: Expr) -> Labels:
    """Return the labels that the absent series would have had for certain."""
    node = unwrap(arg)
    if isinstance(node, MatrixSelector):
        node = node.selector
    if not isinstance(node, Selector):
        return ()
    known: dict[str, str] = {}
    clashing: set[str] = set()
    for matcher in node.matchers:
        if matcher.name == "__name__":
            continue
        if matcher.op is MatchOp.EQUAL and matcher.name not in known:
            known[matcher.name] = matcher.value
        else:
            clashing.add(matcher.name)
    return sorted_labels({name: value for name, value in known.items() if name not in clashing})


def _absent(context: Context, args: list[Value]) -> Vector:
    found = vector(args[0])
    return _ones(context, ~found.present.any(axis=0))


def _absent_over_time(context: Context, args: list[Value]) -> Vector:
    found = windows(args[0])
    return _ones(context, ~(found.counts > 0).any(axis=0))


def _ones(context: Context, missing: Any) -> Vector:
    present = np.asarray(missing, np.bool_).reshape(1, -1)
    labels = _absent_labels(context.call.args[0])
    return Vector([labels], np.ones(present.shape), present, np.zeros(1, np.bool_))


def sort_rows(found: Vector, keys: Sequence[int]) -> Vector:
    """Return *found* with its rows in the order of *keys*, an order that is to be kept."""
    order = np.asarray(keys, np.int64)
    return Vector(
        [found.labels[row] for row in order.tolist()],
        found.values[order],
        found.present[order],
        found.drop[order],
        ordered=True,
    )


def _sort(*, descending: bool) -> Function:
    def function(context: Context, args: list[Value]) -> Vector:
        found = vector(args[0])
        if found.values.shape[1] != 1:
            context.notes.warn(
                "sort is ineffective for range queries since results are always ordered by labels"
            )
            return found
        values = found.values[:, 0]
        nans = np.isnan(values)
        filled = np.where(nans, 0.0, -values if descending else values)
        return sort_rows(found, np.lexsort((filled, nans)).tolist())

    return function


LABELS: dict[str, Function] = {
    "label_replace": _label_replace,
    "label_join": _label_join,
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "sort": _sort(descending=False),
    "sort_desc": _sort(descending=True),
}
