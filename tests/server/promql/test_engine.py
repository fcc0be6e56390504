"""The engine's rules: limits, time, cancellation, staleness, shape of results."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from watchkeeper.errors import QueryLimitError, QueryParseError, QueryRefusedError
from watchkeeper.server.promql import (
    Engine,
    Options,
    QueryCanceledError,
    QueryExecutionError,
    QueryShapeError,
    QueryTimeoutError,
)
from watchkeeper.server.promql.memory import MemoryQueryable
from watchkeeper.server.series import STALE_NAN, Series, sorted_labels

MINUTE = 60_000


def _series(values: Sequence[float], *, step_ms: int = MINUTE, **labels: str) -> Series:
    name = labels.pop("name", "x")
    t_ms = np.arange(len(values), dtype=np.int64) * step_ms
    return Series(sorted_labels({"__name__": name, **labels}), t_ms, np.array(values, np.float64))


def _engine(*series: Series, **settings: float) -> Engine:
    return Engine(MemoryQueryable(series), **settings)  # type: ignore[arg-type] # numbers all


class _Ticking:
    """A clock that moves by a second whenever it is read."""

    def __init__(self) -> None:
        self._now = 0

    def now_ns(self) -> int:
        """Return the present."""
        return self.monotonic_ns()

    def monotonic_ns(self) -> int:
        """Move on by a second."""
        self._now += 1_000_000_000
        return self._now


def test_each_type_of_result_has_its_own_shape() -> None:
    """Vector, matrix, scalar and string."""
    engine = _engine(_series([1, 2, 3]))
    assert ("vector", [2.0]) == (
        engine.instant("x", MINUTE).type,
        [one.values[0] for one in engine.instant("x", MINUTE).series],
    )
    assert (MINUTE, 2.0) == engine.instant("1 + 1", MINUTE).data
    assert (MINUTE, "a") == engine.instant("'a'", MINUTE).data
    raw = engine.instant("x[2m]", 2 * MINUTE)
    assert ("matrix", [2.0, 3.0]) == (raw.type, raw.series[0].values.tolist())
    assert [0, MINUTE] == engine.range("x", 0, MINUTE, MINUTE).series[0].t_ms.tolist()
    assert () == engine.range("1", 0, MINUTE, MINUTE).series[0].labels


def test_a_staleness_marker_ends_a_series_at_once() -> None:
    """Without the marker a sample counts for five minutes, not including the fifth."""
    lasting, ended = _series([1.0], name="a"), _series([1.0, STALE_NAN], name="b")
    engine = _engine(lasting, ended)
    assert 1 == len(engine.instant("a", 5 * MINUTE - 1).series)
    assert [] == engine.instant("a", 5 * MINUTE).series
    assert [] == engine.instant("b", MINUTE).series
    options = Options(lookback_s=30)
    assert [] == engine.instant("a", 30_000, options).series


def test_more_steps_than_allowed_are_refused_before_anything_is_loaded() -> None:
    """11,000 points are answered, 11,001 are not."""
    engine = _engine()
    assert [] == engine.range("x", 0, 10_999_000, 1_000).series
    with pytest.raises(QueryShapeError, match="11,000"):
        engine.range("x", 0, 11_000_000, 1_000)


def test_more_samples_than_allowed_are_refused() -> None:
    """Loaded samples and cells of intermediate results count."""
    engine = _engine(_series([1.0] * 100), samples_max=150)
    assert [] != engine.instant("x[100m]", 99 * MINUTE).series
    with pytest.raises(QueryLimitError, match="query_samples_max"):
        engine.range("x", 0, 99 * MINUTE, MINUTE)


def test_a_subquery_cannot_have_millions_of_steps() -> None:
    """A fine subquery over a long range is refused, not attempted."""
    with pytest.raises(QueryLimitError, match="subquery"):
        _engine(_series([1.0])).instant("max_over_time(x[10y:1s])", 0)


def test_a_query_ends_at_its_deadline() -> None:
    """The clock is read between nodes."""
    engine = Engine(MemoryQueryable([_series([1.0])]), clock=_Ticking(), timeout_s=3)
    with pytest.raises(QueryTimeoutError):
        engine.instant("x + x + x + x", 0)


def test_a_query_ends_when_nobody_waits() -> None:
    """The caller's hook stops the work."""
    with pytest.raises(QueryCanceledError):
        _engine().instant("x", 0, Options(cancelled=lambda: True))


