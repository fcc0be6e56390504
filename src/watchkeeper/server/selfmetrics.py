"""The embedded server's own metrics, made from the vocabulary's rows with ``emitter="server"``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from watchkeeper.vocabulary.metrics import METRICS
from watchkeeper.vocabulary.model import Kind

__all__ = ["ServerMetrics"]


class ServerMetrics:
    """Counts what the server does. Thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}
        for row in METRICS:
            if row.emitter != "server":
                continue
            name, labels = row.prometheus_name, row.label_names
            if row.kind is Kind.COUNTER:
                self._metrics[row.name] = Counter(name, row.brief, labels, registry=self._registry)
            elif row.kind is Kind.HISTOGRAM:
                self._metrics[row.name] = Histogram(
                    name, row.brief, labels, buckets=row.buckets, registry=self._registry
                )
            else:
                self._metrics[row.name] = Gauge(name, row.brief, labels, registry=self._registry)

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to the counter *name*; label values are in the vocabulary's order."""
        metric = self._metrics[name]
        assert isinstance(metric, Counter)  # noqa: S101 - the vocabulary says so
        (metric.labels(*labels) if labels else metric).inc(by)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Observe a value in the histogram *name*."""
        metric = self._metrics[name]
        assert isinstance(metric, Histogram)  # noqa: S101 - the vocabulary says so
        (metric.labels(*labels) if labels else metric).observe(value)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set the gauge *name*."""
        metric = self._metrics[name]
        assert isinstance(metric, Gauge)  # noqa: S101 - the vocabulary says so
        (metric.labels(*labels) if labels else metric).set(value)

    def follow(self, name: str, read: Callable[[], float]) -> None:
        """Show what *read* returns whenever the gauge *name*, which has no labels, is rendered."""
        metric = self._metrics[name]
        assert isinstance(metric, Gauge)  # noqa: S101 - the vocabulary says so
        metric.set_function(read)

    def render(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        return generate_latest(self._registry)
