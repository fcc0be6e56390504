"""Cost of updating counters and histograms, and of an exposition, beside prometheus_client.

Prints one line per variant and, last, all figures as JSON (CPU time, best of rounds).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import prometheus_client
from prometheus_client.openmetrics import exposition as openmetrics

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME

ROUNDS, UPDATES, SERIES = 5, 200_000, 5_000
HTTP = METRIC_BY_NAME["http.server.request.duration"]
COST = METRIC_BY_NAME["llm.cost"]


def best_s(run: Callable[[], object], times: int) -> float:
    """Return the best of several rounds, in seconds for one call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(times):
            run()
        rounds.append((time.thread_time() - start) / times)
    return min(rounds)


def updates() -> dict[str, float]:
    """Measure single updates: the look-up by label values included, and on a kept child."""
    ours = MetricSet(clock=SystemClock(), include_prometheus_client=False)
    registry = prometheus_client.CollectorRegistry()
    their_counter = prometheus_client.Counter("c", "c", COST.label_names, registry=registry)
    their_histogram = prometheus_client.Histogram(
        "h", "h", HTTP.label_names, buckets=HTTP.buckets, registry=registry
    )
    counter, histogram = ours.counter(COST.name), ours.histogram(HTTP.name)
    cost = ("openai", "gpt", "planner", "")
    http = ("GET", "/items/{id}", "200", "http", "")
    counter_child, histogram_child = counter.child(cost), histogram.child(http)
    their_counter_child = their_counter.labels(*cost)
    their_histogram_child = their_histogram.labels(*http)
    runs: dict[str, Callable[[], object]] = {
        "counter_us": lambda: counter.child(cost).inc(),
        "counter_kept_us": counter_child.inc,
        "histogram_us": lambda: histogram.child(http).observe(0.03),
        "histogram_kept_us": lambda: histogram_child.observe(0.03),
        "histogram_exemplar_us": lambda: histogram_child.observe(0.03, (1, 2)),
        "prometheus_client_counter_us": lambda: their_counter.labels(*cost).inc(),
        "prometheus_client_counter_kept_us": their_counter_child.inc,
        "prometheus_client_histogram_us": lambda: their_histogram.labels(*http).observe(0.03),
        "prometheus_client_histogram_kept_us": lambda: their_histogram_child.observe(0.03),
    }
    return {name: round(best_s(run, UPDATES) * 1e6, 3) for name, run in runs.items()}


def exposition() -> dict[str, float]:
    """Measure the text of about 5,000 series of one histogram with exemplars."""
    per_child = len(HTTP.buckets) + 3
    children = SERIES // per_child
    ours = MetricSet(clock=SystemClock(), include_prometheus_client=False)
    registry = prometheus_client.CollectorRegistry()
    theirs = prometheus_client.Histogram(
        HTTP.prometheus_name, HTTP.brief, HTTP.label_names, buckets=HTTP.buckets, registry=registry
    )
    family = ours.histogram(HTTP.name)
    for number in range(children):
        labels = ("GET", f"/route/{number}", "200", "http", "")
        for value in (0.003, 0.03, 0.3, 3.0):
            family.child(labels).observe(value, (number + 1, number + 1))
            exemplar = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}"}
            theirs.labels(*labels).observe(value, exemplar)
    runs: dict[str, Callable[[], object]] = {
        "text_ms": ours.exposition,
        "openmetrics_ms": lambda: ours.exposition(openmetrics=True),
        "prometheus_client_text_ms": lambda: prometheus_client.generate_latest(registry),
        "prometheus_client_openmetrics_ms": lambda: openmetrics.generate_latest(registry),  # type: ignore[no-untyped-call]  # unannotated
    }
    figures = {name: round(best_s(run, 5) * 1e3, 2) for name, run in runs.items()}
    return {"exposition_series": float(children * per_child), **figures}


def main() -> None:
    """Print the figures."""
    figures = {**updates(), **exposition(), "update_target_us": 0.7}
    for name, value in figures.items():
        print(f"{name:40} {value:10.3f}")
    print(json.dumps({"bench": "metrics", "python": sys.version.split()[0], **figures}))


if __name__ == "__main__":
    main()
