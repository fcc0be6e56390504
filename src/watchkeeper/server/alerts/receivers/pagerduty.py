"""PagerDuty by its Events API v2: trigger, acknowledge and resolve under one key for the group.

Sources: developer.pagerduty.com, "Events API v2"; Alertmanager's documentation,
``<pagerduty_config>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.http import Answered, Poster, failure
from watchkeeper.server.alerts.receivers.settings import (
    Settings,
    revealed,
    secret,
    section,
    text,
    timeout_s,
)
from watchkeeper.server.alerts.receivers.story import (
    Member,
    Story,
    absolute,
    cut,
    lasted,
    moment,
    rank,
    tell,
)
from watchkeeper.server.alerts.templates.store import Templates

__all__ = ["PagerDutySender", "dedup_key", "payload"]

Action = Literal["trigger", "acknowledge", "resolve"]

_URL = "https://events.pagerduty.com/v2/enqueue"
_BODY_BYTES_MAX = 512_000
_SUMMARY_MAX, _WORD_MAX = 1_024, 255
_SEVERITIES = frozenset({"critical", "error", "warning", "info"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def dedup_key(group_key: str) -> str:
    """Return what PagerDuty knows the group by: 64 hexadecimal digits, as Alertmanager sends."""
    return hashlib.sha256(group_key.encode()).hexdigest()


def payload(notification: Notification, fields: Fields, action: Action = "trigger") -> bytes:
    """Return the event without its routing key, encoded and within PagerDuty's limits.

    Raises:
        NotifyError: A template fails.
    """
    event = _event(notification, fields, action)
    body = orjson.dumps(event)
    if len(body) > _BODY_BYTES_MAX:
        size = f"left out: the event had {len(body)} bytes, PagerDuty takes {_BODY_BYTES_MAX}"
        event["payload"]["custom_details"] = {"details": size}
        body = orjson.dumps(event)
    return body


class PagerDutySender:
    """One element of ``pagerduty_configs`` with a ``routing_key``."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self._fields = Fields(settings, templates)
        self._key = secret(settings, "routing_key")
        self._poster = Poster(section(settings, "http_config"), timeout_s(settings))

    async def aclose(self) -> None:
        """Close connections."""
        await self._poster.aclose()

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Trigger while an alert fires, resolve after.

        Raises:
            NotifyError: PagerDuty did not take it. Retryable after a network error, a timeout, 429
                and 5xx; not after other answers.
        """
        del thread  # the key holds the group together
        return await self._enqueue(
            notification, "trigger" if notification.status == "firing" else "resolve"
        )

    async def acknowledge(
        self, notification: Notification, thread: Mapping[str, str], by: str
    ) -> Delivery:
        """Tell PagerDuty that *by* acknowledged the group; it drops that if nothing is open.

        Raises:
            NotifyError: As `send`.
        """
        del thread, by  # an event names no person
        return await self._enqueue(notification, "acknowledge")

    async def _enqueue(self, notification: Notification, action: Action) -> Delivery:
        routing_key = self._fields.rendered(
            revealed(self._key, "routing_key"), "routing_key", notification
        )
        if not routing_key:
            raise NotifyError("routing_key is empty", retryable=False)
        event = payload(notification, self._fields, action)
        # The key goes in last and by hand, so that nothing else ever holds it.
        body = b'{"routing_key":' + orjson.dumps(routing_key) + b"," + event[1:]
        url = self._fields.text("url", notification) or _URL
        answer = await self._poster.post(url, body)
        if 200 <= answer.status < 300:
            return Delivery(f"HTTP {answer.status}: {action}, {_said(answer)}"[:200])
        if answer.status == 400:
            raise NotifyError(f"HTTP 400: {_said(answer)}"[:300], retryable=False)
        raise failure(answer)


def _said(answer: Answered) -> str:
    try:
        said = orjson.loads(answer.body)
        return ": ".join([str(said["message"]), *map(str, said.get("errors") or ())])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return cut(answer.body, 200)


def _event(notification: Notification, fields: Fields, action: Action) -> dict[str, Any]:
    story = tell(notification)
    summary = fields.own_text("description", notification) or _summary(story)
    named = {
        name: value
        for name in ("class", "component", "group")
        if (value := cut(fields.text(name, notification), _WORD_MAX))
    }
    client_url = absolute(fields.own_text("client_url", notification)) or next(
        (link.url for link in story.links if link.name in {"Incident", "Alert"}), ""
    )
    return {
        "event_action": action,
        "dedup_key": dedup_key(notification.group_key),
        "client": fields.own_text("client", notification) or "watchkeeper",
        **({"client_url": client_url} if client_url else {}),
        "links": _links(story, fields, notification),
        "images": _images(fields, notification),
        "payload": {
            "summary": cut(summary, _SUMMARY_MAX),
            "source": _source(notification, fields),
            "severity": _severity(story, fields, notification),
            "timestamp": (_EPOCH + timedelta(milliseconds=story.since_ms)).isoformat(
                timespec="milliseconds"
            ),
            **named,
            "custom_details": _details(story, fields, notification),
        },
    }


def _summary(story: Story) -> str:
    count = story.firing_count or story.resolved_count
    more = f" ({count + story.left_out if story.left_out else count} alerts)" if count > 1 else ""
    return f"{story.headline}{more}"


def _source(notification: Notification, fields: Fields) -> str:
    own = fields.own_text("source", notification)
    common = notification.common_labels
    labels = (common.get(name, "") for name in ("instance", "host", "service", "job"))
    return cut(own or next((value for value in labels if value), "") or "watchkeeper", _WORD_MAX)


def _severity(story: Story, fields: Fields, notification: Notification) -> str:
    """Return the setting's severity; its default, ``error``, leaves the choice to the labels."""
    own = text(fields.settings, "severity")
    if own and own != "error":
        own = fields.text("severity", notification).strip().lower()
        return own if own in _SEVERITIES else rank(own)
    return rank(story.severity)


