"""The physical dimension of a PromQL expression, where its text decides it."""

from __future__ import annotations

from collections import Counter

import promql_parser as pp

from watchkeeper.define.model import Unit
from watchkeeper.vocabulary.metrics import METRIC_BY_SERIES

__all__ = ["Dimension", "dimension", "fits"]

Dimension = dict[str, int]
"""Exponents of ``s``, ``By`` and ``USD``; counted things have no dimension, as in UCUM."""

_BASES = {"s", "By", "USD"}
_PER_SECOND = {"rate", "irate", "deriv"}
_KEEPING = {
    "abs", "avg_over_time", "ceil", "clamp", "clamp_max", "clamp_min", "delta", "floor",
    "idelta", "increase", "label_join", "label_replace", "last_over_time", "max_over_time",
    "min_over_time", "round", "sort", "sort_desc", "sum_over_time",
}  # fmt: skip
_ACCEPTED: dict[Unit, tuple[Dimension, ...]] = {
    Unit.REQUESTS_PER_S: ({"s": -1},),
    Unit.OPS: ({"s": -1},),
    Unit.SECONDS: ({"s": 1},),
    Unit.BYTES: ({"By": 1},),
    Unit.RATIO: ({},),
    Unit.COUNT: ({},),
    Unit.USD: ({"USD": 1}, {"USD": 1, "s": -1}),
    Unit.TOKENS: ({}, {"s": -1}),
}


def fits(unit: Unit, measured: Dimension) -> bool:
    """Return whether numbers of dimension *measured* may be shown in *unit*.

    A dimensionless factor such as ``* 3600`` is not seen, so dollars per hour pass as dollars.
    """
    return measured in _ACCEPTED[unit]


def dimension(expr: pp.Expr) -> Dimension | None:
    """Return the dimension of *expr*, or None where it cannot be told."""
    if isinstance(expr, pp.NumberLiteral):
        return {}
    if isinstance(expr, (pp.VectorSelector, pp.MatrixSelector)):
        selector = expr.vector_selector if isinstance(expr, pp.MatrixSelector) else expr
        return _series(selector.name or "")
    if isinstance(expr, (pp.ParenExpr, pp.UnaryExpr, pp.SubqueryExpr)):
        return dimension(expr.expr)
    if isinstance(expr, pp.AggregateExpr):
        counts = str(expr.op) in {"count", "group", "count_values"}
        return {} if counts else dimension(expr.expr)
    if isinstance(expr, pp.BinaryExpr):
        return _binary(expr)
    return _call(expr) if isinstance(expr, pp.Call) else None


def _series(name: str) -> Dimension | None:
    if name in {"up", "ALERTS", "scrape_samples_scraped"}:
        return {}
    metric = METRIC_BY_SERIES.get(name)
    if metric is None:
        return None
    if name.endswith("_count") and metric.buckets:
        return {}
    return {metric.unit: 1} if metric.unit in _BASES else {}


def _call(call: pp.Call) -> Dimension | None:
    name = call.func.name
    if name == "time":
        return {"s": 1}
    if name in {"vector", "scalar"}:
        return dimension(call.args[0])
    if name == "histogram_quantile":
        inner = dimension(call.args[1])
        return None if inner is None else _times(inner, {"s": 1})
    if name in _PER_SECOND:
        inner = dimension(call.args[0])
        return None if inner is None else _times(inner, {"s": -1})
    return dimension(call.args[0]) if name in _KEEPING else None


def _binary(expr: pp.BinaryExpr) -> Dimension | None:
    left, right = dimension(expr.lhs), dimension(expr.rhs)
    sign = str(expr.op)
    if sign in {"*", "/"}:
        if left is None or right is None:
            return None
        factor = 1 if sign == "*" else -1
        return _times(left, {base: factor * power for base, power in right.items()})
    return left


def _times(left: Dimension, right: Dimension) -> Dimension:
    product = Counter(left)
    product.update(right)
    return {base: power for base, power in product.items() if power}
