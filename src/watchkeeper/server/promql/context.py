"""What a function gets to know beside its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from watchkeeper.server.promql.ast import Call
from watchkeeper.server.promql.budget import Budget, Notes
from watchkeeper.server.promql.values import Ints, Scalar, Value, Vector, Windows

__all__ = ["Context", "Function", "scalar", "text", "vector", "windows"]


@dataclass(frozen=True, slots=True)
class Context:
    """One call of a function."""

    call: Call
    times: Ints
    """Unix milliseconds of the steps."""
    budget: Budget

    @property
    def notes(self) -> Notes:
        """Where annotations go."""
        return self.budget.notes


Function = Callable[[Context, list[Value]], Value]


def vector(value: Value) -> Vector:
    """Return *value*, which the parser has checked to be a vector."""
    if not isinstance(value, Vector):
        raise TypeError(f"expected a vector, got {type(value).__name__}")
    return value


def windows(value: Value) -> Windows:
    """Return *value*, which the parser has checked to be a range vector."""
    if not isinstance(value, Windows):
        raise TypeError(f"expected a range vector, got {type(value).__name__}")
    return value


def scalar(value: Value) -> Scalar:
    """Return *value*, which the parser has checked to be a scalar."""
    if not isinstance(value, Scalar):
        raise TypeError(f"expected a scalar, got {type(value).__name__}")
    return value


def text(value: Value) -> str:
    """Return *value*, which the parser has checked to be a string."""
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value
