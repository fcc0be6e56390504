"""Rows of one segment, made ready for a transaction and applied to memory after it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.series import Exemplar
from watchkeeper.server.store.columns import log_table, sample_table, span_table
from watchkeeper.server.store.head import Head
from watchkeeper.server.store.index import Entry, SeriesIndex, labels_json
from watchkeeper.server.store.rows import Batch, Family, LogRow, Sample, SpanRow
from watchkeeper.server.store.segments import Segment, Signal, day_of

__all__ = ["MetricsRoom", "Part", "Work", "prepare_rows", "split"]

_MS_NS = 1_000_000
Row = TypeVar("Row")


@dataclass(slots=True)
class Part:
    """What one batch brings for one segment."""

    spans: list[SpanRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """Tables to insert, and what to do in memory after the commit or instead of it."""

    items: int
    tables: list[tuple[str, Any]]
    """Name of the table in the segment, and the Arrow table with its rows."""
    apply: Callable[[], None] = lambda: None
    undo: Callable[[], None] = lambda: None


def split(batch: Batch, now_ns: int) -> dict[tuple[Signal, str], Part]:
    """Return the parts of *batch* by signal and UTC day; metadata goes with today's samples."""
    parts: dict[tuple[Signal, str], Part] = {}

    def part(signal: Signal, time_ns: int) -> Part:
        return parts.setdefault((signal, day_of(time_ns)), Part())

    spans, logs, samples = batch.spans, batch.logs, batch.samples
    if spans:
        for span_rows in _by_day(spans, [row.start_ns for row in spans], 1):
            part("spans", span_rows[0].start_ns).spans = span_rows
    if logs:
        for log_rows in _by_day(logs, [row.time_ns for row in logs], 1):
            part("logs", log_rows[0].time_ns).logs = log_rows
    if samples:
        for sample_rows in _by_day(samples, [row.t_ms for row in samples], _MS_NS):
            part("metrics", sample_rows[0].t_ms * _MS_NS).samples = sample_rows
    for exemplar in batch.exemplars:
        part("metrics", exemplar.t_ms * _MS_NS).exemplars.append(exemplar)
    if batch.families:
        part("metrics", now_ns).families = batch.families
    return parts


def _by_day(rows: list[Row], times: list[int], unit_ns: int) -> Iterable[list[Row]]:
    first = day_of(min(times) * unit_ns)
    if first == day_of(max(times) * unit_ns):
        return [rows]
    days: dict[str, list[Row]] = {}
    for row, time in zip(rows, times, strict=True):
        days.setdefault(day_of(time * unit_ns), []).append(row)
    return days.values()


def prepare_rows(signal: Signal, parts: Sequence[Part]) -> Work:
    """Return the work of a segment of spans or logs."""
    if signal == "spans":
        spans = [row for part in parts for row in part.spans]
        return Work(len(spans), [("spans", span_table(spans))])
    logs = [row for part in parts for row in part.logs]
    return Work(len(logs), [("logs", log_table(logs))])


