"""An incident, what can happen to it, and what is to be done then; all of them values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from watchkeeper.server.alerts.notification import GroupAlert, Notification

__all__ = [
    "Action",
    "AlertsResolved",
    "ByPerson",
    "CancelPages",
    "Due",
    "Entry",
    "Event",
    "Incident",
    "Outcome",
    "Page",
    "Reported",
    "State",
    "Tell",
    "Verb",
    "Via",
    "incident_id",
]

Verb = Literal["acknowledge", "unacknowledge", "take", "resolve", "comment"]
Via = Literal["slack", "email", "pagerduty", "link", "api", "cli", "ui"]
Wait = Literal["", "step", "quiet", "acknowledged"]


class State(Enum):
    """Where an incident stands."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """The life of one group of alerts, from its first firing notification until it is resolved."""

    id: str
    source: str
    """``rules``, or the name of the Alertmanager that sent the group."""
    group_key: str
    receiver: str
    """The receiver of the group's route."""
    group_labels: Mapping[str, str]
    state: State
    opened_ms: int
    changed_ms: int
    """When anything last happened to it."""
    alerts: tuple[GroupAlert, ...]
    """Those of the last notification, firing ones first."""
    truncated: int = 0
    """Alerts of the group that are not among `alerts`."""
    external_url: str = ""
    """Where the sender of the group is found."""
    policy: str = ""
    """Name of the policy; empty: it does not escalate."""
    run: int = 1
    """Counts how often the escalation began anew."""
    round: int = 1
    """Counts the rounds through the steps within a run."""
    step: int = 0
    """Index of the step to be told next; the number of steps means the fallback."""
    wait: Wait = ""
    """What the timer stands for: the next step, the end of quiet hours, or the acknowledgement's
    end; empty: there is no timer."""
    due_ms: int | None = None
    """When the timer ends."""
    owner: str = ""
    """Who acknowledged or took it last, while it is acknowledged or resolved."""
    acknowledged_ms: int | None = None
    resolved_ms: int | None = None
    resolved_by: str = ""
    """``alerts``, or the person."""

    @property
    def notification(self) -> Notification:
        """The group as it was last reported, as of `changed_ms`."""
        return Notification(
            receiver=self.receiver,
            group_key=self.group_key,
            group_labels=self.group_labels,
            alerts=self.alerts,
            now_ms=self.changed_ms,
            external_url=self.external_url,
            truncated=self.truncated,
        )

    @property
    def severities(self) -> frozenset[str]:
        """The severities of the alerts that fire; the empty text stands for none."""
        return frozenset(a.labels.get("severity", "") for a in self.alerts if a.firing)

    @property
    def title(self) -> str:
        """What it is about in a line, for example ``ApiErrorRate (3 firing)``."""
        common = self.notification.common_labels
        name = common.get("alertname") or ", ".join(
            f"{key}={value}" for key, value in sorted(self.group_labels.items())
        )
        firing = sum(alert.firing for alert in self.alerts) + self.truncated
        return f"{name or 'alerts'} ({firing} firing)" if firing else name or "alerts"


# What can happen


@dataclass(frozen=True, slots=True)
class Reported:
    """The group was reported, at least one of its alerts firing."""

    notification: Notification
    source: str = "rules"


@dataclass(frozen=True, slots=True)
class AlertsResolved:
    """The group was reported with no alert firing."""

    notification: Notification | None = None


@dataclass(frozen=True, slots=True)
class ByPerson:
    """A person did something."""

    verb: Verb
    who: str
    via: Via
    text: str = ""
    """A comment's text, or a note with another verb."""
    key: str = ""
    """Identifies a link, so that it acts once."""


@dataclass(frozen=True, slots=True)
class Due:
    """The timer may have ended."""


Event = Reported | AlertsResolved | ByPerson | Due

# What is to be done


@dataclass(frozen=True, slots=True)
class Page:
    """Tell one receiver."""

    key: str
    """The same for the same incident, run, round, step and receiver; ASCII, to fit a header."""
    receiver: str
    user: str
    """The person behind it; empty for a receiver that a step names itself."""
    why: str
    """For the message and the timeline: ``step 2 of 3, round 1: schedule backend``."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell everybody who was told of the incident what became of it."""

    what: Literal["acknowledged", "unacknowledged", "resolved"]
    by: str


@dataclass(frozen=True, slots=True)
class CancelPages:
    """Do not deliver pages that are still waiting."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the timeline."""

    kind: str
    """``opened``, ``changed``, ``step``, ``quiet``, ``nobody``, ``exhausted``, ``notification``,
    ``acknowledge``, ``unacknowledge``, ``take``, ``resolve``, ``comment`` or ``note``."""
    text: str
    who: str = ""
    via: str = ""
    key: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


Action = Page | Tell | CancelPages | Entry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event led to."""

    incident: Incident
    actions: tuple[Action, ...] = ()
    refused: str = ""
    """Why a person's request changes nothing; empty if it was done."""


def incident_id(source: str, group_key: str, opened_ms: int) -> str:
    """Return an id of 12 hexadecimal digits, the same for the same arguments."""
    text = f"{source}\0{group_key}\0{opened_ms}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
