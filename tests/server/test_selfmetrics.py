"""The server's own metrics."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.vocabulary.metrics import METRICS


def test_names_are_those_of_the_vocabulary() -> None:
    """Every metric of the server is shown under its declared name, and no other is."""
    page = ServerMetrics().render().decode()
    shown = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    declared = {row.prometheus_name for row in METRICS if row.emitter == "server"}

    assert declared == {name for name in shown if not name.endswith("_created")}


def test_counts_add_up() -> None:
    """Counters add, gauges are set or followed, histograms observe."""
    metrics = ServerMetrics()
    metrics.count("watchkeeper.server.ingested", "spans", by=3)
    metrics.count("watchkeeper.server.ingested", "spans")
    metrics.set("watchkeeper.server.series", 7)
    metrics.follow("watchkeeper.server.uptime", lambda: 9.0)
    metrics.observe("watchkeeper.server.commit.duration", 0.2, "logs")
    page = metrics.render().decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }

    assert found["watchkeeper_server_ingested_total", "spans"] == 4
    assert found["watchkeeper_server_series",] == 7
    assert found["watchkeeper_server_uptime_seconds",] == 9
    assert found["watchkeeper_server_commit_duration_seconds_count", "logs"] == 1


def test_an_undeclared_name_is_a_mistake() -> None:
    """Only declared metrics can be counted."""
    with pytest.raises(KeyError):
        ServerMetrics().count("watchkeeper.server.surprise")