class MetricsRoom:
    """Decides which samples are kept, and keeps index and head in step with the disk.

    Used by the writer's thread only.
    """

    def __init__(self, index: SeriesIndex, head: Head, metrics: ServerMetrics) -> None:
        self._index = index
        self._head = head
        self._metrics = metrics
        self.families: dict[str, Family] = {}

    def prepare(self, segment: Segment, parts: Sequence[Part]) -> Work:
        """Return the work of a metrics segment whose ``series`` set is loaded."""
        taken = _Taken()
        for part in parts:
            self._take(part.samples, taken)
        exemplars = [e for part in parts for e in self._exemplars(part.exemplars, taken)]
        families = {family.name: family for part in parts for family in part.families}
        news = [f for f in families.values() if f not in segment.families]
        present = segment.series if segment.series is not None else set()
        unnamed = {entry.id: entry for entry in taken.entries if entry.id not in present}
        unnamed |= {entry.id: entry for entry, _ in exemplars if entry.id not in present}
        tables: list[tuple[str, Any]] = []
        if unnamed:
            texts = [labels_json(entry.labels) for entry in unnamed.values()]
            ids = pa.array(list(unnamed), type=pa.int64())
            tables.append(("series", pa.table({"series_id": ids, "labels": texts})))
        if taken.times:
            numbers = [entry.id for entry in taken.entries]
            tables.append(("samples", sample_table(numbers, taken.times, taken.values)))
        if exemplars:
            tables.append(("exemplars", _exemplar_table(exemplars)))
        if news:
            columns = list(zip(*news, strict=True))
            tables.append(("families", pa.table(dict(zip(Family._fields, columns, strict=True)))))

        def apply() -> None:
            present.update(unnamed)
            segment.families.update(news)
            self.families |= families
            self._head.add(taken.entries, taken.times, taken.values)

        return Work(len(taken.times), tables, apply, taken.undo)

    def _take(self, samples: Iterable[Sample], taken: _Taken) -> None:
        entry_of = self._index.entry
        entries, times, values, before = taken.entries, taken.times, taken.values, taken.before
        for labels, t, value in samples:
            entry = entry_of(labels)
            if entry is None:
                self._metrics.count("watchkeeper.server.refused", "metrics", "series_limit")
                continue
            last = entry.last_t
            if last is None or t > last:
                before.append((entry, last))
                entry.last_t = t
            elif not self._fits(entry, t, value, taken):
                continue
            entries.append(entry)
            times.append(t)
            values.append(value)

    def _fits(self, entry: Entry, t: int, value: float, taken: _Taken) -> bool:
        """Return whether a sample that is not the newest of its series is kept."""
        if t < self._head.floor_ms:
            self._metrics.count("watchkeeper.server.refused", "metrics", "out_of_order")
            return False
        known = self._head.value_at(entry, t)
        if known is None:
            known = taken.value_at(entry, t)
        if known is None:
            return True
        if struct.pack("<d", known) != struct.pack("<d", value):
            self._metrics.count("watchkeeper.server.refused", "metrics", "duplicate_timestamp")
        return False

    def _exemplars(
        self, exemplars: Iterable[Exemplar], taken: _Taken
    ) -> Iterable[tuple[Entry, Exemplar]]:
        """Yield what is newer than the series' last exemplar; a scrape repeats old ones."""
        for exemplar in exemplars:
            entry = self._index.entry(exemplar.series)
            if entry is None:
                continue
            last = entry.exemplar
            repeated = last is not None and (
                exemplar.t_ms < last.t_ms
                or (exemplar.labels == last.labels and exemplar.value == last.value)
            )
            if not repeated:
                taken.exemplars_before.append((entry, last))
                entry.exemplar = exemplar
                yield entry, exemplar


class _Taken:
    """Samples chosen so far, and how to forget that they were."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.times: list[int] = []
        self.values: list[float] = []
        self.before: list[tuple[Entry, int | None]] = []
        self.exemplars_before: list[tuple[Entry, Exemplar | None]] = []
        self._seen: dict[tuple[int, int], float] = {}
        self._seen_to = 0

    def value_at(self, entry: Entry, t: int) -> float | None:
        """Return the value taken for a series and time, or None."""
        for at in range(self._seen_to, len(self.times)):
            self._seen[self.entries[at].id, self.times[at]] = self.values[at]
        self._seen_to = len(self.times)
        return self._seen.get((entry.id, t))

    def undo(self) -> None:
        for entry, last in reversed(self.before):
            entry.last_t = last
        for entry, exemplar in reversed(self.exemplars_before):
            entry.exemplar = exemplar


def _exemplar_table(exemplars: Sequence[tuple[Entry, Exemplar]]) -> Any:
    return pa.table(
        {
            "series_id": pa.array([entry.id for entry, _ in exemplars], type=pa.int64()),
            "t_ms": pa.array([e.t_ms for _, e in exemplars], type=pa.int64()),
            "value": pa.array([e.value for _, e in exemplars], type=pa.float64()),
            "labels": [labels_json(e.labels) for _, e in exemplars],
        }
    )
