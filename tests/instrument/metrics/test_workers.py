"""Several processes are one page: sums that never go back, whoever dies, and no litter."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.metrics.cells import SAID_UNFINISHED
from watchkeeper.instrument.metrics.families import label_block
from watchkeeper.instrument.metrics.workers import Workers
from watchkeeper.vocabulary.metrics import METRICS
from watchkeeper.vocabulary.model import Kind, Merge

COST = ("openai", "gpt", "writer", "acme")
HTTP = ("GET", "/items/{id}", "200", "http", "")


class Worker:
    """One process of a group, all of them here: locks of files tell them apart all the same."""

    def __init__(self, base: Path, series_max: int = 2_000, *, foreign: bool = False) -> None:
        self.metrics = MetricSet(
            clock=SystemClock(), series_max=series_max, include_prometheus_client=foreign
        )
        self.workers = Workers(self.metrics, SystemClock(), "shop", base / "metrics")
        self.workers.start()

    def page(self) -> dict[str, float]:
        """Return the samples of the whole group."""
        samples = {}
        for line in self.metrics.exposition().decode().splitlines():
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                samples[series] = float(value)
        return samples

    def cost(self, amount: float, model: str = "gpt") -> None:
        """Count something."""
        self.metrics.counter("llm.cost").child(("openai", model, "writer", "acme")).inc(amount)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return where groups are; as private as a directory of run-time files is."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def pair(base: Path) -> Iterator[tuple[Worker, Worker]]:
    """Return two processes of one group."""
    one, two = Worker(base), Worker(base)
    yield one, two
    one.workers.stop()
    two.workers.stop()


def folder(base: Path) -> Path:
    """Return the directory of the only group."""
    (found,) = (base / "metrics").iterdir()
    return found


def files(base: Path) -> list[str]:
    """Return the files of the only group; what is just being replaced has two names for a moment."""
    return [path.name for path in folder(base).iterdir() if path.suffix != SAID_UNFINISHED]


def series(name: str, **labels: str) -> str:
    """Return a series as the exposition writes it."""
    return f"{name}{{{label_block(tuple(labels), tuple(labels.values()))}}}"


COST_SERIES = series(
    "llm_cost_usd_total",
    gen_ai_provider_name="openai",
    gen_ai_request_model="gpt",
    gen_ai_agent_name="writer",
    tenant_id="acme",
)


def test_counters_and_histograms_are_summed(pair: tuple[Worker, Worker]) -> None:
    """Every worker's page shows the sum over all workers."""
    for worker, amount in zip(pair, (1.5, 2.0), strict=True):
        worker.cost(amount)
        worker.metrics.histogram("http.server.request.duration").child(HTTP).observe(amount)
    pages = [worker.page() for worker in pair]
    name = "http_server_request_duration_seconds"
    counts = {value for key, value in pages[0].items() if key.startswith(f"{name}_count")}
    sums = {value for key, value in pages[0].items() if key.startswith(f"{name}_sum")}

    assert [3.5, 3.5] == [page[COST_SERIES] for page in pages]
    assert ({2.0}, {3.5}) == (counts, sums)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("http.server.active_requests", ("GET", "http"), 5.0),
        ("job.queue.depth", ("mails",), 3.0),
        ("health.check.status", ("db",), 2.0),
    ],
)
def test_gauges_follow_their_rule(
    pair: tuple[Worker, Worker], name: str, labels: tuple[str, ...], expected: float
) -> None:
    """A gauge is the sum, the largest or the smallest of the workers, as the vocabulary says."""
    for worker, value in zip(pair, (2, 3), strict=True):
        worker.metrics.gauge(name).child(labels).set(value)
    wire = worker.metrics.gauge(name).name

    assert [expected] == [value for key, value in pair[0].page().items() if key.startswith(wire)]


def test_every_gauge_says_how_it_is_merged() -> None:
    """Only a gauge's rule is a choice; that of the others is given by what they are."""
    for metric in METRICS:
        assert metric.kind is Kind.GAUGE or metric.merge is Merge.SUM
        assert metric.kind is not Kind.GAUGE or metric.merge is not Merge.SUM, metric.name


