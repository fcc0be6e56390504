"""The metrics of a process: declared, bounded, and exposed in two formats."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from watchkeeper.clock import SystemClock
from watchkeeper.errors import DefinitionError
from watchkeeper.instrument.metrics import OPENMETRICS_TYPE, TEXT_TYPE, MetricSet
from watchkeeper.instrument.metrics.exposition import prefers_openmetrics
from watchkeeper.instrument.metrics.pipeline import register_pipeline_metrics
from watchkeeper.instrument.metrics.process import register_process_metrics
from watchkeeper.instrument.recorder import RecorderStats
from watchkeeper.testing.clock import FixedClock
from watchkeeper.vocabulary.metrics import METRICS
from watchkeeper.vocabulary.model import Kind

HTTP = ("GET", "/items/{id}", "200", "http", "")


def made(series_max: int = 2_000, *, foreign: bool = False) -> MetricSet:
    """Return an empty set."""
    return MetricSet(clock=FixedClock(), series_max=series_max, include_prometheus_client=foreign)


def everything() -> MetricSet:
    """Return a set with two series of every metric that applications emit."""
    metrics = made()
    for metric in METRICS:
        if metric.emitter != "application":
            continue
        for value in ('a"\\\n', "b"):
            labels = tuple(value for _ in metric.labels)
            if metric.kind is Kind.COUNTER:
                metrics.counter(metric.name).child(labels).inc(3)
            elif metric.kind is Kind.HISTOGRAM:
                metrics.histogram(metric.name).child(labels).observe(2.0, (2**127, 2**63))
            else:
                metrics.gauge(metric.name).child(labels).set(float("inf"))
    return metrics


def openmetrics_families(text: str) -> Iterator[Any]:
    """Return the families of an OpenMetrics text."""
    yield from parse_openmetrics(text)  # type: ignore[no-untyped-call]  # unannotated


def samples(text: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the samples called *name*."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.name == name
    }


def test_a_metric_must_be_declared() -> None:
    """An unknown name is refused with the nearest known one; so is the wrong kind."""
    with pytest.raises(DefinitionError, match=r"llm\.cost"):
        made().counter("llm.costs")
    with pytest.raises(DefinitionError, match="is a histogram"):
        made().counter("http.server.request.duration")


def test_label_values_must_be_complete() -> None:
    """A series is asked for with one value per label."""
    with pytest.raises(ValueError, match="takes 5 label values"):
        made().histogram("http.server.request.duration").child(("GET",))


def test_a_series_is_made_once() -> None:
    """Equal label values give the same object, so that hooks may keep it."""
    family = made().histogram("http.server.request.duration")

    assert family.child(HTTP) is family.child(tuple(HTTP))


def test_series_beyond_the_limit_fold_into_one() -> None:
    """New label values share the overflow series and are counted; old series still count."""
    metrics = made(series_max=2)
    family = metrics.counter("auth.attempts")
    for user in range(5):
        family.child((str(user), "", "", "", "")).inc()
    family.child(("0", "", "", "", "")).inc()
    text = metrics.exposition().decode()

    assert {
        (("auth_action", "0"),): 2.0,
        (("auth_action", "1"),): 1.0,
        (("otel_metric_overflow", "true"),): 3.0,
    } == samples(text, "auth_attempts_total")
    assert {(("reason", "series"),): 3.0} == samples(text, "watchkeeper_metric_overflow_total")


def test_a_long_label_value_is_cut() -> None:
    """A megabyte in a label would cost the whole scrape, so it is cut to the scraper's limit."""
    metrics = made()
    metrics.gauge("job.queue.depth").child(("q" * 1_000_000,)).set(1)

    assert len(metrics.exposition()) < 10_000


def test_text_parses_with_every_metric() -> None:
    """prometheus_client's parser reads every declared metric back."""
    text = everything().exposition().decode()
    expected = {
        metric.prometheus_name.removesuffix("_total")
        for metric in METRICS
        if metric.emitter == "application"
    }

    assert set() == expected - {family.name for family in parse_text(text)}


def test_openmetrics_parses_with_every_metric_and_exemplars() -> None:
    """prometheus_client's OpenMetrics parser reads metrics, units and exemplars back."""
    text = everything().exposition(openmetrics=True).decode()
    families = {family.name: family for family in openmetrics_families(text)}
    family = families["http_server_request_duration_seconds"]
    exemplar = next(sample.exemplar for sample in family.samples if sample.exemplar)

    assert family.unit == "seconds"
    assert {"trace_id": f"{2**127:032x}", "span_id": f"{2**63:016x}"} == exemplar.labels
    assert exemplar.value == 2.0


def test_a_histogram_is_cumulative() -> None:
    """Buckets count everything up to their bound; the last one equals the count."""
    metrics = made()
    for value in (0.004, 0.2, 99.0):
        metrics.histogram("http.server.request.duration").child(HTTP).observe(value)
    name = "http_server_request_duration_seconds"
    text = metrics.exposition().decode()
    buckets = {
        dict(labels)["le"]: count for labels, count in samples(text, f"{name}_bucket").items()
    }

    assert (1.0, 1.0, 2.0, 3.0) == (
        buckets["0.005"],
        buckets["0.1"],
        buckets["0.25"],
        buckets["+Inf"],
    )
    assert [3.0] == list(samples(text, f"{name}_count").values())


