"""What a message to people says about a group, in which order and how long: plain text, pure.

Each channel escapes and lays out these texts in its own way. The order is that of a night's
questions: what, how bad, since when, on what, what now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from watchkeeper.server.alerts.notification import GroupAlert, Notification
from watchkeeper.vocabulary.limits import limit

__all__ = ["Link", "Member", "Story", "absolute", "cut", "lasted", "moment", "rank", "tell"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUMMARY_MAX, _DESCRIPTION_MAX = 300, 1_500
_NAME_MAX, _LABEL_MAX, _LABELS_MAX = 120, 120, 10
_CHANGED_MAX, _URL_MAX = 300, 1_500
_UNSHOWN = {"alertname", "severity"}
_RANKS: Mapping[str, tuple[str, ...]] = {
    "critical": ("critical", "page", "emergency", "fatal", "disaster", "p1", "sev1"),
    "error": ("error", "high", "major", "p2", "sev2"),
    "warning": ("warning", "warn", "ticket", "medium", "minor", "p3", "sev3"),
    "info": ("info", "informational", "notice", "low", "debug", "none", "p4", "p5", "sev4"),
}
_ORDER = tuple(_RANKS)


@dataclass(frozen=True, slots=True)
class Link:
    """Something to open."""

    name: str
    url: str
    """Absolute, http or https."""


@dataclass(frozen=True, slots=True)
class Member:
    """One alert of a group with several."""

    firing: bool
    summary: str
    """Its own, where it differs from the group's."""
    labels: tuple[tuple[str, str], ...]
    """Those that not all alerts of the group share."""
    since_ms: int
    ended_ms: int | None
    value: str


@dataclass(frozen=True, slots=True)
class Story:
    """A group as it is told."""

    firing: bool
    title: str
    """``[FIRING:3] ApiErrorRate: api fails 10% of its requests``."""
    glance: str
    """The title with severity and time: what a phone shows on its locked screen."""
    headline: str
    """The title without its status: ``ApiErrorRate: api fails 10% of its requests``."""
    name: str
    summary: str
    description: str
    severity: str
    """The worst one of the group, as its label says it."""
    since_ms: int
    ended_ms: int | None
    """When the last one ended; None while one fires."""
    now_ms: int
    value: str
    """Value of the rule's expression, where the group has one alert and it is known."""
    labels: tuple[tuple[str, str], ...]
    """What all alerts share; name and severity are told elsewhere."""
    members: tuple[Member, ...]
    """Empty for one alert."""
    left_out: int
    """Alerts that are not listed."""
    firing_count: int
    resolved_count: int
    links: tuple[Link, ...]
    """Where to look, the most useful first."""
    actions: tuple[Link, ...]
    """Acknowledge and silence, while it fires."""
    changed: str
    note: str
    """Why the message comes, or by whom the group was resolved."""


def tell(notification: Notification) -> Story:
    """Return what is said about *notification*."""
    alerts = notification.alerts
    firing = notification.status == "firing"
    told = notification.firing or alerts
    first = told[0]
    annotations = {**first.annotations, **notification.common_annotations}
    name = _name(notification)
    own = [alert.annotations.get("summary", "") for alert in told]
    summary = cut(_line(own[0]), _SUMMARY_MAX)
    if len(set(own)) > 1 and summary:
        summary += f" (and {len(set(own)) - 1} more)"
    severity = _worst(told)
    since_ms = min(alert.starts_ms for alert in told)
    ended_ms = None if firing else max(alert.ends_ms or 0 for alert in alerts)
    count = len(notification.firing) if firing else len(alerts)
    word = "FIRING" if firing else "RESOLVED"
    total = count + notification.truncated
    headline = f"{name}: {summary}" if summary else name
    title = f"[{word}{f':{total}' if total > 1 else ''}] {headline}"
    when = (
        f"since {moment(since_ms, seconds=False)}"
        if ended_ms is None
        else f"after {lasted(ended_ms - since_ms)}"
    )
    several = len(alerts) > 1 or notification.truncated > 0
    shown = alerts[: limit("notification_alerts_shown_max")] if several else ()
    common = notification.common_labels
    return Story(
        firing=firing,
        title=title,
        glance=" · ".join(part for part in (title, severity, when) if part),
        headline=headline,
        name=name,
        summary=summary,
        description=cut(annotations.get("description", "").strip(), _DESCRIPTION_MAX),
        severity=severity,
        since_ms=since_ms,
        ended_ms=ended_ms,
        now_ms=notification.now_ms,
        value="" if several else _value(first),
        labels=_labels(common),
        members=tuple(_member(alert, common, notification.common_annotations) for alert in shown),
        left_out=(len(alerts) - len(shown) if several else 0) + notification.truncated,
        firing_count=len(notification.firing),
        resolved_count=len(notification.resolved),
        links=_links(notification, annotations),
        actions=_actions(notification) if firing else (),
        changed=cut(_line(notification.changed), _CHANGED_MAX),
        note=cut(_line(notification.note), _CHANGED_MAX),
    )


