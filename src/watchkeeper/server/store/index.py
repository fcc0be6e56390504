"""Series by label: which series satisfy a set of matchers, and what each brought lately."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence

import orjson

from watchkeeper.server.promql.regex import matches
from watchkeeper.server.series import Exemplar, Labels, Matcher, MatchOp

__all__ = ["Entry", "SeriesIndex", "labels_json", "series_id"]


def labels_json(labels: Labels) -> str:
    """Return labels as stored: a JSON object with names in order."""
    return orjson.dumps(dict(labels)).decode()


def series_id(labels: Labels) -> int:
    """Return the id of a series: 63 bits of the BLAKE2b hash of its labels, equal in every segment."""
    digest = hashlib.blake2b(labels_json(labels).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Entry:
    """A known series: its labels and its samples in memory."""

    __slots__ = ("exemplar", "id", "labels", "last_t", "times", "values")

    def __init__(self, number: int, labels: Labels) -> None:
        self.id = number
        self.labels = labels
        self.last_t: int | None = None
        """Newest time seen by this process in Unix milliseconds, committed or about to be."""
        self.times: array[int] = array("q")
        """Unix milliseconds of the samples in memory, strictly increasing."""
        self.values: array[float] = array("d")
        self.exemplar: Exemplar | None = None
        """The newest exemplar, to tell a repeated one."""


class SeriesIndex:
    """Labels of every known series, by id and by label. Thread-safe.

    Args:
        series_max: Most series that `entry` makes known; `load` is not bounded.
    """

    def __init__(self, series_max: int) -> None:
        self._most = series_max
        self._lock = threading.Lock()
        self._by_labels: dict[Labels, Entry] = {}
        self._by_id: dict[int, Entry] = {}
        self._postings: dict[str, dict[str, set[int]]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Entry]:
        with self._lock:
            return iter(list(self._by_id.values()))

    def __getitem__(self, number: int) -> Entry:
        return self._by_id[number]

    def get(self, number: int) -> Entry | None:
        """Return the series with an id, or None if it is not known."""
        return self._by_id.get(number)

    def entry(self, labels: Labels) -> Entry | None:
        """Return a series, made known if there is room; None if there is none."""
        known = self._by_labels.get(labels)
        if known is not None:
            return known
        with self._lock:
            if len(self._by_id) >= self._most:
                return None
            number = series_id(labels)
            if number in self._by_id:
                return None  # two label sets with one hash: the later one is refused
            return self._add(number, labels)

    def load(self, rows: Iterable[tuple[int, str]]) -> None:
        """Make stored series known, whatever the limit."""
        with self._lock:
            for number, text in rows:
                if number not in self._by_id:
                    self._add(number, tuple(orjson.loads(text).items()))

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop series of which nothing is kept any more."""
        with self._lock:
            for number in numbers:
                entry = self._by_id.pop(number, None)
                if entry is None:
                    continue
                self._by_labels.pop(entry.labels, None)
                for name, value in entry.labels:
                    values = self._postings[name]
                    values[value].discard(number)
                    if not values[value]:
                        del values[value]
                    if not values:
                        del self._postings[name]

    def _add(self, number: int, labels: Labels) -> Entry:
        for name, value in labels:
            self._postings.setdefault(name, {}).setdefault(value, set()).add(number)
        entry = Entry(number, labels)
        self._by_id[number] = entry
        self._by_labels[labels] = entry
        return entry

    def find(self, matchers: Sequence[Matcher]) -> set[int]:
        """Return the ids of the series that satisfy every matcher.

        Raises:
            QueryParseError: A regular expression does not compile.
        """
        with self._lock:
            found: set[int] | None = None
            rejected: set[int] = set()
            for matcher in matchers:
                wanted, excluded = self._candidates(matcher)
                rejected |= excluded
                if wanted is not None:
                    found = wanted if found is None else found & wanted
            if found is None:
                found = set(self._by_id)
            return found - rejected

    def names(self, within: set[int]) -> list[str]:
        """Return the label names of the series *within*, sorted."""
        with self._lock:
            return sorted(
                name
                for name, values in self._postings.items()
                if any(not ids.isdisjoint(within) for ids in values.values())
            )

    def values(self, name: str, within: set[int]) -> list[str]:
        """Return the values of a label over the series *within*, sorted."""
        with self._lock:
            found = self._postings.get(name, {})
            return sorted(value for value, ids in found.items() if not ids.isdisjoint(within))

    def _candidates(self, matcher: Matcher) -> tuple[set[int] | None, set[int]]:
        """Return the series that must be among the result (None: any), and those that must not.

        A matcher that accepts the empty value also accepts series without the label, so it is
        turned round: it excludes the series whose value it does not accept.
        """
        values = self._postings.get(matcher.name, {})
        if matcher.op is MatchOp.EQUAL and matcher.value:
            return set(values.get(matcher.value, ())), set()
        accepts = matches(matcher)
        if accepts(""):
            return None, set().union(*(ids for value, ids in values.items() if not accepts(value)))
        return set().union(*(ids for value, ids in values.items() if accepts(value))), set()