def test_promtool_accepts_the_text() -> None:
    """`promtool check metrics` finds nothing but the names that OpenTelemetry gives.

    Accepted: gauges that end in ``_count``, the convention's own names for numbers of threads,
    connections and file descriptors.
    """
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=everything().exposition(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    complaints = [
        line
        for line in done.stderr.decode().splitlines()
        if 'should not have "_count" suffix' not in line
    ]

    assert [] == complaints


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x, text/plain", False),
    ],
)
def test_the_scraper_chooses_the_format(accept: str, *, wanted: bool) -> None:
    """OpenMetrics is answered where it is asked for and not ranked below plain text."""
    assert wanted == prefers_openmetrics(accept)


def test_the_content_type_says_which_format_it_is() -> None:
    """Prometheus 3 refuses a scrape without a valid content type."""
    metrics = made()

    assert metrics.scrape()[1] == TEXT_TYPE
    assert metrics.scrape("application/openmetrics-text")[1] == OPENMETRICS_TYPE
    assert metrics.scrape("application/openmetrics-text")[0].endswith(b"# EOF\n")


def test_a_failing_callback_costs_its_own_series_only() -> None:
    """A callback that raises leaves the others readable and is counted."""
    metrics = made()
    metrics.gauge("job.queue.depth").child(("a",)).set_function(lambda: 1 / 0)
    metrics.gauge("job.queue.depth").child(("b",)).set(2)

    assert {(("job_queue", "b"),): 2.0} == samples(metrics.exposition().decode(), "job_queue_depth")
    hooks = samples(metrics.exposition().decode(), "watchkeeper_hook_errors_total")
    assert hooks[("hook", "metrics.callback"),] >= 1.0


def test_reset_keeps_the_objects() -> None:
    """After a fork counts start at zero, in the objects that hooks hold."""
    metrics = made()
    counter = metrics.counter("llm.cost").child(("a", "b", "c", "d"))
    histogram = metrics.histogram("http.server.request.duration").child(HTTP)
    counter.inc(5)
    histogram.observe(1.0)
    metrics.reset()
    counter.inc(1)

    assert (1.0, 0) == (counter.read(), sum(histogram.counts))
    assert counter is metrics.counter("llm.cost").child(("a", "b", "c", "d"))


@pytest.fixture
def foreign() -> Iterator[prometheus_client.Counter]:
    """Return a counter of the application in prometheus_client's registry."""
    counter = prometheus_client.Counter("shop_orders", "Orders.", ["kind"])
    yield counter
    prometheus_client.REGISTRY.unregister(counter)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_metrics_of_the_application_are_shown_too(
    foreign: prometheus_client.Counter, *, openmetrics: bool
) -> None:
    """prometheus_client's families appear once, without a second set about the process."""
    foreign.labels("x").inc()
    metrics = made(foreign=True)
    register_process_metrics(metrics, SystemClock(), "1")
    text = metrics.exposition(openmetrics=openmetrics).decode()
    parsed = openmetrics_families(text) if openmetrics else parse_text(text)
    names = [family.name for family in parsed]

    assert "shop_orders" in names
    assert sorted(set(names)) == sorted(names)
    assert "process_cpu_seconds" not in names
    assert "process_cpu_time_seconds" in names


def test_the_process_is_described() -> None:
    """CPU, memory, threads, files, age, collections, versions and service are there and plausible."""
    metrics = made()
    register_process_metrics(metrics, SystemClock(), "9.9", ("shop", "1.4.2", "staging"))
    text = metrics.exposition().decode()

    assert 1e6 < samples(text, "process_memory_usage_bytes")[()] < 1e11
    assert samples(text, "process_thread_count")[()] >= 1
    assert samples(text, "process_unix_file_descriptor_count")[()] >= 3
    assert 0 < samples(text, "process_uptime_seconds")[()] < 1e6
    assert samples(text, "process_cpu_time_seconds_total")[("cpu_mode", "user"),] > 0
    assert ("version", "9.9") in next(iter(samples(text, "watchkeeper_build_info")))
    target = dict(next(iter(samples(text, "target_info"))))
    assert target == {
        "service_name": "shop",
        "service_version": "1.4.2",
        "deployment_environment_name": "staging",
    }


def test_the_recorders_losses_are_shown_by_reason() -> None:
    """Drops appear by signal and reason; spans left out by sampling are no loss."""
    metrics = made()
    stats = RecorderStats(
        spans_started=10,
        spans_ended=9,
        spans_exported=4,
        spans_dropped={"sampled": 2, "queue_full": 3},
        logs_dropped={"spool_full": 1},
        span_queue=5,
    )
    register_pipeline_metrics(metrics, lambda: stats)
    text = metrics.exposition().decode()

    assert {
        (("reason", "queue_full"), ("signal", "traces")): 3.0,
        (("reason", "spool_full"), ("signal", "logs")): 1.0,
    } == samples(text, "watchkeeper_telemetry_dropped_total")
    assert samples(text, "otel_sdk_span_started_total") == {(): 10.0}
    assert samples(text, "otel_sdk_processor_span_queue_size") == {(): 5.0}
    assert {(): 4.0, (("error_type", "queue_full"),): 3.0} == samples(
        text, "otel_sdk_processor_span_processed_total"
    )
