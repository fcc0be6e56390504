"""Rules as they were loaded, and what their evaluation knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from watchkeeper.server.series import Labels

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertState",
    "Group",
    "LoadedRule",
    "ResultSample",
    "RuleStatus",
]

Texts = tuple[tuple[str, str], ...]
"""Names and texts, in the file's order."""


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """One rule of a file."""

    name: str
    """Name of the alert, or of the recorded metric."""
    expr: str
    alerting: bool
    labels: Texts = ()
    """Templates in an alerting rule, plain values in a recording rule."""
    annotations: Texts = ()
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    line: int = 0
    """Line of the file, from 1; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other at the same instant."""

    name: str
    file: str
    interval_ms: int
    """0 for the manager's default."""
    rules: tuple[LoadedRule, ...]
    limit: int = 0
    """Most alerts or series of one rule; 0 for no limit of the group's own."""
    query_offset_ms: int = 0

    @property
    def key(self) -> str:
        """File and name, which identify a group."""
        return f"{self.file};{self.name}"


class ResultSample(NamedTuple):
    """One element of a query's result."""

    labels: Labels
    value: float


class AlertState(Enum):
    """Where an alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    INACTIVE = "inactive"
    """It fired and was resolved; kept for a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a rule: the rule's condition holding for one label set."""

    labels: Labels
    annotations: Texts
    state: AlertState
    value: float
    active_at_ms: int
    """When the condition began to hold, Unix milliseconds."""
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    keep_firing_since_ms: int | None = None
    """When the condition ended, while ``keep_firing_for`` keeps the alert firing."""


class AlertEvent(NamedTuple):
    """An alert that began to fire or was resolved."""

    rule: str
    firing: bool
    alert: Alert


@dataclass(slots=True)
class RuleStatus:
    """What is known about a rule between evaluations."""

    alerts: Mapping[Labels, Alert] = field(default_factory=dict)
    series: frozenset[Labels] = frozenset()
    """The series that the last good evaluation wrote."""
    health: str = "unknown"
    """``ok``, ``err`` or ``unknown``."""
    last_error: str = ""
    last_evaluation_ms: int = 0
    duration_s: float = 0.0
