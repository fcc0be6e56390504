"""What several processes have counted, added up. Pure."""

from __future__ import annotations

import math
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


_Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels of a sample."""


class ForeignFamily:
    """A family of prometheus_client, added up over processes."""

    __slots__ = ("help", "name", "samples", "type", "unit")

    def __init__(self, name: str, kind: str, text: str, unit: str) -> None:
        self.name = name
        self.type = kind
        self.help = text
        self.unit = unit
        self.samples: dict[_Key, tuple[list[float], Any]] = {}
        """The summands of each sample, and the exemplar as labels, value and time."""

    def add(self, samples: Iterable[Any]) -> None:
        """Add samples, each of name, labels, a value or its summands, and an exemplar."""
        for name, pairs, value, exemplar in samples:
            key = (name, tuple((label, text) for label, text in pairs))
            parts = value if isinstance(value, list) else [value]
            before = self.samples.get(key)
            if before is None:
                self.samples[key] = parts, exemplar
            else:
                self.samples[key] = (
                    self._merged(name, before[0], parts),
                    _later(before[1], exemplar),
                )

    def plain(self, *, lasting: bool = False) -> list[Any]:
        """Return name, type, help, unit and samples, with sums or, if they go on, summands."""
        samples = [
            [name, list(labels), _exact(parts) if lasting else _sum(parts), exemplar]
            for (name, labels), (parts, exemplar) in self.samples.items()
        ]
        return [self.name, self.type, self.help, self.unit, samples]

    def _merged(self, sample: str, one: list[float], other: list[float]) -> list[float]:
        if sample.endswith("_created"):
            return [min(one + other)]
        return one + other if self.type in _SUMMED | _HELD else [max(one + other)]


class Totals:
    """Series by metric and labels, bounded per metric, and families of prometheus_client.

    Series that come first have the first claim to a place: what was shown once keeps its place as
    long as everything is added in the same order.

    Sums are kept as summands and rounded once, when they are shown. Otherwise a sum would depend on
    the order of its summands in the last digit, and would fall by that digit when a process dies
    and is added to the retired: Prometheus takes the least fall of a counter for a restart.

    Args:
        series_max: Returns how many series a metric may have; more fold into its overflow series.
    """

    def __init__(self, series_max: Callable[[Metric], int]) -> None:
        self._cells: dict[str, dict[str, list[float]]] = {}
        self.foreign: dict[str, ForeignFamily] = {}
        self.exemplars: Exemplars = {}
        self._series_max = series_max

    def add(self, name: str, labels: str, cells: list[float], *, parts: bool = False) -> None:
        """Add one series of one process; metrics of another version are left out.

        Args:
            name: The metric's dotted name.
            labels: The labels as the exposition writes them.
            cells: A histogram's buckets, if it is one, and the value or sum.
            parts: Whether the value or sum may be several summands.
        """
        metric = METRIC_BY_NAME.get(name)
        if metric is None:
            return
        size = _size(metric)
        if len(cells) < size or (len(cells) > size and not parts):
            return
        if metric.merge is not Merge.SUM and cells[0] != cells[0]:
            return  # never set, in a process that was forked
        family = self._cells.get(name)
        if family is None:
            family = self._cells[name] = {}
        before = family.get(labels)
        if before is None:
            room = self._series_max(metric) + (OVERFLOW in family)
            if labels != OVERFLOW and len(family) >= room:
                labels = OVERFLOW
                before = family.get(labels)
        family[labels] = cells if before is None else _merged(metric, size, before, cells)

    def has(self, name: str, labels: str) -> bool:
        """Tell whether a series has a place of its own."""
        return labels in self._cells.get(name, ())

    def families(self) -> Iterable[tuple[Metric, dict[str, list[float]]]]:
        """Return every metric with its series: cells by labels, sums as one number."""
        for name, family in self._cells.items():
            metric = METRIC_BY_NAME[name]
            last = _size(metric) - 1
            yield (
                metric,
                {
                    labels: cells if len(cells) == last + 1 else [*cells[:last], _sum(cells[last:])]
                    for labels, cells in family.items()
                },
            )

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
        values: dict[str, Any] = {}
        for name, family in self._cells.items():
            metric = METRIC_BY_NAME[name]
            last = _size(metric) - 1
            if metric.kind in (Kind.COUNTER, Kind.HISTOGRAM) or metric.merge is Merge.MAX_EVER:
                values[name] = [
                    last + 1,
                    {
                        labels: [*cells[:last], *_exact(cells[last:])]
                        for labels, cells in family.items()
                    },
                ]
        foreign = [
            family.plain(lasting=True) for family in self.foreign.values() if family.type in _SUMMED
        ]
        return {"values": values, "foreign": foreign}

    def add_lasting(
        self, kept: Mapping[str, Any], place: Callable[[str, str], str] | None = None
    ) -> None:
        """Add what `lasting` returned.

        Args:
            kept: It.
            place: Returns the labels under which a series is added, from its metric and labels.
        """
        for name, (size, family) in kept["values"].items():
            metric = METRIC_BY_NAME.get(name)
            if metric is None or size != _size(metric):
                continue  # written by another version
            for labels, cells in family.items():
                shown = labels if place is None else place(name, labels)
                self.add(name, shown, cells, parts=True)
        self.add_foreign(kept["foreign"])


def _size(metric: Metric) -> int:
    return len(metric.buckets) + 2 if metric.buckets else 1


def _merged(metric: Metric, size: int, one: list[float], other: list[float]) -> list[float]:
    if size > 1:
        last = size - 1
        # Counts are whole numbers, whose sums are exact.
        return [*map(add, one[:last], other[:last]), *one[last:], *other[last:]]
    if metric.merge is Merge.SUM:
        return one + other
    return [min(one + other) if metric.merge is Merge.MIN else max(one + other)]


def _sum(parts: list[float]) -> float:
    if len(parts) == 1:
        return parts[0]
    try:
        return math.fsum(parts)
    except (ValueError, OverflowError):
        return sum(parts)


def _exact(parts: list[float]) -> list[float]:
    """Return few numbers with exactly the same sum (Shewchuk, 1997, grow-expansion)."""
    if len(parts) == 1 or not math.isfinite(sum(parts)):
        return [_sum(parts)]
    found: list[float] = []
    for part in parts:
        rest = part
        kept = []
        for one in found:
            large, small = (rest, one) if abs(rest) >= abs(one) else (one, rest)
            rest = large + small
            lost = small - (rest - large)
            if lost:
                kept.append(lost)
        found = [*kept, rest]
    return found


def _newer(one: list[Any] | None, other: list[Any] | None) -> list[Any] | None:
    if one is None or other is None:
        return one or other
    return one if one[3] >= other[3] else other


def _later(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one or other
    return one if (one[2] or 0) >= (other[2] or 0) else other
