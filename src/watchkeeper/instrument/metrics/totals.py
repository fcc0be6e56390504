"""What several processes have counted, added up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import add
from typing import Any

from watchkeeper.instrument.metrics.families import OVERFLOW
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME
from watchkeeper.vocabulary.model import Kind, Merge, Metric

__all__ = ["Exemplars", "ForeignFamily", "Totals"]

Exemplars = dict[str, dict[str, list[list[Any] | None]]]
"""By metric and labels: for each bucket value, trace id, span id, nanoseconds; or None."""

_SUMMED = frozenset(("counter", "histogram", "summary"))
"""Types of prometheus_client whose numbers outlive the process."""
_HELD = frozenset(("gauge", "gaugehistogram"))
"""Types that add up as long as the process lives; of the rest the largest value stands."""


class ForeignFamily:
    """A family of prometheus_client, added up over processes."""

    __slots__ = ("help", "name", "samples", "type", "unit")

    def __init__(self, name: str, kind: str, text: str, unit: str) -> None:
        self.name = name
        self.type = kind
        self.help = text
        self.unit = unit
        self.samples: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, Any]] = {}
        """By sample name and labels: the value, and the exemplar as labels, value and time."""

    def add(self, samples: Iterable[Any]) -> None:
        """Add samples, each of name, labels, value and exemplar."""
        for name, pairs, value, exemplar in samples:
            key = (name, tuple((label, text) for label, text in pairs))
            before = self.samples.get(key)
            if before is None:
                self.samples[key] = value, exemplar
            else:
                merged = self._merged(name, before[0], value)
                self.samples[key] = merged, _later(before[1], exemplar)

    def _merged(self, sample: str, one: float, other: float) -> float:
        if sample.endswith("_created"):
            return min(one, other)
        return one + other if self.type in _SUMMED | _HELD else max(one, other)

    def plain(self) -> list[Any]:
        """Return it as what `add_foreign` takes."""
        samples = [[name, list(labels), *rest] for (name, labels), rest in self.samples.items()]
        return [self.name, self.type, self.help, self.unit, samples]


class Totals:
    """Series by metric and labels, bounded per metric, and families of prometheus_client.

    Series that come first have the first claim to a place: what was shown once keeps its place as
    long as everything is added in the same order.

    Args:
        series_max: Returns how many series a metric may have; more fold into its overflow series.
    """

    def __init__(self, series_max: Callable[[Metric], int]) -> None:
        self.values: dict[str, dict[str, list[float]]] = {}
        self.foreign: dict[str, ForeignFamily] = {}
        self.exemplars: Exemplars = {}
        self.folded = 0
        """Series of one process that found no place."""
        self._series_max = series_max

    def add(self, name: str, labels: str, cells: list[float]) -> None:
        """Add one series of one process; metrics of another version are left out."""
        metric = METRIC_BY_NAME.get(name)
        if metric is None or len(cells) != (len(metric.buckets) + 2 if metric.buckets else 1):
            return
        if metric.merge is not Merge.SUM and cells[0] != cells[0]:
            return  # never set, in a process that was forked
        family = self.values.get(name)
        if family is None:
            family = self.values[name] = {}
        before = family.get(labels)
        if before is None:
            room = self._series_max(metric) + (OVERFLOW in family)
            if labels == OVERFLOW or len(family) < room:
                family[labels] = cells
                return
            self.folded += 1
            labels = OVERFLOW
            before = family.get(labels)
            if before is None:
                family[labels] = cells
                return
        if len(cells) > 1:
            family[labels] = list(map(add, before, cells))
        elif metric.merge is Merge.SUM:
            family[labels] = [before[0] + cells[0]]
        elif metric.merge is Merge.MIN:
            family[labels] = [min(before[0], cells[0])]
        else:
            family[labels] = [max(before[0], cells[0])]

    def add_exemplars(self, found: Exemplars) -> None:
        """Keep the latest exemplar of each bucket."""
        for name, by_labels in found.items():
            mine = self.exemplars.setdefault(name, {})
            for labels, buckets in by_labels.items():
                before = mine.get(labels)
                if before is None:
                    mine[labels] = buckets
                elif len(before) == len(buckets):
                    mine[labels] = [
                        _newer(one, other) for one, other in zip(before, buckets, strict=True)
                    ]

    def add_foreign(self, families: Iterable[Any]) -> None:
        """Add families of prometheus_client, each of name, type, help, unit and samples."""
        for name, kind, text, unit, samples in families:
            family = self.foreign.get(name)
            if family is None:
                family = self.foreign[name] = ForeignFamily(name, kind, text, unit)
            if family.type == kind:
                family.add(samples)

    def lasting(self) -> dict[str, Any]:
        """Return what outlives the processes, as JSON can hold it; `add_lasting` takes it back."""
        values = {
            name: family
            for name, family in self.values.items()
            if METRIC_BY_NAME[name].kind in (Kind.COUNTER, Kind.HISTOGRAM)
            or METRIC_BY_NAME[name].merge is Merge.MAX_EVER
        }
        foreign = [family.plain() for family in self.foreign.values() if family.type in _SUMMED]
        return {"values": values, "foreign": foreign}

    def add_lasting(self, kept: Mapping[str, Any]) -> None:
        """Add what `lasting` returned."""
        for name, family in kept["values"].items():
            for labels, cells in family.items():
                self.add(name, labels, cells)
        self.add_foreign(kept["foreign"])


def _newer(one: list[Any] | None, other: list[Any] | None) -> list[Any] | None:
    if one is None or other is None:
        return one or other
    return one if one[3] >= other[3] else other


def _later(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one or other
    return one if (one[2] or 0) >= (other[2] or 0) else other
