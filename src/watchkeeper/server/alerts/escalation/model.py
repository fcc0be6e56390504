"""What ``escalation.yml`` says, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from watchkeeper.server.alerts.config.model import Matcher

__all__ = [
    "PAGE_SEVERITIES",
    "Bridge",
    "Escalation",
    "Layer",
    "Override",
    "Policy",
    "QuietHours",
    "Reference",
    "Schedule",
    "Step",
    "Target",
    "User",
    "Window",
]

_MINUTE_MS = 60_000
_DAY_MINUTES = 1_440

PAGE_SEVERITIES = frozenset({"critical", "page"})
"""Severities that quiet hours never hold back, unless the file names others."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who can be told."""

    name: str
    contacts: tuple[str, ...]
    """Names of receivers, all of which are told."""
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the day on some days of the week, by the clock on the wall."""

    start_min: int
    """Minutes after midnight, from 0 to 1439."""
    end_min: int
    """Minutes after midnight, exclusive, from 1 to 1440; not after the start: on the next day."""
    days: frozenset[int] = frozenset(range(7))
    """Days on which it begins; 0 is Monday."""

    @property
    def length_min(self) -> int:
        """Minutes from start to end on a day without a change of the clock."""
        length = self.end_min - self.start_min
        return length if length > 0 else length + _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Layer:
    """A rotation: each user in turn."""

    name: str
    users: tuple[str, ...]
    start: datetime
    """First handoff, without a zone: the schedule's. Nobody is on call before."""
    turn_hours: int
    """Length of a turn by the clock on the wall: 24 for ``daily``, 168 for ``weekly``."""
    only: tuple[Window, ...] = ()
    """The layer counts only inside one of these; always, if empty."""


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody stands in."""

    user: str
    start_ms: int
    end_ms: int
    """Exclusive."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who is on call when."""

    name: str
    zone: ZoneInfo
    layers: tuple[Layer, ...]
    """Later ones count before earlier ones."""
    overrides: tuple[Override, ...] = ()
    """Count before every layer, later ones before earlier ones."""


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody or something to be told."""

    kind: Literal["user", "schedule", "receiver"]
    name: str

    def __str__(self) -> str:
        """Return it as the timeline shows it."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """Who is told, and how long we then wait for an acknowledgement."""

    targets: tuple[Target, ...]
    wait_ms: int = 5 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When alerts of some severities can wait."""

    severities: frozenset[str]
    window: Window
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Policy:
    """How incidents that match escalate."""

    name: str
    steps: tuple[Step, ...]
    matchers: tuple[Matcher, ...] = ()
    """All of them must match the common labels of the group; none: the policy matches all."""
    repeat: int = 0
    """How often all steps are gone through again, after the first time."""
    repeat_every_ms: int = 0
    """Once all steps are done, who was told last is told again this often; 0: never."""
    ack_timeout_ms: int = 0
    """An acknowledged incident that is not resolved by then escalates anew; 0: never."""
    fallback: tuple[Target, ...] = ()
    """Told when nobody acknowledged after the last step."""
    quiet_hours: tuple[QuietHours, ...] = ()


@dataclass(frozen=True, slots=True)
class Bridge:
    """How an Alertmanager that sends us its groups learns what was acknowledged."""

    url: str
    """Base URL."""
    silence_ms: int
    """Length of the silence that an acknowledgement makes there."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the file names a receiver."""

    receiver: str
    line: int


@dataclass(frozen=True, slots=True)
class Escalation:
    """A whole file; the default is an empty one, with which nothing escalates."""

    users: Mapping[str, User] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    page_severities: frozenset[str] = PAGE_SEVERITIES
    bridge: Bridge | None = None
    references: tuple[Reference, ...] = ()

    def policy(self, name: str) -> Policy | None:
        """Return the policy called *name*."""
        return next((policy for policy in self.policies if policy.name == name), None)

    def policy_for(self, labels: Mapping[str, str]) -> Policy | None:
        """Return the first policy whose matchers all match *labels*."""
        return next(
            (p for p in self.policies if all(m.matches(labels) for m in p.matchers)),
            None,
        )
