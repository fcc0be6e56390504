"""The query list of Prometheus' compliance project: everything parses and evaluates."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
import yaml
from tests.corpora import corpus

from watchkeeper.errors import QueryError, QueryParseError
from watchkeeper.server.promql import Engine, QueryExecutionError
from watchkeeper.server.promql.memory import MemoryQueryable
from watchkeeper.server.series import Series, sorted_labels

# The variants that the compliance tester's documentation lists for each placeholder.
_VARIANTS = {
    "range": ["1s", "15s", "1m", "5m", "15m", "1h"],
    "offset": ["1m", "5m", "10m"],
    "simpleAggrOp": ["sum", "avg", "max", "min", "count", "stddev", "stdvar"],
    "topBottomOp": ["topk", "bottomk"],
    "quantile": ["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"],
    "simpleMathFunc": ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn",
                       "sin", "cos", "tan"],
    "trigFunc": ["asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
                 "deg", "rad"],
    "extrapolatedRateFunc": ["delta", "rate", "increase"],
    "instantRateFunc": ["idelta", "irate"],
    "simpleTimeAggrOp": ["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent",
                         "last", "present"],
    "clampFunc": ["clamp_min", "clamp_max"],
    "dateFunc": ["day_of_month", "day_of_week", "days_in_month", "hour", "minute", "month",
                 "year"],
    "arithBinOp": ["+", "-", "*", "/", "%", "^"],
    "compBinOp": ["==", "!=", "<", ">", "<=", ">="],
    "binOp": ["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="],
    "setBinOp": ["and", "or", "unless"],
    "smoothingFactor": ["0.1", "0.5", "0.8"],
    "trendFactor": ["0.1", "0.5", "0.8"],
}  # fmt: skip


def _expanded(case: dict[str, Any]) -> list[str]:
    names = case.get("variant_args", [])
    template = re.sub(r"\{\{\.(\w+)\}\}", r"{{\1}}", case["query"])
    queries = []
    for choice in itertools.product(*(_VARIANTS[name] for name in names)):
        query = template
        for name, value in zip(names, choice, strict=True):
            query = query.replace("{{" + name + "}}", value)
        queries.append(query)
    return queries


def _cases() -> list[tuple[str, bool]]:
    text = (corpus("promql-compliance") / "promql-test-queries.yml").read_text(encoding="utf-8")
    cases = yaml.safe_load(text)["test_cases"]
    return [(q, bool(c.get("should_fail"))) for c in cases for q in _expanded(c)]


def _engine() -> Engine:
    t = np.arange(0, 3_600_000, 15_000, dtype=np.int64)
    series = []
    for name in (
        "demo_memory_usage_bytes", "demo_cpu_usage_seconds_total", "demo_num_cpus",
        "demo_disk_usage_bytes", "demo_api_request_duration_seconds_bucket",
        "demo_batch_last_success_timestamp_seconds", "demo_intermittent_metric",
    ):  # fmt: skip
        for number, mode in enumerate(("idle", "user")):
            labels = {"__name__": name, "instance": f"demo.promlabs.com:1000{number}",
                      "job": "demo", "type": mode, "mode": mode, "le": str(number)}  # fmt: skip
            if name == "demo_num_cpus":
                labels = {"__name__": name, "instance": labels["instance"], "job": "demo"}
            series.append(Series(sorted_labels(labels), t, t / 1000.0 * (number + 1)))
    return Engine(MemoryQueryable(series))


def test_every_query_parses_and_evaluates() -> None:
    """A query of the list gives a result, or the error that the list expects."""
    engine = _engine()
    cases = _cases()
    unexpected = []
    for query, should_fail in cases:
        try:
            engine.range(query, 1_800_000, 3_600_000, 60_000)
        except QueryExecutionError:
            continue  # which series match depends on the data, and ours is not theirs
        except QueryError as error:
            if not should_fail:
                unexpected.append((query, str(error)))
        else:
            if should_fail and "~invalid" not in query:  # a valid label name since version 3
                unexpected.append((query, "should fail"))
    assert [] == unexpected
    assert len(cases) > 500


@pytest.mark.parametrize("query", ["{__name__=~'.*'}", "count_values('', up)"])
def test_a_query_that_must_fail_names_the_reason(query: str) -> None:
    """Failing is an error of ours, never a crash."""
    with pytest.raises((QueryParseError, QueryExecutionError)):
        _engine().instant(query, 0)
