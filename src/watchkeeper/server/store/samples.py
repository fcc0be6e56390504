"""Samples, exemplars and labels by matcher: memory for what is recent, segments for the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.errors import QueryLimitError
from watchkeeper.server.series import STALE_NAN_BITS, Exemplar, Labels, Matcher, Series
from watchkeeper.server.store.head import Head, HeadSlice
from watchkeeper.server.store.index import SeriesIndex
from watchkeeper.server.store.rows import Family
from watchkeeper.server.store.segments import Segment, Segments
from watchkeeper.vocabulary.limits import limit

__all__ = ["SampleRoom"]

_MS_NS = 1_000_000
_EXEMPLARS_MAX = 10_000


class SampleRoom:
    """Answers queries about series. Thread-safe."""

    def __init__(self, segments: Segments, index: SeriesIndex, head: Head) -> None:
        self._segments = segments
        self._index = index
        self._head = head
        self._loading = threading.Lock()

    def load_series(self, segment: Segment) -> set[int]:
        """Return the ids of a segment's series; makes them known at the first call."""
        if segment.series is None:
            with self._loading:
                if segment.series is None:
                    with self._segments.cursor() as cursor:
                        rows = cursor.execute(
                            f"SELECT series_id, labels FROM {segment.alias}.series"
                        ).fetchall()
                    self._index.load(rows)
                    segment.series = {row[0] for row in rows}
        return segment.series

    def fill_head(self) -> None:
        """Read what belongs into memory from the disk; called once, before the first write."""
        start_ms = self._head.floor_ms
        with self._segments.reading("metrics", start_ms * _MS_NS) as segments:
            found = self._disk(segments, None, start_ms, 2**62)
        for number, held in found.items():
            self._head.fill(self._index[number], held.t_ms, held.values)

    def stored_families(self) -> dict[str, Family]:
        """Return the metadata in the two newest segments; also notes what each one holds."""
        families: dict[str, Family] = {}
        for segment in self._segments.between("metrics")[-2:]:
            with self._segments.cursor() as cursor:
                rows = cursor.execute(f"SELECT * FROM {segment.alias}.families").fetchall()
            segment.families = {Family(*row) for row in rows}
            families |= {row[0]: Family(*row) for row in rows}
        return families

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return series with samples in the range; see `watchkeeper.server.series.Queryable`."""
        with self._segments.reading(
            "metrics", start_ms * _MS_NS, end_ms * _MS_NS + _MS_NS - 1
        ) as segments:
            for segment in segments:
                self.load_series(segment)
            numbers = self._index.find(matchers)
            if not numbers:
                return []
            floor, recent = self._head.slices(numbers, start_ms, end_ms)
            older: dict[int, HeadSlice] = {}
            if start_ms < floor:
                older = self._disk(segments, numbers, start_ms, min(end_ms, floor - 1))
        total = sum(len(held.t_ms) for held in recent.values())
        total += sum(len(held.t_ms) for held in older.values())
        if total > limit("query_samples_max"):
            raise _too_many()
        found = []
        for number in recent.keys() | older.keys():
            labels = self._index[number].labels
            both = [held[number] for held in (older, recent) if number in held]
            if len(both) == 1:
                found.append(Series(labels, both[0].t_ms, both[0].values))
            else:
                times = np.concatenate([held.t_ms for held in both])
                found.append(Series(labels, times, np.concatenate([h.values for h in both])))
        return found

    def _disk(
        self, segments: Sequence[Segment], numbers: set[int] | None, start_ms: int, end_ms: int
    ) -> dict[int, HeadSlice]:
        """Return samples by series id, read from *segments*; all series if *numbers* is None."""
        sources = []
        for segment in segments:
            present = self.load_series(segment)
            if numbers is None or not present.isdisjoint(numbers):
                sources.append(f"SELECT * FROM {segment.alias}.samples")
        if not sources:
            return {}
        most = limit("query_samples_max")
        where = f"t_ms BETWEEN {int(start_ms)} AND {int(end_ms)}"
        with self._segments.cursor() as cursor:
            if numbers is not None:
                ids = np.fromiter(numbers, dtype=np.int64, count=len(numbers))
                cursor.register("wanted", pa.table({"id": ids}))
                where += " AND series_id IN (SELECT id FROM wanted)"
            rows = cursor.execute(
                f"SELECT series_id, t_ms, value FROM ({' UNION ALL '.join(sources)}) "
                f"WHERE {where} ORDER BY series_id, t_ms LIMIT {most + 1}"
            ).fetchnumpy()
        if len(rows["series_id"]) > most:
            raise _too_many()
        return _grouped(rows["series_id"], rows["t_ms"], _with_markers(rows["value"]))

    def exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Exemplar]:
        """Return the exemplars of matching series in the range, oldest first, 10,000 at most."""
        with self._segments.reading(
            "metrics", start_ms * _MS_NS, end_ms * _MS_NS + _MS_NS - 1
        ) as segments:
            for segment in segments:
                self.load_series(segment)
            numbers = self._index.find(matchers)
            if not numbers or not segments:
                return []
            sources = " UNION ALL ".join(f"SELECT * FROM {s.alias}.exemplars" for s in segments)
            ids = np.fromiter(numbers, dtype=np.int64, count=len(numbers))
            with self._segments.cursor() as cursor:
                cursor.register("wanted", pa.table({"id": ids}))
                rows = cursor.execute(
                    f"SELECT series_id, labels, t_ms, value FROM ({sources}) "
                    f"WHERE t_ms BETWEEN {int(start_ms)} AND {int(end_ms)} "
                    "AND series_id IN (SELECT id FROM wanted) "
                    f"ORDER BY t_ms DESC, series_id LIMIT {_EXEMPLARS_MAX}"
                ).fetchall()
        found = []
        for number, labels, t_ms, value in reversed(rows):
            pairs = tuple(orjson.loads(labels).items())
            found.append(Exemplar(self._index[number].labels, pairs, t_ms, value))
        return found

    def label_names(
        self, sets: Sequence[Sequence[Matcher]], start_ms: int | None, end_ms: int | None
    ) -> list[str]:
        """Return the label names of matching series in the range, sorted."""
        return self._index.names(self._present(sets or [()], start_ms, end_ms))

    def label_values(
        self,
        name: str,
        sets: Sequence[Sequence[Matcher]],
        start_ms: int | None,
        end_ms: int | None,
    ) -> list[str]:
        """Return the values of a label over matching series in the range, sorted."""
        return self._index.values(name, self._present(sets or [()], start_ms, end_ms))

    def series(
        self,
        matcher_sets: Iterable[Sequence[Matcher]],
        start_ms: int | None,
        end_ms: int | None,
    ) -> list[Labels]:
        """Return the series that satisfy at least one set of matchers, sorted."""
        numbers = self._present(matcher_sets, start_ms, end_ms)
        return sorted(self._index[number].labels for number in numbers)

    def _present(
        self,
        matcher_sets: Iterable[Sequence[Matcher]],
        start_ms: int | None,
        end_ms: int | None,
    ) -> set[int]:
        """Return the ids of matching series.

        Exact to the sample if the range lies within the memory, else to the day.
        """
        start_ns = None if start_ms is None else start_ms * _MS_NS
        end_ns = None if end_ms is None else end_ms * _MS_NS + _MS_NS - 1
        there: set[int] = set()
        with self._segments.reading("metrics", start_ns, end_ns) as segments:
            for segment in segments:
                there |= self.load_series(segment)
            found: set[int] = set()
            for matchers in matcher_sets:
                found |= self._index.find(matchers)
        found &= there
        if start_ms is not None and start_ms >= self._head.floor_ms:
            found &= self._head.present(found, start_ms, end_ms)
        return found


def _with_markers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column with staleness markers where it is NULL."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    plain = np.array(values.data, dtype=np.float64)
    plain.view(np.uint64)[np.ma.getmaskarray(values)] = STALE_NAN_BITS
    return plain


def _grouped(
    numbers: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.float64]
) -> dict[int, HeadSlice]:
    """Cut columns sorted by series and time into series, each time once."""
    if len(numbers) == 0:
        return {}
    same_series = numbers[1:] == numbers[:-1]
    repeated = np.concatenate(([False], same_series & (times[1:] == times[:-1])))
    if repeated.any():
        numbers, times, values = numbers[~repeated], times[~repeated], values[~repeated]
    starts = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1))
    ends = np.concatenate((starts[1:], [len(numbers)]))
    return {
        int(numbers[start]): HeadSlice(times[start:end], values[start:end])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def _too_many() -> QueryLimitError:
    most = limit("query_samples_max")
    return QueryLimitError(
        f"the query loads too many samples: got more than {most}. "
        f"Accepted: {most} (query_samples_max). Next: narrow the range or the labels."
    )