def test_numbers_from_before_the_group_are_kept(base: Path) -> None:
    """A process that joins late goes on from what it has counted, in the same objects."""
    metrics = MetricSet(clock=SystemClock(), include_prometheus_client=False)
    counter = metrics.counter("llm.cost").child(COST)
    histogram = metrics.histogram("http.server.request.duration").child(HTTP)
    counter.inc(3)
    histogram.observe(0.2)
    workers = Workers(metrics, SystemClock(), "shop", base / "metrics")
    workers.start()
    counter.inc()
    histogram.observe(0.2)
    page = metrics.exposition().decode()
    workers.stop()

    assert f"{COST_SERIES} 4.0\n" in page
    assert (4.0, 2) == (counter.read(), sum(histogram.counts))
    assert " 2\n" in page


def test_the_dead_keep_their_counts_and_lose_their_gauges(base: Path) -> None:
    """What a process counted outlives it; what it had at the moment goes with it."""
    one, two = Worker(base), Worker(base)
    two.cost(2)
    two.metrics.gauge("http.server.active_requests").child(("GET", "http")).set(7)
    two.metrics.gauge("pipeline.last_success.time").child(("docs",)).set(1e9)
    two.workers.stop()
    pages = [one.page(), one.page()]
    left = sorted(path.suffix for path in folder(base).iterdir() if "-" in path.name)
    one.workers.stop()

    assert pages[0] == {
        **pages[1],
        **{key: pages[0][key] for key in pages[0] if "process_" in key or "gc" in key},
    }
    assert 2.0 == pages[1][COST_SERIES]
    assert 1e9 == pages[1][series("pipeline_last_success_time_seconds", pipeline_name="docs")]
    assert [] == [key for key in pages[1] if key.startswith("http_server_active_requests")]
    assert [".keys", ".said", ".values"] == left


def test_recycled_workers_leave_no_litter(base: Path) -> None:
    """After 200 workers came and went there are the files of the living, and the sum."""
    one = Worker(base)
    sizes = []
    for _ in range(200):
        worker = Worker(base)
        worker.cost(1)
        worker.workers.stop()
        sizes.append(len(files(base)))
    total = one.page()[COST_SERIES]
    left = files(base)
    one.workers.stop()

    assert 200.0 == total
    assert 8 == max(sizes)
    assert 5 == len(left), left


class HeldClock(SystemClock):
    """A clock that keeps the thread that says something at intervals waiting, just before it does."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def monotonic_ns(self) -> int:
        """Return the time, once the test says so."""
        self.asked.set()
        assert self.go_on.wait(30)
        return 0


def test_a_worker_that_has_left_says_nothing_more(base: Path) -> None:
    """A thread that was about to speak when its process left makes no file that nobody removes."""
    one = Worker(base)
    clock = HeldClock()
    two = Workers(
        MetricSet(clock=clock, include_prometheus_client=False), clock, "shop", base / "metrics"
    )
    before = set(threading.enumerate())
    two.start()
    (thread,) = set(threading.enumerate()) - before
    assert clock.asked.wait(30)
    two.stop()
    one.page()
    clock.go_on.set()
    thread.join(30)
    left = files(base)
    one.workers.stop()

    assert 5 == len(left), left


def test_exemplars_of_all_workers_are_kept(pair: tuple[Worker, Worker]) -> None:
    """A bucket shows the latest exemplar that any worker has for it."""
    for number, worker in enumerate(pair, 1):
        child = worker.metrics.histogram("http.server.request.duration").child(HTTP)
        child.observe(0.2, (number, number))
        child.observe(number * 2.0, (number + 10, number + 10))
        worker.workers.say()
    text = pair[0].metrics.exposition(openmetrics=True).decode()
    ids = {
        int(sample.exemplar.labels["trace_id"], 16)
        for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]  # unannotated
        for sample in family.samples
        if sample.exemplar
    }

    assert {2, 11, 12} == ids


def test_callbacks_of_other_workers_are_on_the_page(pair: tuple[Worker, Worker]) -> None:
    """Series that are read from a function are summed too, and counters outlive the process."""
    for worker in pair:
        worker.metrics.counter("otel.sdk.span.started").collect_from(lambda: {(): 4.0})
        worker.metrics.gauge("process.thread.count").collect_from(lambda: {(): 2.0})
        worker.workers.say()
    before = pair[0].page()
    pair[1].workers.stop()
    after = pair[0].page()

    assert (8.0, 4.0) == (before["otel_sdk_span_started_total"], before["process_thread_count"])
    assert (8.0, 2.0) == (after["otel_sdk_span_started_total"], after["process_thread_count"])


def test_metrics_of_prometheus_client_are_summed(base: Path) -> None:
    """The application's own counters and histograms add up and outlive a worker."""
    registry = prometheus_client.REGISTRY
    counter = prometheus_client.Counter("shop_orders", "Orders.", ["kind"])
    timer = prometheus_client.Histogram("shop_wait_seconds", "Wait.", buckets=(1, 2))
    gauge = prometheus_client.Gauge("shop_open", "Open orders.")
    try:
        counter.labels("x").inc(3)
        timer.observe(1.5, {"trace_id": "abc"})
        gauge.set(5)
        one, two = Worker(base, foreign=True), Worker(base, foreign=True)
        before = one.page()
        text = one.metrics.exposition(openmetrics=True).decode()
        two.workers.stop()
        after = one.page()
        one.workers.stop()
    finally:
        for collector in (counter, timer, gauge):
            registry.unregister(collector)
    names = [family.name for family in parse_openmetrics(text)]  # type: ignore[no-untyped-call]  # unannotated
    kind = series("shop_orders_total", kind="x")

    assert sorted(set(names)) == sorted(names)
    assert 'trace_id="abc"' in text
    for page, orders, opened in ((before, 6.0, 10.0), (after, 6.0, 5.0)):
        assert (orders, opened) == (page[kind], page["shop_open"])
        assert 2.0 == page[series("shop_wait_seconds_bucket", le="2.0")]