def rank(severity: str) -> str:
    """Return *severity* in PagerDuty's words: critical, error, warning or info; error if unknown."""
    word = severity.strip().lower()
    return next((known for known, words in _RANKS.items() if word in words), "error")


def moment(t_ms: int, *, seconds: bool = True) -> str:
    """Return a time as ``2026-01-01 03:12:05 UTC``."""
    form = "%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC"
    return (_EPOCH + timedelta(milliseconds=t_ms)).strftime(form)


def lasted(milliseconds: int) -> str:
    """Return a length of time in its two largest units: ``2h 5m``."""
    left = max(0, milliseconds) // 1000
    parts: list[str] = []
    for name, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def cut(text: str, most: int) -> str:
    """Return *text* in at most *most* characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def absolute(address: str, external_url: str = "") -> str:
    """Return *address* as an absolute http or https link, or "" if it cannot be one.

    Args:
        address: What an annotation holds; one that begins with ``/`` is a page of ours.
        external_url: Address under which people reach us.
    """
    if address.startswith("/") and not address.startswith("//") and external_url:
        address = external_url.rstrip("/") + address
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(address) > _URL_MAX:
        return ""
    safe = quote(address, safe=":/?#[]@!$&'()*+,;=%~-._")
    return safe if len(safe) <= _URL_MAX else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _name(notification: Notification) -> str:
    common = notification.common_labels.get("alertname", "")
    if common:
        return cut(_line(common), _NAME_MAX)
    values = [value for _, value in sorted(notification.group_labels.items()) if value]
    if values:
        return cut(_line(" ".join(values)), _NAME_MAX)
    names = sorted({alert.labels.get("alertname", "") for alert in notification.alerts})
    return cut(_line(", ".join(name for name in names if name)), _NAME_MAX) or "alerts"


def _worst(alerts: Sequence[GroupAlert]) -> str:
    severities = [alert.labels.get("severity", "") for alert in alerts]
    known = [severity for severity in severities if severity]
    worst = min(known, key=lambda one: _ORDER.index(rank(one)), default="")
    return cut(_line(worst), _NAME_MAX)


def _value(alert: GroupAlert) -> str:
    return "" if alert.value is None else f"{alert.value:.6g}"


def _labels(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    shown = [(name, value) for name, value in sorted(labels.items()) if name not in _UNSHOWN]
    told = [(cut(_line(k), _LABEL_MAX), cut(_line(v), _LABEL_MAX)) for k, v in shown[:_LABELS_MAX]]
    if len(shown) > _LABELS_MAX:
        told.append(("…", f"{len(shown) - _LABELS_MAX} more"))
    return tuple(told)


def _member(alert: GroupAlert, common: Mapping[str, str], annotations: Mapping[str, str]) -> Member:
    own = {
        name: value
        for name, value in alert.labels.items()
        if name not in common and (name != "severity" or "severity" not in common)
    }
    severity = own.get("severity", "")
    summary = alert.annotations.get("summary", "") if "summary" not in annotations else ""
    labels = _labels(own)
    if severity:
        labels = (("severity", cut(_line(severity), _LABEL_MAX)), *labels)
    if "alertname" in own:
        labels = (("alertname", cut(_line(own["alertname"]), _LABEL_MAX)), *labels)
    return Member(
        firing=alert.firing,
        summary=cut(_line(summary), _SUMMARY_MAX),
        labels=labels,
        since_ms=alert.starts_ms,
        ended_ms=alert.ends_ms,
        value=_value(alert),
    )


def _links(notification: Notification, annotations: Mapping[str, str]) -> tuple[Link, ...]:
    links, base = notification.links, notification.external_url
    wanted = (
        ("Runbook", annotations.get("runbook_url", "")),
        ("Dashboard", annotations.get("dashboard_url", "")),
        ((links.explore_label or "Trace or log").capitalize(), links.explore),
        ("Incident", links.incident),
        ("Alert", links.alert),
    )
    found = ((cut(_line(name), _NAME_MAX), absolute(address, base)) for name, address in wanted)
    return tuple(Link(name, url) for name, url in found if url)


def _actions(notification: Notification) -> tuple[Link, ...]:
    wanted = (
        ("Acknowledge", notification.links.acknowledge),
        ("Silence", notification.links.silence),
    )
    found = ((name, absolute(address, notification.external_url)) for name, address in wanted)
    return tuple(Link(name, url) for name, url in found if url)
