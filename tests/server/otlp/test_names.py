"""OTLP names as Prometheus shows them."""

from __future__ import annotations

import pytest

from watchkeeper.server.otlp.names import label_pairs, metric_name
from watchkeeper.vocabulary.metrics import METRICS
from watchkeeper.vocabulary.model import Kind


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("http.server.duration", "ms", "histogram", "http_server_duration_milliseconds"),
        ("process.memory.usage", "By", "gauge", "process_memory_usage_bytes"),
        ("cpu.utilization", "1", "gauge", "cpu_utilization_ratio"),
        ("jobs", "{job}", "counter", "jobs_total"),
        ("jobs_total", "1", "counter", "jobs_total"),
        ("disk.io", "By/s", "gauge", "disk_io_bytes_per_second"),
        ("fuel_seconds", "s", "counter", "fuel_seconds_total"),
        ("2xx..rate", "", "gauge", "_2xx_rate"),
        ("!", "", "gauge", "_"),
    ],
)
def test_a_metric_s_name(name: str, unit: str, kind: str, expected: str) -> None:
    """Units become words, counters end in _total, and what Prometheus cannot hold becomes _."""
    assert expected == metric_name(name, unit, kind)


def test_both_ways_agree_on_our_own_names() -> None:
    """A vocabulary metric has one name, whether it is scraped or sent as OTLP."""
    kinds = {Kind.UPDOWN: "gauge"}
    wrong = {
        metric.name: metric_name(
            metric.name, metric.unit, kinds.get(metric.kind, metric.kind.value)
        )
        for metric in METRICS
        if metric_name(metric.name, metric.unit, kinds.get(metric.kind, metric.kind.value))
        != metric.prometheus_name
    }

    assert wrong == {}


def test_names_that_become_equal_share_a_label() -> None:
    """Values of attributes whose label names collide are joined, none is lost."""
    assert label_pairs([("a.b", "1"), ("a_b", "2"), ("9", "x")]) == {"a_b": "1;2", "key_9": "x"}