def test_the_limit_of_series_holds_for_the_sum(base: Path) -> None:
    """Series of all workers beyond the limit of one share the overflow, dead or alive."""
    one = Worker(base, series_max=3)
    two = Worker(base, series_max=3)
    for number in range(3):
        one.cost(1, f"a{number}")
        two.cost(10, f"b{number}")
    before = {key: value for key, value in one.page().items() if key.startswith("llm_cost")}
    two.workers.stop()
    after = {key: value for key, value in one.page().items() if key.startswith("llm_cost")}
    one.workers.stop()
    overflow = series("llm_cost_usd_total", otel_metric_overflow="true")

    assert 4 == len(before)
    assert 33.0 == sum(before.values())
    assert before == after
    assert before[overflow] in (3.0, 30.0)


def test_a_removed_series_leaves_the_page(pair: tuple[Worker, Worker]) -> None:
    """What a worker forgets is not shown, and starts again from zero when it returns."""
    family = pair[0].metrics.counter("auth.attempts")
    labels = ("login", "password", "", "success", "")
    shown = []
    for _ in range(2):
        family.child(labels).inc(2)
        shown.append([v for k, v in pair[1].page().items() if k.startswith("auth_attempts")])
        family.remove(labels)
        shown.append([v for k, v in pair[1].page().items() if k.startswith("auth_attempts")])

    assert [[2.0], [], [2.0], []] == shown


def test_both_formats_are_valid(pair: tuple[Worker, Worker]) -> None:
    """Parsers and promtool accept the page of a group as they accept that of a process."""
    for worker in pair:
        for metric in METRICS:
            if metric.emitter != "application":
                continue
            labels = tuple('a"\\\n' for _ in metric.labels)
            if metric.kind is Kind.COUNTER:
                worker.metrics.counter(metric.name).child(labels).inc(3)
            elif metric.kind is Kind.HISTOGRAM:
                worker.metrics.histogram(metric.name).child(labels).observe(2.0, (2**127, 2**63))
            else:
                worker.metrics.gauge(metric.name).child(labels).set(4)
    pair[1].workers.say()
    text = pair[0].metrics.exposition()
    openmetrics = pair[0].metrics.exposition(openmetrics=True).decode()
    expected = {
        metric.prometheus_name.removesuffix("_total")
        for metric in METRICS
        if metric.emitter == "application"
    }
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=120, check=False
    )
    complaints = [
        line
        for line in done.stderr.decode().splitlines()
        if 'should not have "_count" suffix' not in line
    ]

    assert set() == expected - {family.name for family in parse_text(text.decode())}
    assert set() == expected - {
        family.name
        for family in parse_openmetrics(openmetrics)  # type: ignore[no-untyped-call]  # unannotated
    }
    assert [] == complaints
