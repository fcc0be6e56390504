"""TraceQL as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Combination",
    "Comparison",
    "Condition",
    "Field",
    "Logical",
    "SpansetFilter",
    "SpansetQuery",
    "Value",
]

Scope = Literal["span", "resource", "any", "intrinsic", "event", "link"]
Value = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Field:
    """What a comparison reads: an attribute in a scope, or an intrinsic."""

    scope: Scope
    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field op value``. Durations are nanoseconds; ``None`` is ``nil``."""

    field: Field
    op: str
    value: Value


@dataclass(frozen=True, slots=True)
class Logical:
    """Both or either of two conditions on the same span."""

    op: Literal["&&", "||"]
    left: Condition
    right: Condition


Condition = Comparison | Logical


@dataclass(frozen=True, slots=True)
class SpansetFilter:
    """``{ … }``: the spans of a trace that meet a condition; None is every span."""

    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Combination:
    """Traces in which both or either of two spansets are not empty."""

    op: Literal["&&", "||"]
    left: SpansetQuery
    right: SpansetQuery


SpansetQuery = SpansetFilter | Combination
