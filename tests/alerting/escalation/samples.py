"""A small team, its schedules and policies, and groups of alerts to escalate."""

from __future__ import annotations

from datetime import datetime

from watchkeeper.server.alerts.escalation.loader import load_text
from watchkeeper.server.alerts.escalation.model import Escalation
from watchkeeper.server.alerts.notification import GroupAlert, Notification

MINUTE_MS = 60_000
NOON_MS = 1_784_116_800_000
"""2026-07-15T12:00:00Z, a Wednesday: 14:00 in Berlin, outside quiet hours."""
RECEIVERS = {"alice-phone", "bob-phone", "carol-phone", "team-mail", "boss"}

TEAM = """\
users:
  alice: {contacts: [alice-phone], time_zone: Europe/Berlin}
  bob: {contacts: [bob-phone]}
  carol: {contacts: [carol-phone, team-mail]}
schedules:
  backend:
    time_zone: Europe/Berlin
    layers:
      - {users: [alice, bob], start: 2026-07-13T09:00, turn: weekly}
  gap:
    time_zone: UTC
    layers:
      - {users: [alice], start: 2027-01-01T00:00, turn: daily}
"""
POLICIES = """\
policies:
  - name: pages
    matchers: ['severity="critical"']
    steps:
      - {notify: [{schedule: backend}], wait: 5m}
      - {notify: [{user: bob}, {receiver: team-mail}], wait: 10m}
    repeat: 1
    repeat_every: 30m
    ack_timeout: 1h
    fallback: [{receiver: boss}]
  - name: tickets
    steps:
      - {notify: [{user: bob}]}
    quiet_hours:
      - {severities: [warning], from: "22:00", until: "07:00", time_zone: Europe/Berlin}
"""


def book(text: str = TEAM + POLICIES) -> Escalation:
    """Return what an escalation file says."""
    return load_text(text, "escalation.yml")


def at(text: str) -> int:
    """Return Unix milliseconds of a time with its offset."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def alert(
    name: str = "ApiErrorRate",
    *,
    severity: str = "critical",
    ended: bool = False,
    starts_ms: int = NOON_MS,
    **labels: str,
) -> GroupAlert:
    """Return an alert."""
    every = {"alertname": name, "severity": severity, **labels}
    digits = f"{abs(hash(tuple(sorted(every.items())))):016x}"[:16]
    return GroupAlert(
        labels={key: value for key, value in every.items() if value},
        annotations={"summary": f"{name} is bad"},
        starts_ms=starts_ms,
        ends_ms=starts_ms + MINUTE_MS if ended else None,
        fingerprint=digits,
    )


def group(*alerts: GroupAlert, key: str = '{}:{alertname="ApiErrorRate"}') -> Notification:
    """Return the notification of a group."""
    return Notification(
        receiver="team",
        group_key=key,
        group_labels={"alertname": "ApiErrorRate"},
        alerts=alerts or (alert(),),
        now_ms=NOON_MS,
    )
