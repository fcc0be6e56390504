"""LogQL as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from watchkeeper.server.series import Matcher

__all__ = [
    "Aggregation",
    "LabelFilter",
    "LabelLogical",
    "LabelTest",
    "LineFilter",
    "LogQuery",
    "Parser",
    "Query",
    "RangeAggregation",
    "Stage",
]


@dataclass(frozen=True, slots=True)
class LineFilter:
    """``|= != |~ !~``: keeps lines by their text. Several texts joined by ``or`` are any of them."""

    op: Literal["|=", "!=", "|~", "!~"]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parser:
    """``| json`` or ``| logfmt``: reads labels out of the line."""

    name: Literal["json", "logfmt"]


@dataclass(frozen=True, slots=True)
class LabelTest:
    """``label op value``; numbers and durations (in seconds) compare as numbers."""

    label: str
    op: str
    value: str | float


@dataclass(frozen=True, slots=True)
class LabelLogical:
    """Both or either of two label filters."""

    op: Literal["and", "or"]
    left: LabelFilter
    right: LabelFilter


LabelFilter = LabelTest | LabelLogical
Stage = LineFilter | Parser | LabelTest | LabelLogical


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A stream selector and what happens to its lines, in order."""

    matchers: tuple[Matcher, ...]
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """``rate({…}[5m])`` and its kin; ``range_ns`` and ``offset_ns`` in nanoseconds."""

    function: Literal["rate", "count_over_time", "bytes_rate", "bytes_over_time"]
    query: LogQuery
    range_ns: int
    offset_ns: int


@dataclass(frozen=True, slots=True)
class Aggregation:
    """``sum by (label) (…)`` and its kin; *grouping* None is over everything."""

    op: Literal["sum", "avg", "min", "max", "count", "topk", "bottomk"]
    parameter: int | None
    grouping: tuple[str, ...] | None
    without: bool
    inner: Query


Query = LogQuery | RangeAggregation | Aggregation
