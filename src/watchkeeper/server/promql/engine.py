"""The PromQL engine: text in, result out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import QueryLimitError, QueryParseError
from watchkeeper.server.promql.ast import Expr, MatrixSelector, Subquery, unwrap
from watchkeeper.server.promql.budget import Budget, QueryShapeError
from watchkeeper.server.promql.evaluator import Evaluator
from watchkeeper.server.promql.parser import parse
from watchkeeper.server.promql.selection import Source
from watchkeeper.server.promql.values import Ints, Scalar, Value, Vector, Windows, dropped
from watchkeeper.server.series import Queryable, Series
from watchkeeper.vocabulary.limits import limit

__all__ = ["Engine", "Options", "Result"]

ResultType = Literal["vector", "matrix", "scalar", "string"]


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a query.

    Attributes:
        type: ``vector``, ``matrix``, ``scalar`` or ``string``.
        data: Series for ``vector`` (one sample each) and ``matrix``; else the step's Unix
            milliseconds and the number or text.
        warnings: The result is probably not what was meant, and why.
        infos: The result may not be what was meant, and why.
    """

    type: ResultType
    data: list[Series] | tuple[int, float] | tuple[int, str]
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()

    @property
    def series(self) -> list[Series]:
        """The series of a vector or matrix; empty for other types."""
        return self.data if isinstance(self.data, list) else []


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Options:
    """What one query may differ in.

    Attributes:
        timeout_s: Seconds the query may take; cut to the engine's own.
        lookback_s: Seconds for which a sample counts as current; None takes the engine's.
        cancelled: Asked now and then; true stops the query.
    """

    timeout_s: float | None = None
    lookback_s: float | None = None
    cancelled: Callable[[], bool] = _never


_DEFAULT = Options()


