"""The types that dashboards and rules are written in: frozen values without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

__all__ = [
    "AlertRule",
    "Dashboard",
    "Panel",
    "PanelKind",
    "Query",
    "RecordingRule",
    "Row",
    "Rule",
    "RuleGroup",
    "Severity",
    "Threshold",
    "Unit",
    "Variable",
]

PanelKind = Literal["timeseries", "stat", "table", "bar"]
Severity = Literal["page", "ticket", "none"]


class Unit(Enum):
    """What the numbers of a panel are measured in."""

    REQUESTS_PER_S = "reqps"
    OPS = "ops"
    """Events of any other sort per second."""
    SECONDS = "s"
    BYTES = "bytes"
    RATIO = "percentunit"
    """0 to 1, shown as a percentage."""
    COUNT = "short"
    USD = "usd"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression of a panel."""

    expr: str
    """May use ``$variable``, ``$__rate_interval`` and ``$__range``."""
    legend: str = ""
    """Name of a series; ``{{label}}`` stands for the label's value."""
    instant: bool = False
    """Whether only the value at the end of the range is asked for."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A line from which on values are worrying."""

    value: float
    severity: Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart, number or table."""

    id: str
    """Unique within the dashboard; part of links, so it never changes."""
    title: str
    description: str
    """What the panel shows and what a bad value means, for a reader new to it."""
    unit: Unit
    queries: tuple[Query, ...]
    kind: PanelKind = "timeseries"
    width: int = 6
    """Columns out of 12."""
    stacked: bool = False
    decimals: int | None = None
    thresholds: tuple[Threshold, ...] = ()
    """In ascending order of value."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question together."""

    title: str
    question: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard, filled from label values."""

    name: str
    label: str
    query: str
    """``label_values(series, label)``."""
    multi: bool = True
    all: bool = True


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels."""

    uid: str
    """Unique among dashboards; part of links, so it never changes."""
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    refresh_s: int = 5


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A condition that somebody is told about; fields as in a Prometheus rule file."""

    name: str
    expr: str
    severity: Severity
    """``page`` wakes somebody, ``ticket`` waits for office hours, ``none`` tells nobody."""
    summary: str
    """One line that names the trouble; may use Prometheus' template language."""
    description: str
    """What it means, with the value; same language."""
    for_: str = "0s"
    """How long the condition holds before the alert fires, a Prometheus duration."""
    keep_firing_for: str = ""
    """How long it keeps firing after the condition ended; empty for not at all."""
    runbook: str = ""
    """File name below ``docs/runbooks``."""
    dashboard: str = ""
    """Uid of the dashboard that shows the trouble, optionally with ``#panel``."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """An expression whose result is stored under a name of its own."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


Rule = AlertRule | RecordingRule


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated one after the other at the same instant."""

    name: str
    rules: tuple[Rule, ...]
    interval: str = "30s"
