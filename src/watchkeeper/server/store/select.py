"""Series and exemplars read back by label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from watchkeeper.errors import QueryLimitError
from watchkeeper.server.series import Exemplar, Labels, Matcher, Series, sorted_labels
from watchkeeper.server.store.index import SeriesIndex
from watchkeeper.server.store.segments import Segment, Segments
from watchkeeper.vocabulary.limits import limit

__all__ = ["SeriesReader"]

_MS_NS = 1_000_000
_RANGE_MS = 9_000_000_000_000
"""Times beyond this many milliseconds either side of 1970 cannot be nanoseconds in 64 bits."""


class SeriesReader:
    """Answers what series there are and what their samples say."""

    def __init__(self, segments: Segments, index: SeriesIndex) -> None:
        """Read from *segments* by the ids that *index* finds."""
        self._segments = segments
        self.index = index

    def _between(self, start_ms: int, end_ms: int) -> list[Segment]:
        start = max(-_RANGE_MS, min(start_ms, _RANGE_MS)) * _MS_NS
        end = max(-_RANGE_MS, min(end_ms, _RANGE_MS)) * _MS_NS
        return self._segments.between("metrics", start, end)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return matching series with the samples of the range.

        Raises:
            QueryLimitError: More samples match than ``query_samples_max``.
        """
        ids = self.index.find(matchers)
        segments = self._between(start_ms, end_ms)
        if not ids or not segments:
            return []
        most = limit("query_samples_max")
        tables = " UNION ALL ".join(f"SELECT * FROM {s.alias}.samples" for s in segments)
        with self._segments.cursor() as cursor:
            columns = cursor.execute(
                f"SELECT series_id, t_ms, value FROM ({tables}) "
                "WHERE t_ms BETWEEN $start AND $end AND series_id IN (SELECT unnest($ids)) "
                f"ORDER BY series_id, t_ms LIMIT {most + 1}",
                {"start": start_ms, "end": end_ms, "ids": ids},
            ).fetchnumpy()
        numbers = np.asarray(columns["series_id"], dtype=np.int64)
        if len(numbers) > most:
            raise QueryLimitError(
                f"query loads too many samples: got more than {most}. Accepted: up to {most} "
                "(query_samples_max). Next: narrow the selector or the range."
            )
        if not len(numbers):
            return []
        times = np.asarray(columns["t_ms"], dtype=np.int64)
        values = np.asarray(columns["value"], dtype=np.float64)
        # Two samples of one moment (a scrape that was repeated): the later row stays.
        keep = np.ones(len(numbers), dtype=bool)
        keep[:-1] = (numbers[:-1] != numbers[1:]) | (times[:-1] != times[1:])
        numbers, times, values = numbers[keep], times[keep], values[keep]
        cuts = np.flatnonzero(numbers[:-1] != numbers[1:]) + 1
        starts = np.concatenate(([0], cuts))
        ends = np.concatenate((cuts, [len(numbers)]))
        return [
            Series(self.index.labels(int(numbers[a])), times[a:b], values[a:b])
            for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def series(
        self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[Labels]:
        """Return the labels of matching series with a sample in the range, sorted."""
        ids = {number for matchers in matcher_sets for number in self.index.find(matchers)}
        segments = self._between(start_ms, end_ms)
        if not ids or not segments:
            return []
        tables = " UNION ALL ".join(f"SELECT * FROM {s.alias}.samples" for s in segments)
        with self._segments.cursor() as cursor:
            rows = cursor.execute(
                f"SELECT DISTINCT series_id FROM ({tables}) WHERE t_ms BETWEEN $start AND $end",
                {"start": start_ms, "end": end_ms},
            ).fetchall()
        return sorted(self.index.labels(number) for (number,) in rows if number in ids)

    def exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Exemplar]:
        """Return exemplars of matching series in order of time."""
        ids = self.index.find(matchers)
        segments = self._between(start_ms, end_ms)
        if not ids or not segments:
            return []
        tables = " UNION ALL ".join(f"SELECT * FROM {s.alias}.exemplars" for s in segments)
        with self._segments.cursor() as cursor:
            rows = cursor.execute(
                f"SELECT DISTINCT series_id, labels, t_ms, value FROM ({tables}) "
                "WHERE t_ms BETWEEN $start AND $end AND series_id IN (SELECT unnest($ids)) "
                "ORDER BY t_ms LIMIT 100000",
                {"start": start_ms, "end": end_ms, "ids": ids},
            ).fetchall()
        return [
            Exemplar(self.index.labels(number), sorted_labels(orjson.loads(labels)), t_ms, value)
            for number, labels, t_ms, value in rows
        ]
