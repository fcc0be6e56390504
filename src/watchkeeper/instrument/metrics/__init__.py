"""Metrics: fast primitives built from the vocabulary, and their exposition."""

from watchkeeper.instrument.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from watchkeeper.instrument.metrics.families import CounterFamily, GaugeFamily, HistogramFamily
from watchkeeper.instrument.metrics.instruments import Counter, Gauge, Histogram, Link
from watchkeeper.instrument.metrics.registry import MetricSet

__all__ = [
    "OPENMETRICS_TYPE",
    "TEXT_TYPE",
    "Counter",
    "CounterFamily",
    "Gauge",
    "GaugeFamily",
    "Histogram",
    "HistogramFamily",
    "Link",
    "MetricSet",
]