class Engine:
    """Answers PromQL over a source of series. Thread-safe if the source is.

    Args:
        queryable: Where samples come from.
        clock: Read for timeouts only.
        lookback_s: Seconds for which a sample counts as current.
        subquery_step_s: Step of subqueries that name none.
        timeout_s: Seconds that a query may take.
        samples_max: Samples that a query may hold at once.
        points_max: Steps that a range query may have.
    """

    def __init__(
        self,
        queryable: Queryable,
        *,
        clock: Clock | None = None,
        lookback_s: float = 300,
        subquery_step_s: float = 60,
        timeout_s: float = limit("query_timeout_s_max"),
        samples_max: int = limit("query_samples_max"),
        points_max: int = limit("query_points_max"),
    ) -> None:
        self._queryable = queryable
        self._clock = clock or SystemClock()
        self._lookback_s = lookback_s
        self._subquery_step_ms = round(subquery_step_s * 1000)
        self.timeout_s = timeout_s
        self._samples_max = samples_max
        self._points_max = points_max

    def instant(self, query: str, t_ms: int, options: Options = _DEFAULT) -> Result:
        """Evaluate *query* at one moment in Unix milliseconds.

        Raises:
            QueryParseError: The query is not PromQL.
            QueryRefusedError: It asks for what this engine does not do.
            QueryLimitError: It crosses a limit; `QueryTimeoutError` if that is time,
                `QueryShapeError` if that is the text itself.
            QueryExecutionError: Series cannot be combined as asked.
            QueryCanceledError: ``options.cancelled`` said so.
        """
        expr = parse(query)
        times = np.array([t_ms], np.int64)
        value, budget = self._evaluate(expr, times, options)
        warnings, infos = tuple(budget.notes.warnings), tuple(budget.notes.infos)
        if isinstance(value, str):
            return Result("string", (t_ms, value), warnings, infos)
        if isinstance(value, Scalar):
            return Result("scalar", (t_ms, float(value.values[0])), warnings, infos)
        if isinstance(value, Windows):
            return Result("matrix", _raw(value), warnings, infos)
        series = _series(dropped(value), times)
        return Result("vector", series, warnings, infos)

    def range(
        self,
        query: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        options: Options = _DEFAULT,
    ) -> Result:
        """Evaluate *query* from *start_ms* to *end_ms* inclusive, every *step_ms*.

        Raises:
            QueryParseError: As `instant`; also if the times make no range, or if the query gives
                a string or a range vector.
            QueryRefusedError: As `instant`.
            QueryLimitError: As `instant`; `QueryShapeError` if there are too many steps.
            QueryExecutionError: As `instant`.
            QueryCanceledError: As `instant`.
        """
        self._check_range(start_ms, end_ms, step_ms)
        expr = parse(query)
        if isinstance(unwrap(expr), MatrixSelector | Subquery):
            raise QueryParseError(
                "invalid expression type for range query: got a range vector. Accepted: a scalar "
                "or an instant vector. Next: wrap it, for example in rate().",
                0,
            )
        times = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        value, budget = self._evaluate(expr, times, options)
        if isinstance(value, str | Windows):
            raise QueryParseError(
                "invalid expression type for range query: got a string. Accepted: a scalar or an "
                "instant vector. Next: ask for it as an instant query.",
                0,
            )
        if isinstance(value, Scalar):
            series = [Series((), times, value.values)]
        else:
            series = sorted(_series(dropped(value), times), key=lambda one: one.labels)
        notes = budget.notes
        return Result("matrix", series, tuple(notes.warnings), tuple(notes.infos))

    def _check_range(self, start_ms: int, end_ms: int, step_ms: int) -> None:
        if step_ms <= 0 or end_ms < start_ms:
            raise QueryParseError(
                f"not a range: got start {start_ms}, end {end_ms} and step {step_ms}, in "
                "milliseconds. Accepted: an end not before the start and a step above zero. "
                "Next: correct them.",
                0,
            )
        points = (end_ms - start_ms) // step_ms + 1
        if points > self._points_max:
            raise QueryShapeError(
                "exceeded maximum resolution of "
                f"{self._points_max:,} points per timeseries: got {points:,}. "
                f"Accepted: up to {self._points_max:,} (query_points_max). "
                "Next: raise the step or narrow the range."
            )

    def _evaluate(self, expr: Expr, times: Ints, options: Options) -> tuple[Value, Budget]:
        timeout_s = self.timeout_s
        if options.timeout_s is not None:
            timeout_s = min(timeout_s, options.timeout_s)
        budget = Budget(
            clock=self._clock,
            deadline_ns=self._clock.monotonic_ns() + round(timeout_s * 1e9),
            samples_max=self._samples_max,
            cancelled=options.cancelled,
        )
        lookback_s = self._lookback_s if options.lookback_s is None else options.lookback_s
        source = Source(
            self._queryable, budget, round(lookback_s * 1000), int(times[0]), int(times[-1])
        )
        evaluator = Evaluator(
            source, subquery_step_ms=self._subquery_step_ms, points_max=self._points_max
        )
        try:
            return evaluator.eval(expr, times), budget
        except MemoryError:
            raise QueryLimitError(
                "query too large: got no memory for it. Accepted: what fits query_samples_max. "
                "Next: select fewer series, narrow the range, or raise the step."
            ) from None


def _series(vector: Vector, times: Ints) -> list[Series]:
    """Return the samples of *vector* as series, those without samples left out."""
    found: list[Series] = []
    whole: list[bool] = np.all(vector.present, axis=1).tolist()
    some: list[bool] = np.any(vector.present, axis=1).tolist()
    for row, labels in enumerate(vector.labels):
        if whole[row]:
            found.append(Series(labels, times, vector.values[row]))
        elif some[row]:
            cells = vector.present[row]
            found.append(Series(labels, times[cells], vector.values[row][cells]))
    return found


def _raw(found: Windows) -> list[Series]:
    """Return the samples of the only step's windows as they are."""
    series: list[Series] = []
    for row, labels in enumerate(found.labels):
        part = slice(int(found.lo[row, 0]), int(found.hi[row, 0]))
        if part.stop > part.start:
            series.append(Series(labels, found.t_ms[part], found.values[part]))
    return series
