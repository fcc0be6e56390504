"""OTLP metrics into Prometheus samples.

Rules: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md. Kept are gauges,
cumulative sums, cumulative histograms with explicit buckets, and summaries; points of other kinds
are refused one by one, with the reason in the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar as OtlpExemplar
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from watchkeeper.server.otlp.decode import NOT_NOW
from watchkeeper.server.otlp.names import label_pairs, metric_name
from watchkeeper.server.otlp.values import label_text, service_of
from watchkeeper.server.series import STALE_NAN, Exemplar, Labels, sorted_labels
from watchkeeper.server.store.rows import Family, Sample
from watchkeeper.vocabulary.limits import limit

__all__ = ["TOO_MUCH_LABEL", "Converted", "sample_rows"]

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_LABELS_MAX, _VALUE_MAX = limit("label_count_max"), limit("label_value_chars_max")
_MS_NS = 1_000_000
TOO_MUCH_LABEL = f"it has over {_LABELS_MAX} labels or a value over {_VALUE_MAX} characters"


@dataclass(slots=True)
class Converted:
    """What a request brought."""

    samples: list[Sample] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)
    families: dict[str, Family] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    """Points that were refused, by reason."""


def sample_rows(request: ExportMetricsServiceRequest, window_ns: tuple[int, int]) -> Converted:
    """Return the samples of a request.

    Args:
        request: The decoded request.
        window_ns: Oldest and newest time that is accepted, Unix nanoseconds.
    """
    found = Converted()
    for group in request.resource_metrics:
        target = _target(group.resource)
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                _Conversion(found, target, metric, window_ns).run()
    return found


def _target(resource: Resource) -> dict[str, str]:
    """Return ``job`` and ``instance`` of a resource."""
    named = {pair.key: label_text(pair.value) for pair in resource.attributes}
    space = named.get("service.namespace", "")
    job = service_of(resource)
    target = {"job": f"{space}/{job}" if space else job}
    if named.get("service.instance.id"):
        target["instance"] = named["service.instance.id"]
    return target


class _Conversion:
    """One metric's points into samples."""

    def __init__(
        self, found: Converted, target: dict[str, str], metric: Metric, window_ns: tuple[int, int]
    ) -> None:
        self._found = found
        self._target = target
        self._metric = metric
        self._window_ns = window_ns
        self._name = ""

    def run(self) -> None:
        """Add the metric's samples and its metadata."""
        metric, kind = self._metric, self._metric.WhichOneof("data")
        if kind == "gauge":
            self._family("gauge")
            self._numbers(metric.gauge.data_points)
        elif kind == "sum":
            if self._cumulative(metric.sum.aggregation_temporality, metric.sum.data_points):
                self._family("counter" if metric.sum.is_monotonic else "gauge")
                self._numbers(metric.sum.data_points)
        elif kind == "histogram":
            points = metric.histogram.data_points
            if self._cumulative(metric.histogram.aggregation_temporality, points):
                self._family("histogram")
                self._each(points, self._histogram)
        elif kind == "summary":
            self._family("summary")
            self._each(metric.summary.data_points, self._summary)
        elif kind == "exponential_histogram":
            refused = len(metric.exponential_histogram.data_points)
            self._found.refused["exponential histograms are not supported yet"] += refused

    def _cumulative(self, temporality: int, points: Iterable[object]) -> bool:
        if temporality == _CUMULATIVE:
            return True
        self._found.refused["only cumulative temporality is supported"] += sum(1 for _ in points)
        return False

    def _family(self, kind: str) -> None:
        metric = self._metric
        self._name = metric_name(metric.name, metric.unit, kind)
        self._found.families[self._name] = Family(self._name, kind, metric.description, metric.unit)

    def _each(
        self,
        points: Iterable[HistogramDataPoint | SummaryDataPoint],
        convert: Callable[..., Iterator[tuple[str, dict[str, str], float]]],
    ) -> None:
        for point in points:
            if not self._timely(point.time_unix_nano):
                continue
            pairs = self._pairs(point.attributes)
            if pairs is None:
                continue
            stale = bool(point.flags & _NO_VALUE)
            for suffix, extra, value in convert(point):
                labels = sorted_labels({**pairs, **extra, "__name__": f"{self._name}{suffix}"})
                self._add(labels, point.time_unix_nano, STALE_NAN if stale else value)
            if isinstance(point, HistogramDataPoint):
                self._bucket_exemplars(pairs, point)

    def _numbers(self, points: Iterable[NumberDataPoint]) -> None:
        for point in points:
            if not self._timely(point.time_unix_nano):
                continue
            pairs = self._pairs(point.attributes)
            if pairs is None:
                continue
            labels = sorted_labels({**pairs, "__name__": self._name})
            whole = point.WhichOneof("value") == "as_int"
            value = float(point.as_int) if whole else point.as_double
            stale = bool(point.flags & _NO_VALUE)
            self._add(labels, point.time_unix_nano, STALE_NAN if stale else value)
            for exemplar in point.exemplars:
                self._exemplar(labels, exemplar)

    def _histogram(self, point: HistogramDataPoint) -> Iterator[tuple[str, dict[str, str], float]]:
        bounds = [*(_le(bound) for bound in point.explicit_bounds), "+Inf"]
        counts = accumulate(point.bucket_counts) if point.bucket_counts else iter((point.count,))
        if not point.bucket_counts:
            bounds = ["+Inf"]
        for bound, count in zip(bounds, counts, strict=False):
            yield "_bucket", {"le": bound}, float(point.count if bound == "+Inf" else count)
        yield "_count", {}, float(point.count)
        if point.HasField("sum"):
            yield "_sum", {}, point.sum

    def _summary(self, point: SummaryDataPoint) -> Iterator[tuple[str, dict[str, str], float]]:
        for entry in point.quantile_values:
            yield "", {"quantile": _le(entry.quantile)}, entry.value
        yield "_count", {}, float(point.count)
        yield "_sum", {}, point.sum

    def _bucket_exemplars(self, pairs: dict[str, str], point: HistogramDataPoint) -> None:
        for exemplar in point.exemplars:
            value = _exemplar_value(exemplar)
            bound = next((b for b in point.explicit_bounds if value <= b), None)
            le = "+Inf" if bound is None else _le(bound)
            name = f"{self._name}_bucket"
            self._exemplar(sorted_labels({**pairs, "le": le, "__name__": name}), exemplar)

    def _exemplar(self, series: Labels, exemplar: OtlpExemplar) -> None:
        if any(exemplar.trace_id) and self._timely(exemplar.time_unix_nano, count=False):
            labels = {"trace_id": exemplar.trace_id.hex(), "span_id": exemplar.span_id.hex()}
            t_ms = exemplar.time_unix_nano // _MS_NS
            self._found.exemplars.append(
                Exemplar(series, sorted_labels(labels), t_ms, _exemplar_value(exemplar))
            )

    def _pairs(self, attributes: Iterable[KeyValue]) -> dict[str, str] | None:
        """Return a point's labels, or None if they cross a limit."""
        named = ((pair.key, label_text(pair.value)) for pair in attributes)
        pairs = {**label_pairs(named), **self._target}
        if len(pairs) <= _LABELS_MAX and all(len(value) <= _VALUE_MAX for value in pairs.values()):
            return pairs
        self._found.refused[TOO_MUCH_LABEL] += 1
        return None

    def _timely(self, time_ns: int, *, count: bool = True) -> bool:
        oldest, newest = self._window_ns
        if oldest <= time_ns <= newest:
            return True
        if count:
            self._found.refused[NOT_NOW] += 1
        return False

    def _add(self, labels: Labels, time_ns: int, value: float) -> None:
        self._found.samples.append(Sample(labels, time_ns // _MS_NS, value))


def _exemplar_value(exemplar: OtlpExemplar) -> float:
    whole = exemplar.WhichOneof("value") == "as_int"
    return float(exemplar.as_int) if whole else exemplar.as_double


def _le(bound: float) -> str:
    """Return a bound as OpenMetrics spells it: ``0.5``, ``1.0``, ``+Inf``."""
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(bound) or repr(float(bound))
