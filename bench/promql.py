"""Times dashboard-like queries over series in memory; prints one JSON object.

Run: python bench/promql.py [--series 5000] [--minutes 60]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from watchkeeper.server.api.prometheus_json import query_answer
from watchkeeper.server.promql import Engine
from watchkeeper.server.promql.memory import MemoryQueryable
from watchkeeper.server.series import Series, sorted_labels

_STEP_MS = 15_000
_BOUNDS = ("0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
_QUERIES = (
    "m_total",
    "rate(m_bucket[5m])",
    "sum(rate(m_bucket[5m]))",
    "sum by (route) (rate(m_bucket[5m]))",
    'sum by (route) (rate(m_bucket{route="r1"}[5m]))',
    "histogram_quantile(0.95, sum by (le) (rate(m_bucket[5m])))",
    "histogram_quantile(0.95, sum by (le, route, pod) (rate(m_bucket[5m])))",
    "topk(5, rate(m_bucket[5m]))",
    "avg_over_time(m_bucket[5m])",
    "max_over_time(m_bucket[1h])",
    "quantile_over_time(0.9, m_bucket[5m])",
    "m_bucket / on (route, pod, le) group_left m_total",
    "sum(m_bucket > 100) or vector(0)",
)


def _source(series: int, minutes: int) -> MemoryQueryable:
    random = np.random.default_rng(1)
    t_ms = np.arange(0, minutes * 60_000 + 1, _STEP_MS, dtype=np.int64)
    source = MemoryQueryable()
    for number in range(series):
        labels = {
            "le": _BOUNDS[number % len(_BOUNDS)],
            "route": f"r{number // len(_BOUNDS) % 20}",
            "pod": f"p{number // len(_BOUNDS) // 20}",
            "job": "api",
        }
        values = np.cumsum(random.poisson(3, len(t_ms))).astype(np.float64)
        for name in ("m_bucket", "m_total"):
            labels["__name__"] = name
            source.add(Series(sorted_labels(labels), t_ms, values))
    return source


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=5_000)
    options.add_argument("--minutes", type=int, default=60)
    given = options.parse_args()
    engine = Engine(_source(given.series, given.minutes))
    end = given.minutes * 60_000
    figures = {}
    for query in _QUERIES:
        instant, ranged = [], []
        size = count = 0
        for _ in range(3):
            began = time.perf_counter()
            engine.instant(query, end)
            instant.append(time.perf_counter() - began)
            began = time.perf_counter()
            result = engine.range(query, 0, end, 60_000)
            ranged.append(time.perf_counter() - began)
            count = len(result.series)
        began = time.perf_counter()
        size = len(query_answer(result, limit=0, stats=None))
        encoded = time.perf_counter() - began
        figures[query] = {
            "instant_ms": round(min(instant) * 1000, 1),
            "range_61_steps_ms": round(min(ranged) * 1000, 1),
            "series_out": count,
            "json_bytes": size,
            "json_ms": round(encoded * 1000, 1),
        }
    samples = given.series * (given.minutes * 4 + 1)
    print(json.dumps({"series": given.series, "samples": samples, "queries": figures}, indent=1))


if __name__ == "__main__":
    main()
