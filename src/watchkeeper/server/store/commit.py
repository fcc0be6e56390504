"""What one group commit writes, and in which order."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from watchkeeper.clock import Clock
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.index import SeriesIndex, labels_json
from watchkeeper.server.store.insert import insert
from watchkeeper.server.store.rows import Batch, Family
from watchkeeper.server.store.segments import DAY_NS, SIGNALS, Segments, Signal, day_of
from watchkeeper.server.store.writer import KnownDigests

__all__ = ["Committer"]

_MS_NS = 1_000_000
_Place = tuple[Signal, str]
_Rows = dict[_Place, dict[str, list[Sequence[Any]]]]


class Committer:
    """Turns batches into transactions; one thread calls `commit`."""

    def __init__(
        self, segments: Segments, index: SeriesIndex, clock: Clock, metrics: ServerMetrics
    ) -> None:
        """Load what stored segments know: series, families, and recent digests."""
        self._segments = segments
        self._index = index
        self._clock = clock
        self._metrics = metrics
        self._digests = KnownDigests()
        self._stored: dict[str, set[int]] = {}
        self._families: dict[str, dict[str, Family]] = defaultdict(dict)
        self._families_lock = threading.Lock()
        with segments.cursor() as cursor:
            for segment in segments.between("metrics"):
                rows = cursor.execute(
                    f"SELECT DISTINCT series_id, labels FROM {segment.alias}.series"
                ).fetchall()
                index.load(rows)
                self._stored[segment.day] = {number for number, _ in rows}
                for row in cursor.execute(f"FROM {segment.alias}.families").fetchall():
                    self._families[segment.day][row[0]] = Family(*row)
            for signal in SIGNALS:
                for segment in segments.between(signal)[-2:]:
                    for (digest,) in cursor.execute(
                        f"SELECT digest FROM {segment.alias}.batches ORDER BY committed_ns"
                    ).fetchall():
                        self._digests.add(digest)

    def families(self) -> list[Family]:
        """Return the latest metadata of every family."""
        latest: dict[str, Family] = {}
        with self._families_lock:
            for day in sorted(self._families):
                latest |= self._families[day]
        return [latest[name] for name in sorted(latest)]

    def commit(self, batches: Sequence[Batch]) -> None:
        """Store *batches*: one transaction for each segment that they touch.

        A batch's digest is committed with the last of its segments, so that a crash between two
        segments leaves it unknown and its sender's retry is stored.
        """
        fresh: list[Batch] = []
        seen: set[bytes] = set()
        for batch in batches:
            if batch.digest and (batch.digest in self._digests or batch.digest in seen):
                signal = "logs" if batch.logs else "traces" if batch.spans else "metrics"
                self._metrics.count("watchkeeper.server.duplicate_batches", signal)
                continue
            seen.add(batch.digest)
            fresh.append(batch)
        rows: _Rows = defaultdict(lambda: defaultdict(list))
        for batch in fresh:
            places = self._place(batch, rows)
            if batch.digest and places:
                rows[max(places)]["batches"].append((batch.digest, self._clock.now_ns()))
        for place in sorted(rows):
            self._write(place, rows[place])
        for batch in fresh:
            if batch.digest:
                self._digests.add(batch.digest)
        self._count(fresh)

    def _place(self, batch: Batch, rows: _Rows) -> set[_Place]:
        """Sort a batch's rows into segments and return the segments touched."""
        places: set[_Place] = set()
        for span in batch.spans:
            place: _Place = ("spans", day_of(span.start_ns))
            rows[place]["spans"].append(span)
            places.add(place)
        for record in batch.logs:
            place = ("logs", day_of(record.time_ns))
            rows[place]["logs"].append(record)
            places.add(place)
        places |= self._place_samples(batch, rows)
        return places

    def _place_samples(self, batch: Batch, rows: _Rows) -> set[_Place]:
        places: set[_Place] = set()
        refused = 0
        day_ms, day = -1, ""
        for labels, t_ms, value in batch.samples:
            if t_ms // (DAY_NS // _MS_NS) != day_ms:
                day_ms, day = t_ms // (DAY_NS // _MS_NS), day_of(t_ms * _MS_NS)
                places.add(("metrics", day))
                tables, stored = rows[("metrics", day)], self._stored.setdefault(day, set())
                samples = tables["samples"]
            number = self._index.id_of(labels)
            if number is None:
                refused += 1
                continue
            if number not in stored:
                stored.add(number)
                tables["series"].append((number, labels_json(labels)))
            samples.append((number, t_ms, value))
        for exemplar in batch.exemplars:
            number = self._index.id_of(exemplar.series)
            if number is not None:
                text = orjson.dumps(dict(exemplar.labels)).decode()
                place: _Place = ("metrics", day_of(exemplar.t_ms * _MS_NS))
                rows[place]["exemplars"].append((number, exemplar.t_ms, exemplar.value, text))
                places.add(place)
        if refused:
            self._metrics.count("watchkeeper.server.refused", "metrics", "series_limit", by=refused)
        if batch.families:
            self._place_families(batch.families, rows)
        return places

    def _place_families(self, families: Sequence[Family], rows: _Rows) -> None:
        today = day_of(self._clock.now_ns())
        with self._families_lock:
            known = self._families[today]
            for family in families:
                if known.get(family.name) != family:
                    known[family.name] = family
                    rows[("metrics", today)]["families"].append(family)

    def _write(self, place: _Place, tables: dict[str, list[Sequence[Any]]]) -> None:
        signal, day = place
        segment = self._segments.segment(signal, day)
        began_ns = self._clock.monotonic_ns()
        with self._segments.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                for table, rows in tables.items():
                    insert(cursor, segment, table, rows)
                cursor.execute("COMMIT")
            except BaseException:
                self._forget(day, tables)
                cursor.execute("ROLLBACK")
                raise
        took_s = (self._clock.monotonic_ns() - began_ns) / 1e9
        self._metrics.observe("watchkeeper.server.commit.duration", took_s, signal)

    def _forget(self, day: str, tables: dict[str, list[Sequence[Any]]]) -> None:
        """Take back what was noted as stored by a transaction that failed."""
        stored = self._stored.get(day, set())
        stored -= {number for number, _ in tables.get("series", [])}
        with self._families_lock:
            for family in tables.get("families", []):
                self._families[day].pop(family[0], None)

    def _count(self, batches: Sequence[Batch]) -> None:
        totals = {
            "traces": sum(len(batch.spans) for batch in batches),
            "logs": sum(len(batch.logs) for batch in batches),
            "metrics": sum(len(batch.samples) for batch in batches),
        }
        for signal, number in totals.items():
            if number:
                self._metrics.count("watchkeeper.server.ingested", signal, by=number)