def test_the_deepest_query_allowed_is_evaluated() -> None:
    """What the scan lets through does not overflow Python's stack."""
    engine = _engine(_series([1.0]))
    assert 1.0 == engine.instant("abs(" * 249 + "x" + ")" * 249, 0).series[0].values[0]
    assert (0, 250.0) == engine.instant("+".join(["1"] * 250), 0).data


@pytest.mark.parametrize("query", ["x[5m]", "'text'", "x[5m:1m]"])
def test_a_range_query_takes_scalars_and_instant_vectors_only(query: str) -> None:
    """Range vectors and strings have no value by step."""
    with pytest.raises(QueryParseError):
        _engine(_series([1.0])).range(query, 0, MINUTE, MINUTE)


@pytest.mark.parametrize(("start", "end", "step"), [(1, 0, 1), (0, 1, 0), (0, 1, -1)])
def test_a_range_must_be_one(start: int, end: int, step: int) -> None:
    """The end lies not before the start, and the step is positive."""
    with pytest.raises(QueryParseError):
        _engine().range("x", start, end, step)


def test_an_empty_source_gives_empty_results() -> None:
    """Every function and operator copes with no series."""
    engine = _engine()
    queries = (
        "rate(x[5m])", "sum(x)", "topk(3, x)", "quantile(0.5, x)", "count_values('v', x)",
        "histogram_quantile(0.9, x)", "x + x", "x and x", "x or x", "deriv(x[5m])", "x > 1",
        "quantile_over_time(0.5, x[5m])", "min_over_time(x[5m])", "label_replace(x,'a','','b','')",
        "stddev_over_time(x[5m])", "avg_over_time(x[5m])", "rate(rate(x[1m])[5m:1m])", "sort(x)",
        "timestamp(x)", "changes(x[5m])", "predict_linear(x[5m], 60)", "-x", "avg(x)",
    )  # fmt: skip
    assert [[]] * len(queries) == [engine.range(q, 0, MINUTE, MINUTE).series for q in queries]
    assert 1 == len(engine.instant("absent(x)", 0).series)
    assert math.isnan(float(engine.instant("scalar(x)", 0).data[1]))  # type: ignore[arg-type] # a number


def test_a_rate_never_goes_below_zero_after_a_reset() -> None:
    """A counter that falls has started anew."""
    engine = _engine(_series([0, 60, 120, 0, 60, 120], name="x_total"))
    values = engine.range("rate(x_total[3m])", MINUTE, 5 * MINUTE, MINUTE).series[0].values
    assert (values > 0).all()


def test_series_that_become_equal_are_an_error() -> None:
    """Dropping the name may not silently join two series."""
    engine = _engine(_series([1.0], name="a"), _series([2.0], name="b"))
    with pytest.raises(QueryExecutionError, match="same labelset"):
        engine.instant('-{__name__=~"a|b"}', 0)


def test_long_windows_and_short_ones_agree_with_a_direct_computation() -> None:
    """Windows are folded in blocks; any length gives the plain minimum and maximum."""
    random = np.random.default_rng(7)
    values = random.normal(size=300)
    engine = _engine(_series(list(values), step_ms=1000))
    for length in (1, 2, 3, 7, 64, 200):
        found = engine.instant(f"max_over_time(x[{length}s])", 299_000).series[0].values[0]
        assert max(values[300 - length :]) == found
        total = engine.instant(f"sum_over_time(x[{length}s])", 299_000).series[0].values[0]
        assert math.isclose(math.fsum(values[300 - length :]), total, rel_tol=1e-12)


def test_native_histograms_are_refused() -> None:
    """A selector that meets one gives a refusal, never a number."""
    source = MemoryQueryable([_series([1.0])])
    source.add_foreign((("__name__", "h"),), [0])
    with pytest.raises(QueryRefusedError, match="native histograms"):
        Engine(source).instant("h", 0)
    assert 1 == len(Engine(source).instant("x", 0).series)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$"])
def test_a_hostile_regular_expression_takes_no_time(pattern: str) -> None:
    """RE2 has no exponential patterns."""
    engine = _engine(_series([1.0], host="a" * 5_000 + "!"))
    assert [] == engine.instant(f'x{{host=~"{pattern}"}}', 0).series


def test_regular_expressions_are_anchored_and_the_dot_matches_newlines() -> None:
    """As in Prometheus 3."""
    engine = _engine(_series([1.0], a="one\ntwo"))
    assert 1 == len(engine.instant('x{a=~"one.two"}', 0).series)
    assert 0 == len(engine.instant('x{a=~"one"}', 0).series)
