"""The metrics of one process, built from the vocabulary."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from typing import Any

from watchkeeper.clock import Clock
from watchkeeper.errors import DefinitionError
from watchkeeper.instrument.guard import hook_errors, record_failure
from watchkeeper.instrument.metrics.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    AnyFamily,
    prefers_openmetrics,
    render,
)
from watchkeeper.instrument.metrics.families import (
    CounterFamily,
    GaugeFamily,
    HistogramFamily,
    Hooks,
)
from watchkeeper.vocabulary.limits import LIMITS, limit
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME
from watchkeeper.vocabulary.model import Kind, Metric

__all__ = ["MetricSet"]

_FOREIGN_DUPLICATES = ("process_", "python_gc_", "python_info")
"""Families of prometheus_client's own collectors, which our process metrics stand in for."""


class MetricSet:
    """Counters, gauges and histograms of one process; the vocabulary says which exist.

    Safe to use from any thread.

    Args:
        clock: Times exemplars.
        series_max: Series of one metric; the vocabulary may set a lower number for a metric.
        include_prometheus_client: Show the families of ``prometheus_client.REGISTRY`` too, except
            its process and platform families, once the application has imported that package.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        series_max: int = limit("metric_series_max"),
        include_prometheus_client: bool = True,
    ) -> None:
        self._series_max = series_max
        self._include_foreign = include_prometheus_client
        self._counters: dict[str, CounterFamily] = {}
        self._gauges: dict[str, GaugeFamily] = {}
        self._histograms: dict[str, HistogramFamily] = {}
        self._hooks = Hooks(clock.now_ns, self._refused, self._folded)
        overflow = self.counter("watchkeeper.metric.overflow")
        self._overflow = overflow.child((LIMITS["metric_series_max"].reason,))
        self.counter("watchkeeper.hook.errors").collect_from(_hook_errors)

    def counter(self, name: str) -> CounterFamily:
        """Return the counter called *name*.

        Raises:
            DefinitionError: The vocabulary has no such metric, or it is no counter.
        """
        family = self._counters.get(name)
        if family is None:
            metric = _declared(name, (Kind.COUNTER,))
            made = CounterFamily(metric, self._hooks, self._series_max)
            family = self._counters.setdefault(name, made)
            if not metric.labels and family.collect is None:
                family.child(())
        return family

    def gauge(self, name: str) -> GaugeFamily:
        """Return the gauge or up-down counter called *name*.

        Raises:
            DefinitionError: The vocabulary has no such metric, or it is neither.
        """
        family = self._gauges.get(name)
        if family is None:
            metric = _declared(name, (Kind.GAUGE, Kind.UPDOWN))
            made = GaugeFamily(metric, self._hooks, self._series_max)
            family = self._gauges.setdefault(name, made)
        return family

    def histogram(self, name: str) -> HistogramFamily:
        """Return the histogram called *name*.

        Raises:
            DefinitionError: The vocabulary has no such metric, or it is no histogram.
        """
        family = self._histograms.get(name)
        if family is None:
            metric = _declared(name, (Kind.HISTOGRAM,))
            made = HistogramFamily(metric, self._hooks, self._series_max)
            family = self._histograms.setdefault(name, made)
        return family

    def exposition(self, openmetrics: bool = False) -> bytes:  # noqa: FBT001, FBT002 - one flag
        """Return every series as Prometheus text 0.0.4, or as OpenMetrics 1.0 with exemplars.

        Callbacks that raise lose their series and are counted in ``watchkeeper.hook.errors``.
        """
        families: list[AnyFamily] = [
            *list(self._counters.values()),
            *list(self._gauges.values()),
            *list(self._histograms.values()),
        ]
        out = render(families, openmetrics=openmetrics, failed=_callback_failed)
        if self._include_foreign:
            ours = {family.name for family in families}
            out.append(_foreign(ours, openmetrics=openmetrics, failed=_callback_failed))
        if openmetrics:
            out.append("# EOF\n")
        return "".join(out).encode()

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Answer one scrape.

        Args:
            accept: The request's ``Accept`` header.

        Returns:
            The body and its ``Content-Type``.
        """
        if prefers_openmetrics(accept):
            return self.exposition(openmetrics=True), OPENMETRICS_TYPE
        return self.exposition(), TEXT_TYPE

    def reset(self) -> None:
        """Set every series to zero: a forked child must not repeat what its parent counted."""
        for counter in self._counters.values():
            counter.reset()
        for gauge in self._gauges.values():
            gauge.reset()
        for histogram in self._histograms.values():
            histogram.reset()

    @staticmethod
    def _refused() -> None:
        record_failure("metrics.value", ValueError("negative, or not a number"))

    def _folded(self) -> None:
        self._overflow.inc()


def _hook_errors() -> dict[tuple[str, ...], float]:
    return {(hook,): float(count) for hook, count in hook_errors().items()}


def _callback_failed(error: Exception) -> None:
    record_failure("metrics.callback", error)


def _declared(name: str, kinds: tuple[Kind, ...]) -> Metric:
    metric = METRIC_BY_NAME.get(name)
    if metric is None:
        near = difflib.get_close_matches(name, METRIC_BY_NAME, n=1)
        raise DefinitionError.explain(
            "no metric has this name",
            got=name,
            accepted="a name in watchkeeper.vocabulary.metrics",
            next_step=f"use {near[0]!r}" if near else "declare the metric there first",
        )
    if metric.kind not in kinds:
        raise DefinitionError.explain(
            f"the metric {name} is a {metric.kind.value}",
            got=kinds[0].value,
            accepted=metric.kind.value,
            next_step=f"ask for it as a {metric.kind.value}",
        )
    return metric


def _foreign(ours: set[str], *, openmetrics: bool, failed: Callable[[Exception], None]) -> str:
    # Whoever has families of prometheus_client has imported it, so we never need to.
    package: Any = sys.modules.get("prometheus_client")
    if package is None:
        return ""
    try:
        registry = _Shown(package.REGISTRY, ours)
        if openmetrics:
            writer: Any = sys.modules["prometheus_client.openmetrics.exposition"]
            text: str = writer.generate_latest(registry).decode()
            return text.removesuffix("# EOF\n")
        shown: bytes = package.generate_latest(registry)
        return shown.decode()
    except Exception as error:  # noqa: BLE001 - a collector of the application may raise anything
        failed(error)
        return ""


class _Shown:
    """The families of another registry that do not repeat ours."""

    def __init__(self, registry: Any, ours: set[str]) -> None:
        self._registry = registry
        self._ours = ours

    def collect(self) -> list[Any]:
        return [
            family
            for family in self._registry.collect()
            if not family.name.startswith(_FOREIGN_DUPLICATES)
            and family.name not in self._ours
            and f"{family.name}_total" not in self._ours
        ]
