"""Time series as the engine's rooms hand them to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "STALE_NAN",
    "STALE_NAN_BITS",
    "Exemplar",
    "Labels",
    "MatchOp",
    "Matcher",
    "Queryable",
    "Series",
    "is_stale",
    "sorted_labels",
]

Labels = tuple[tuple[str, str], ...]
"""Pairs of label name and value, sorted by name, ``__name__`` among them, no empty values."""

STALE_NAN_BITS = 0x7FF0000000000002
"""Bit pattern of the NaN that ends a series (Prometheus, model/value/value.go)."""

STALE_NAN: float = float(np.array([STALE_NAN_BITS], dtype=np.uint64).view(np.float64)[0])
"""The staleness marker. Python and NumPy keep its payload as long as nobody computes with it."""


def is_stale(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of *values* are staleness markers, by bit pattern."""
    stale: NDArray[np.bool_] = values.view(np.uint64) == np.uint64(STALE_NAN_BITS)
    return stale


def sorted_labels(labels: Mapping[str, str]) -> Labels:
    """Return *labels* in canonical form: sorted by name, empty values left out."""
    return tuple(sorted((name, value) for name, value in labels.items() if value != ""))


class MatchOp(Enum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; an absent label has the value ``""``.

    Regular expressions are RE2, fully anchored, and the dot matches newlines.
    """

    name: str
    op: MatchOp
    value: str


class Series(NamedTuple):
    """A series and some of its samples."""

    labels: Labels
    t_ms: NDArray[np.int64]
    """Unix milliseconds, strictly increasing."""
    values: NDArray[np.float64]
    """Same length; staleness markers included."""


class Exemplar(NamedTuple):
    """A trace that a sample points to."""

    series: Labels
    labels: Labels
    """``trace_id`` and ``span_id``, usually."""
    t_ms: int
    value: float


class Queryable(Protocol):
    """A source of series. All bounds are inclusive, in Unix milliseconds. Thread-safe."""

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Series]:
        """Return the series that satisfy every matcher, with their samples in the range.

        Series without a sample in the range may be left out or returned empty; order is free.

        Raises:
            QueryLimitError: More samples match than ``query_samples_max``.
            QueryParseError: A regular expression does not compile.
        """
        ...