def _details(story: Story, fields: Fields, notification: Notification) -> dict[str, Any]:
    found: dict[str, Any] = {
        "since": f"{moment(story.since_ms)} ({lasted(story.now_ms - story.since_ms)})",
        "severity": story.severity,
        "value": story.value,
        "description": story.description,
        "labels": dict(story.labels),
        "changed": story.changed,
        "note": story.note,
        "num_firing": story.firing_count,
        "num_resolved": story.resolved_count,
        "alerts": [_line(member) for member in story.members],
    }
    if story.left_out:
        found["alerts"].append(f"… and {story.left_out} more")
    found = {name: value for name, value in found.items() if value not in ("", [], {})}
    for name, value in section(fields.settings, "details").items():
        if not (isinstance(value, str) and fields.is_default(value)):
            found[str(name)] = fields.rendered_all(value, f"details.{name}", notification)
    return found


def _line(member: Member) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in member.labels)
    said = " — ".join(part for part in (member.summary, labels) if part)
    value = f" = {member.value}" if member.value else ""
    state = "firing" if member.firing else "resolved"
    return f"[{state}] {said}{value}, since {moment(member.since_ms)}"


def _links(story: Story, fields: Fields, notification: Notification) -> list[dict[str, str]]:
    found = [{"href": link.url, "text": link.name} for link in (*story.links, *story.actions)]
    for entry in fields.settings.get("links") or ():
        href = absolute(fields.rendered(str(entry.get("href", "")), "links.href", notification))
        shown = fields.rendered(str(entry.get("text", "")), "links.text", notification)
        if href:
            found.append({"href": href, "text": shown or href})
    return found


def _images(fields: Fields, notification: Notification) -> list[dict[str, str]]:
    found = []
    for entry in fields.settings.get("images") or ():
        image = {
            name: fields.rendered(str(entry.get(name) or ""), f"images.{name}", notification)
            for name in ("src", "alt", "href")
        }
        if image["src"]:
            found.append({name: value for name, value in image.items() if value})
    return found
