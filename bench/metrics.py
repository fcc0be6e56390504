"""Cost of updating counters and histograms, and of an exposition, beside prometheus_client.

Alone and as one of four workers: there prometheus_client runs in its multiprocess mode, in a process
of its own (``--theirs``), since that mode is chosen before its import.

Prints one line per variant and, last, all figures as JSON (CPU time, best of rounds).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import prometheus_client
from prometheus_client import multiprocess
from prometheus_client.openmetrics import exposition as openmetrics

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.metrics.workers import Workers
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


def worker_updates(base: Path) -> dict[str, float]:
    """Measure single updates of a worker, whose cells its siblings read."""
    ours = MetricSet(clock=SystemClock(), include_prometheus_client=False)
    workers = Workers(ours, SystemClock(), "bench", base / "metrics")
    workers.start()
    counter = ours.counter(COST.name).child(("openai", "gpt", "planner", ""))
    histogram = ours.histogram(HTTP.name).child(("GET", "/items/{id}", "200", "http", ""))
    figures = {
        "worker_counter_kept_us": best_s(counter.inc, UPDATES),
        "worker_histogram_kept_us": best_s(lambda: histogram.observe(0.03), UPDATES),
    }
    workers.stop()
    return {name: round(value * 1e6, 3) for name, value in figures.items()}


def page_of(base: Path, workers: int, series: int) -> float:
    """Return the seconds for the page of several workers with equal series of one histogram."""
    children = series // (len(HTTP.buckets) + 3)
    sets = []
    for number in range(workers):
        ours = MetricSet(clock=SystemClock(), include_prometheus_client=False)
        member = Workers(ours, SystemClock(), f"bench-{workers}-{series}", base / "metrics")
        member.start()
        for route in range(children):
            child = ours.histogram(HTTP.name).child(("GET", f"/route/{route}", "200", "http", ""))
            child.observe(0.03 * number)
        sets.append((ours, member))
    seconds = best_s(sets[0][0].exposition, 3)
    for _, member in sets:
        member.stop()
    return seconds


def theirs_in_multiprocess_mode(base: Path) -> dict[str, float]:
    """Measure prometheus_client's multiprocess mode in processes of its own."""
    folder = base / "prometheus_client"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, __file__, "--theirs"],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        check=True,
        capture_output=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def theirs() -> None:
    """Fork three workers that count and end, count as the fourth, and print the costs as JSON."""
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("c", "c", COST.label_names, registry=registry)
    histogram = prometheus_client.Histogram(
        HTTP.prometheus_name, HTTP.brief, HTTP.label_names, buckets=HTTP.buckets, registry=registry
    )

    def count() -> None:
        for route in range(SERIES // (len(HTTP.buckets) + 3)):
            histogram.labels("GET", f"/route/{route}", "200", "http", "").observe(0.03)

    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            count()
            os._exit(0)
        os.waitpid(pid, 0)
    count()
    page = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(page)  # type: ignore[no-untyped-call]  # unannotated
    counter_child = counter.labels("openai", "gpt", "planner", "")
    histogram_child = histogram.labels("GET", "/route/0", "200", "http", "")
    figures = {
        "prometheus_client_worker_counter_kept_us": best_s(counter_child.inc, UPDATES // 4) * 1e6,
        "prometheus_client_worker_histogram_kept_us": best_s(
            lambda: histogram_child.observe(0.03), UPDATES // 4
        )
        * 1e6,
        "prometheus_client_page_of_4_ms": best_s(lambda: prometheus_client.generate_latest(page), 1)
        * 1e3,
    }
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def main() -> None:
    """Print the figures."""
    if "--theirs" in sys.argv:
        theirs()
        return
    figures = {**updates(), **exposition(), "update_target_us": 0.7}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        base = Path(folder, "run")
        base.mkdir(mode=0o700)
        figures |= worker_updates(base)
        figures["page_of_4_ms"] = round(page_of(base, 4, SERIES) * 1e3, 2)
        figures["page_of_8_with_2000_series_ms"] = round(page_of(base, 8, 2_000) * 1e3, 2)
        figures |= theirs_in_multiprocess_mode(base)
    for name, value in figures.items():
        print(f"{name:40} {value:10.3f}")
    print(json.dumps({"bench": "metrics", "python": sys.version.split()[0], **figures}))


if __name__ == "__main__":
    main()
