"""The ways that lead to a receiver, and what is said over them about an incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.escalation.incident import Incident, Tell
from watchkeeper.server.alerts.escalation.rows import OutgoingPage
from watchkeeper.server.alerts.notification import (
    Acknowledger,
    Delivery,
    GroupAlert,
    Links,
    Notification,
    Sender,
)

__all__ = ["BRIDGE", "Outlet", "Outlets", "Upstream", "pages_for_tell", "speak"]

BRIDGE = ("", "alertmanager")
"""Receiver and outlet under which the Alertmanager that sent a group is told."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """One integration of a receiver."""

    name: str
    """Kind and place, for example ``slack[0]``."""
    sender: Sender
    send_resolved: bool = True
    """Whether it is told that an incident is resolved."""


Outlets = Mapping[str, Sequence[Outlet]]
"""Outlets by the receiver's name."""


class Upstream(Protocol):
    """The Alertmanager that sends us its groups."""

    async def tell(
        self, kind: str, incident: Incident, by: str, thread: Mapping[str, str]
    ) -> Delivery:
        """Make one attempt to tell what became of an incident.

        Args:
            kind: ``acknowledged``, ``unacknowledged`` or ``resolved``.
            incident: The incident.
            by: The person; empty if its alerts ended.
            thread: What the last delivery about it returned.

        Raises:
            NotifyError: It was not told.
        """
        ...


def pages_for_tell(
    incident: Incident,
    tell: Tell,
    paged: Sequence[tuple[str, str]],
    outlets: Outlets,
    *,
    bridged: bool,
) -> list[OutgoingPage]:
    """Return the messages that say what became of an incident.

    A resolution goes to every outlet that was to be paged; an acknowledgement to those of them,
    and of the group's own receiver, whose senders can tell it. ``bridged``: the Alertmanager that
    sent the group is told of everything.
    """
    ways = set(paged)
    if tell.what == "acknowledged":
        ways |= {(incident.receiver, one.name) for one in outlets.get(incident.receiver, ())}
    found = [BRIDGE] if bridged else []
    for receiver, name in sorted(ways):
        outlet = _outlet(outlets, receiver, name)
        if outlet is None:
            continue
        wants = {
            "acknowledged": isinstance(outlet.sender, Acknowledger),
            "unacknowledged": False,
            "resolved": outlet.send_resolved,
        }
        if wants[tell.what]:
            found.append((receiver, name))
    return [
        OutgoingPage(
            key=f"{incident.id}/{incident.run}/{tell.what}/{quote(receiver)}/{name}",
            incident_id=incident.id,
            kind=tell.what,
            receiver=receiver,
            outlet=name,
            person=tell.by,
            why="",
            created_ms=incident.changed_ms,
        )
        for receiver, name in found
    ]


async def speak(
    page: OutgoingPage,
    incident: Incident,
    thread: Mapping[str, str],
    *,
    outlets: Outlets,
    upstream: Upstream | None,
    links: Callable[[OutgoingPage], Links],
    now_ms: int,
) -> Delivery:
    """Make one attempt to deliver *page*.

    Raises:
        NotifyError: It was not delivered, or its receiver is no longer configured.
    """
    if (page.receiver, page.outlet) == BRIDGE and upstream is not None:
        return await upstream.tell(page.kind, incident, page.person, thread)
    outlet = _outlet(outlets, page.receiver, page.outlet)
    if outlet is None:
        raise NotifyError("this receiver is no longer configured", retryable=False)
    said = _said(page, incident, now_ms)
    if page.kind == "acknowledged":
        if not isinstance(outlet.sender, Acknowledger):
            raise NotifyError("this receiver cannot be told of it any more", retryable=False)
        return await outlet.sender.acknowledge(said, thread, page.person)
    if page.kind == "page":
        said = replace(said, links=links(page))
    return await outlet.sender.send(said, thread)


def _said(page: OutgoingPage, incident: Incident, now_ms: int) -> Notification:
    said = replace(
        incident.notification,
        receiver=page.receiver,
        now_ms=now_ms,
        key=page.key,
        note=f"Escalation, {page.why}" if page.why else "",
    )
    if page.kind == "resolved":
        ended = tuple(_ended(alert, incident.resolved_ms or now_ms) for alert in said.alerts)
        by = f"Resolved by {page.person}" if page.person else ""
        return replace(said, alerts=ended, note=by)
    if page.kind == "acknowledged":
        return replace(said, note=f"Acknowledged by {page.person}")
    return said


def _ended(alert: GroupAlert, at_ms: int) -> GroupAlert:
    return alert if alert.ends_ms is not None else replace(alert, ends_ms=at_ms)


def _outlet(outlets: Outlets, receiver: str, name: str) -> Outlet | None:
    return next((one for one in outlets.get(receiver, ()) if one.name == name), None)
