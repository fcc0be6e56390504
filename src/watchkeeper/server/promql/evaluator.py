"""Walks an expression and evaluates every step of the query at once."""

from __future__ import annotations

import numpy as np

from watchkeeper.errors import QueryLimitError
from watchkeeper.server.promql.aggregate import aggregate
from watchkeeper.server.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Number,
    Paren,
    Selector,
    String,
    Subquery,
    Unary,
    unwrap,
)
from watchkeeper.server.promql.binary import combine, negate
from watchkeeper.server.promql.context import Context, vector
from watchkeeper.server.promql.functions import HANDLERS
from watchkeeper.server.promql.selection import Source, flat_of_vector, windows
from watchkeeper.server.promql.values import Ints, Scalar, Value, Vector, Windows

__all__ = ["Evaluator"]


class Evaluator:
    """Evaluates expressions over one source."""

    def __init__(self, source: Source, *, subquery_step_ms: int, points_max: int) -> None:
        self._source = source
        self._budget = source.budget
        self._subquery_step_ms = subquery_step_ms
        self._points_max = points_max

    def eval(self, node: Expr, times: Ints) -> Value:
        """Return the value of *node* at each of *times*, ascending Unix milliseconds.

        Raises:
            QueryExecutionError: Series cannot be combined as asked.
            QueryLimitError: The evaluation crosses a limit.
            QueryCanceledError: The caller has left.
        """
        self._budget.check()
        match node:
            case Number() | String():
                return _literal(node, times)
            case Paren():
                return self.eval(unwrap(node), times)
            case Selector():
                return self._source.instant(node, times)[0]
            case MatrixSelector():
                return self._source.ranges(node.selector, node.range_ms, times)
            case Subquery():
                return self._subquery(node, times)
            case Unary():
                return negate(self.eval(node.expr, times))
            case Call():
                return self._call(node, times)
            case Aggregate():
                param = None if node.param is None else self.eval(node.param, times)
                return aggregate(node, vector(self.eval(node.expr, times)), param, self._budget)
            case Binary():
                return combine(
                    node, self.eval(node.lhs, times), self.eval(node.rhs, times), self._budget
                )

    def _call(self, node: Call, times: Ints) -> Value:
        if node.name == "timestamp":
            return self._timestamp(node, times)
        args = [self.eval(arg, times) for arg in node.args]
        return HANDLERS[node.name](Context(node, times, self._budget), args)

    def _timestamp(self, node: Call, times: Ints) -> Vector:
        inner = unwrap(node.args[0])
        if isinstance(inner, Selector):
            found, taken = self._source.instant(inner, times)
            return found.map(taken / 1000)
        found = vector(self.eval(inner, times))
        return found.map(np.broadcast_to(times / 1000, found.values.shape).copy())

    def _subquery(self, node: Subquery, times: Ints) -> Windows:
        step = node.step_ms or self._subquery_step_ms
        moments = self._source.moments(times, node.at, node.offset_ms)
        first = (int(moments.min()) - node.range_ms) // step * step + step
        count = max(0, (int(moments.max()) - first) // step + 1)
        if count > self._points_max * 10:
            raise QueryLimitError(
                f"subquery has too many steps: got {count}. Accepted: up to "
                f"{self._points_max * 10}. Next: raise the subquery's step or narrow its range."
            )
        grid = first + step * np.arange(count, dtype=np.int64)
        if not count:
            grid = np.array([int(moments.max())], np.int64)
        found = vector(self.eval(node.expr, grid))
        if not count:
            found = found.where(np.zeros((1, 1), np.bool_))
        return windows(flat_of_vector(found, grid), moments, node.range_ms, found.drop)


def _literal(node: Number | String, times: Ints) -> Value:
    if isinstance(node, String):
        return node.value
    return Scalar(np.full(len(times), node.value))
