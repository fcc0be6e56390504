"""Families: every series of one metric, found by its label values."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.metrics.cells import Cells, Series
from watchkeeper.instrument.metrics.instruments import (
    Counter,
    Gauge,
    Histogram,
    counter_type,
    gauge_type,
    histogram_type,
)
from watchkeeper.vocabulary.limits import limit
from watchkeeper.vocabulary.model import Metric

__all__ = [
    "OVERFLOW",
    "Collect",
    "CounterFamily",
    "Family",
    "GaugeFamily",
    "HistogramFamily",
    "Hooks",
    "label_block",
]

OVERFLOW = 'otel_metric_overflow="true"'
"""The labels of the series that takes what crosses the limit (OpenTelemetry, metrics/sdk.md)."""

_VALUE_CHARS_MAX = limit("metric_label_chars_max")

Collect = Callable[[], Mapping[tuple[str, ...], float]]
"""Returns label values, in declared order, and the value of each series."""

_Child = TypeVar("_Child", Counter, Gauge, Histogram)
_Value = TypeVar("_Value", Counter, Gauge)


class Hooks:
    """What a family asks of its set: the clock, cells, and to note refused and folded updates."""

    __slots__ = ("folded", "forget", "now_ns", "refused", "take")

    def __init__(
        self,
        now_ns: Callable[[], int],
        refused: Callable[[], None],
        folded: Callable[[], None],
        take: Callable[[Series], Cells],
        forget: Callable[[Series], None],
    ) -> None:
        self.now_ns = now_ns
        self.refused = refused
        self.folded = folded
        self.take = take
        self.forget = forget


def label_block(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return ``a="x",b="y"`` with the values escaped and the empty ones left out."""
    return ",".join(
        f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True) if value
    )


def _escape(value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return escaped.encode("utf-8", "replace").decode("utf-8")


class Family(ABC, Generic[_Child]):
    """Every series of one metric."""

    def __init__(self, metric: Metric, hooks: Hooks, series_max: int) -> None:
        self.metric = metric
        self.name = metric.prometheus_name
        self.label_names = metric.label_names
        self.collect: Collect | None = None
        self.series_max = min(metric.series_max, series_max)
        self._hooks = hooks
        self._children: dict[tuple[str, ...], _Child] = {}
        self._overflow: _Child | None = None
        self._lock = threading.Lock()

    def child(self, values: tuple[str, ...] = ()) -> _Child:
        """Return the series with these label values; made on first use.

        Beyond the limit of the metric every new combination gets the one overflow series, and
        ``watchkeeper.metric.overflow`` counts the calls that did.

        Args:
            values: One text per label in the vocabulary's order; "" means that it is absent.

        Raises:
            ValueError: The number of values is not the number of labels.
        """
        try:
            return self._children[values]
        except KeyError:
            return self._create(values)

    def remove(self, values: tuple[str, ...]) -> None:
        """Forget the series with these label values, if it exists."""
        with self._lock:
            if self._children.pop(values, None) is not None:
                labels = label_block(self.label_names, values)
                self._hooks.forget(Series(self.metric.name, labels, 0))

    def series(self) -> list[_Child]:
        """Return every series at this moment, the overflow series last."""
        children: list[_Child] = list(self._children.values())
        if self._overflow is not None:
            children.append(self._overflow)
        return children

    def labelled(self) -> list[tuple[str, _Child]]:
        """Return every series with its labels as the exposition writes them."""
        # Under the lock, so that no series is just being made with cells of before.
        with self._lock:
            found = [
                (label_block(self.label_names, values), child)
                for values, child in self._children.items()
            ]
            if self._overflow is not None:
                found.append((OVERFLOW, self._overflow))
        return found

    def renew_lock(self) -> None:
        """Make a new lock: in a forked child the old one may be held by a thread that is gone."""
        self._lock = threading.Lock()

    @property
    def cell_count(self) -> int:
        """Cells of one series."""
        return len(self.metric.buckets) + 2 if self.metric.buckets else 1

    def _cells(self, labels: str) -> Cells:
        return self._hooks.take(Series(self.metric.name, labels, self.cell_count))

    def prefix(self, labels: str) -> str:
        """Return what a line of the series starts with, up to the value."""
        name = self.name
        return f"{name}{{{labels}}} " if labels else f"{name} "

    @abstractmethod
    def _make(self, labels: str) -> _Child: ...

    def _create(self, values: tuple[str, ...]) -> _Child:
        if len(values) != len(self.label_names):
            raise ValueError(
                f"{self.metric.name} takes {len(self.label_names)} label values "
                f"{self.label_names}, got {len(values)}"
            )
        texts = tuple(str(value) for value in values)
        key = tuple(text[:_VALUE_CHARS_MAX] for text in texts)
        if key != texts:
            count_cut("label_length")
        with self._lock:
            child = self._children.get(key)
            if child is not None:
                return child
            if len(self._children) < self.series_max:
                child = self._children[key] = self._make(label_block(self.label_names, key))
                return child
            if self._overflow is None:
                self._overflow = self._make(OVERFLOW)
        self._hooks.folded()
        return self._overflow


class _Called(Family[_Value]):
    """A family whose series may be read from elsewhere at each exposition."""

    def collect_from(self, collect: Collect | None) -> None:
        """Add the series that *collect* returns; None removes them."""
        self.collect = collect

    def called(self, failed: Callable[[Exception], None]) -> dict[str, list[float]]:
        """Return the series that are read from elsewhere, by their labels.

        Args:
            failed: Called for each callback that raised; its series is left out.
        """
        found: dict[str, list[float]] = {}
        for labels, child in self.labelled():
            if child.function is not None:
                try:
                    found[labels] = [float(child.function())]
                except Exception as error:  # noqa: BLE001 - a callback of the application
                    failed(error)
        if self.collect is not None:
            try:
                for values, value in self.collect().items():
                    found[label_block(self.label_names, values)] = [float(value)]
            except Exception as error:  # noqa: BLE001 - likewise
                failed(error)
        return found


class CounterFamily(_Called[Counter]):
    """The series of a counter."""

    def _make(self, labels: str) -> Counter:
        return counter_type(self.prefix(labels), self._hooks.refused, self._cells(labels))


class GaugeFamily(_Called[Gauge]):
    """The series of a gauge or up-down counter."""

    def _make(self, labels: str) -> Gauge:
        return gauge_type(self.prefix(labels), self._cells(labels))


class HistogramFamily(Family[Histogram]):
    """The series of a histogram."""

    def prefix(self, labels: str) -> str:
        """Return the labels alone: a histogram's lines differ in their names."""
        return labels

    def _make(self, labels: str) -> Histogram:
        return histogram_type(
            self.prefix(labels),
            self.metric.buckets,
            self._hooks.now_ns,
            self._hooks.refused,
            self._cells(labels),
        )
