"""The metrics of one process, built from the vocabulary, and the page of its group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.clock import Clock
from watchkeeper.errors import DefinitionError
from watchkeeper.instrument.cuts import cuts
from watchkeeper.instrument.guard import hook_errors, record_failure
from watchkeeper.instrument.metrics import foreign
from watchkeeper.instrument.metrics.cells import Cells, FileCells, Series, heap_cells, numbers
from watchkeeper.instrument.metrics.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    AnyFamily,
    prefers_openmetrics,
    render,
    render_totals,
)
from watchkeeper.instrument.metrics.families import (
    CounterFamily,
    GaugeFamily,
    HistogramFamily,
    Hooks,
)
from watchkeeper.instrument.metrics.totals import Totals
from watchkeeper.vocabulary.limits import LIMITS, limit
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME
from watchkeeper.vocabulary.model import Kind, Merge, Metric

__all__ = ["MetricSet"]


_NOTHING_SAID = float("nan")


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
        self._file: FileCells | None = None
        self._errors_before: Mapping[str, int] = {}
        self._cuts_before: Mapping[str, int] = {}
        self._totals: Callable[[], Totals] | None = None
        self._hooks = Hooks(clock.now_ns, self._refused, self._folded, self._take, self._forget)
        overflow = self.counter("watchkeeper.metric.overflow")
        self._overflow = overflow.child((LIMITS["metric_series_max"].reason,))
        self.counter("watchkeeper.hook.errors").collect_from(self._hook_errors)
        self.counter("watchkeeper.telemetry.truncated").collect_from(self._truncated)

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

        In a group of workers these are the sums over the group. Callbacks that raise lose their
        series and are counted in ``watchkeeper.hook.errors``.
        """
        out = self._group_text(openmetrics=openmetrics)
        if out is None:
            out = self._own_text(openmetrics=openmetrics)
        if openmetrics:
            out.append("# EOF\n")
        return "".join(out).encode()

    @property
    def shared(self) -> bool:
        """Whether other processes are on the page, so that it costs more than a moment."""
        return self._totals is not None

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

    def series_max_of(self, metric: Metric) -> int:
        """Return how many series *metric* may have."""
        return min(metric.series_max, self._series_max)

    def share(self, totals: Callable[[], Totals] | None) -> None:
        """Show what *totals* returns from now on, the sums of a group; None shows this process."""
        self._totals = totals

    def move(self, file: FileCells) -> None:
        """Go on counting in *file*, from the numbers so far."""
        self._file = file
        for family in self._families():
            children: list[tuple[str, Any]] = family.labelled()
            wanted = [Series(family.metric.name, one, family.cell_count) for one, _ in children]
            for (_, child), cells in zip(children, file.take_all(wanted), strict=True):
                if child.cells is not cells:
                    child.move(cells)

    def reset(self) -> None:
        """Set every series to zero, in the objects that hooks hold, and in plain memory.

        A forked child must not repeat what its parent counted, nor write where its parent does.
        """
        self._file = None
        for family in self._families():
            family.renew_lock()
            children: list[tuple[str, Any]] = family.labelled()
            merge = family.metric.merge
            for _, child in children:
                cells = heap_cells(family.cell_count)
                if merge is not Merge.SUM:
                    # A zero would be a statement, and the smallest of all workers' perhaps.
                    cells[0] = _NOTHING_SAID
                child.restart(cells)
        self._errors_before = hook_errors()
        self._cuts_before = cuts()

    def said(self) -> dict[str, Any]:
        """Return what is in no cell, as JSON can hold it: callbacks, exemplars, foreign families."""
        values: dict[str, dict[str, list[float]]] = {}
        exemplars: dict[str, dict[str, list[Any]]] = {}
        families = self._families()
        for family in families:
            name = family.metric.name
            if isinstance(family, HistogramFamily):
                found = {
                    child.prefix: child.exemplars for child in family.series() if child.exemplars
                }
                if found:
                    exemplars[name] = found
                continue
            called = family.called(_callback_failed)
            if called:
                values[name] = called
        for series, cells in self._file.strays if self._file is not None else ():
            values.setdefault(series.metric, {})[series.labels] = numbers(cells)
        said: dict[str, Any] = {"values": values, "exemplars": exemplars}
        if self._include_foreign:
            try:
                said["foreign"] = foreign.collect({family.name for family in families})
            except Exception as error:  # noqa: BLE001 - a collector of the application may raise anything
                _callback_failed(error)
        return said

    def _families(self) -> list[AnyFamily]:
        return [
            *list(self._counters.values()),
            *list(self._gauges.values()),
            *list(self._histograms.values()),
        ]

    def _group_text(self, *, openmetrics: bool) -> list[str] | None:
        if self._totals is None:
            return None
        try:
            totals = self._totals()
            out = render_totals(totals, openmetrics=openmetrics)
            if self._include_foreign:
                plain = [family.plain() for family in totals.foreign.values()]
                out.append(foreign.text_of(plain, openmetrics=openmetrics))
        except Exception as error:  # noqa: BLE001 - own numbers are better than none
            record_failure("metrics.group", error)
            return None
        return out

    def _own_text(self, *, openmetrics: bool) -> list[str]:
        families = self._families()
        out = render(families, openmetrics=openmetrics, failed=_callback_failed)
        if self._include_foreign:
            try:
                ours = {family.name for family in families}
                out.append(foreign.text(ours, openmetrics=openmetrics))
            except Exception as error:  # noqa: BLE001 - a collector of the application may raise anything
                _callback_failed(error)
        return out

    def _take(self, series: Series) -> Cells:
        file = self._file
        return heap_cells(series.size) if file is None else file.take(series)

    def _forget(self, series: Series) -> None:
        if self._file is not None:
            self._file.forget(series)

    def _hook_errors(self) -> dict[tuple[str, ...], float]:
        before = self._errors_before.get
        return {(hook,): float(count - before(hook, 0)) for hook, count in hook_errors().items()}

    def _truncated(self) -> dict[tuple[str, ...], float]:
        before = self._cuts_before.get
        return {(reason,): float(count - before(reason, 0)) for reason, count in cuts().items()}

    @staticmethod
    def _refused() -> None:
        record_failure("metrics.value", ValueError("negative, or not a number"))

    def _folded(self) -> None:
        self._overflow.inc()


def _callback_failed(error: Exception) -> None:
    record_failure("metrics.callback", error)


def _declared(name: str, kinds: tuple[Kind, ...]) -> Metric:
    metric = METRIC_BY_NAME.get(name)
    if metric is None:
        import difflib  # noqa: PLC0415 - only for a mistake

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
