"""What a receiver is told about one group of alerts, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

__all__ = ["Acknowledger", "Delivery", "GroupAlert", "Links", "Notification", "Sender"]


@dataclass(frozen=True, slots=True)
class GroupAlert:
    """One alert of a group."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int
    """When it began, Unix milliseconds."""
    ends_ms: int | None
    """When it ended; None while it fires."""
    fingerprint: str
    """16 hexadecimal digits; the same for the same labels."""
    value: float | None = None
    """Value of the rule's expression, where it is known."""
    generator_url: str = ""

    @property
    def firing(self) -> bool:
        """Whether it has not ended."""
        return self.ends_ms is None


@dataclass(frozen=True, slots=True)
class Links:
    """Absolute addresses that a message offers; empty ones are left out."""

    alert: str = ""
    silence: str = ""
    acknowledge: str = ""
    incident: str = ""
    explore: str = ""
    """The trace or log that explains the group best."""
    explore_label: str = ""
    """What `explore` leads to, for example ``slowest trace``."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one integration of one receiver."""

    receiver: str
    group_key: str
    """Identifies the group over its whole life: ``{}/{a="b"}:{alertname="X"}``."""
    group_labels: Mapping[str, str]
    alerts: tuple[GroupAlert, ...]
    """Firing ones first; at least one."""
    now_ms: int
    external_url: str = ""
    truncated: int = 0
    """Alerts of the group that are left out of `alerts`."""
    links: Links = field(default_factory=Links)
    changed: str = ""
    """What changed lately, for example the last deploy; empty if nothing is known."""
    key: str = ""
    """Identifies this message: the same when it is sent again, so that a receiver can tell. Empty
    if nobody promises that; senders that have a place for it (a header, an id) pass it on."""
    note: str = ""
    """A line for the reader beside the alerts: why the message comes, as
    ``Escalation, step 2 of 3, round 1: schedule backend``, or by whom the group was resolved."""

    @property
    def firing(self) -> tuple[GroupAlert, ...]:
        """The alerts that fire."""
        return tuple(alert for alert in self.alerts if alert.firing)

    @property
    def resolved(self) -> tuple[GroupAlert, ...]:
        """The alerts that have ended."""
        return tuple(alert for alert in self.alerts if not alert.firing)

    @property
    def status(self) -> str:
        """``firing`` as long as one alert does, else ``resolved``."""
        return "firing" if any(alert.firing for alert in self.alerts) else "resolved"

    @property
    def common_labels(self) -> dict[str, str]:
        """The labels that all alerts share."""
        return _common([alert.labels for alert in self.alerts])

    @property
    def common_annotations(self) -> dict[str, str]:
        """The annotations that all alerts share."""
        return _common([alert.annotations for alert in self.alerts])


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered."""

    answer: str
    """What came back, without secrets, for the list of notifications."""
    thread: Mapping[str, str] = field(default_factory=dict)
    """What the integration wants to know at the group's next message, for example the id of its
    first one; kept with the group and forgotten once the group is resolved."""


class Sender(Protocol):
    """One integration, ready to send."""

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Make one attempt to deliver.

        Args:
            notification: What is said.
            thread: What the last delivery about this group returned; empty for the first.

        Raises:
            NotifyError: It was not delivered; says whether a retry can help, and when.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


@runtime_checkable
class Acknowledger(Protocol):
    """A sender whose receiver can be told that a person has acknowledged the group."""

    async def acknowledge(
        self, notification: Notification, thread: Mapping[str, str], by: str
    ) -> Delivery:
        """Make one attempt to tell that *by* acknowledged what *notification* says.

        PagerDuty is sent the event action ``acknowledge`` with the group's dedup key; a chat
        may change its message.

        Args:
            notification: The group as it was last reported.
            thread: What the last delivery about this group returned; empty if there was none.
            by: The person.

        Raises:
            NotifyError: As `Sender.send`.
        """
        ...


def _common(found: list[Mapping[str, str]]) -> dict[str, str]:
    first, rest = found[0], found[1:]
    return {name: value for name, value in first.items() if all(o.get(name) == value for o in rest)}
