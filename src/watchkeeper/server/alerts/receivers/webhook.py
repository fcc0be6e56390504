"""Alertmanager's webhook, version 4.

Source: Alertmanager's documentation, "Configuration", ``<webhook_config>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.server.alerts.notification import Delivery, GroupAlert, Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.http import Poster, failure
from watchkeeper.server.alerts.receivers.settings import (
    Settings,
    revealed,
    secret,
    section,
    timeout_s,
)
from watchkeeper.server.alerts.templates.store import Templates

__all__ = ["WebhookSender", "payload"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME = "0001-01-01T00:00:00Z"
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


def payload(notification: Notification, max_alerts: int = 0) -> dict[str, Any]:
    """Return the body.

    Args:
        notification: What is said.
        max_alerts: Alerts beyond this many are left out and counted; 0 for no bound.
    """
    alerts = notification.alerts
    told = replace(notification, alerts=alerts[:max_alerts]) if max_alerts else notification
    return {
        # As Alertmanager has it, so that receivers see the same text: a quoted regular expression.
        "receiver": _META.sub(r"\\\g<0>", told.receiver),
        "status": told.status,
        "alerts": [_alert(alert) for alert in told.alerts],
        "groupLabels": dict(told.group_labels),
        "commonLabels": told.common_labels,
        "commonAnnotations": told.common_annotations,
        "externalURL": notification.external_url,
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": notification.truncated + len(alerts) - len(told.alerts),
    }


class WebhookSender:
    """One element of ``webhook_configs``."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self._fields = Fields(settings, templates)
        self._url = secret(settings, "url")
        self._max_alerts = int(settings.get("max_alerts") or 0)
        self._poster = Poster(section(settings, "http_config"), timeout_s(settings))

    async def aclose(self) -> None:
        """Close connections."""
        await self._poster.aclose()

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Post the group; every 2xx is success, 429 and 5xx are worth a retry.

        Raises:
            NotifyError: It was not taken.
        """
        del thread  # each message stands for itself
        url = self._fields.rendered(revealed(self._url, "url"), "url", notification)
        body: object = payload(notification, self._max_alerts)
        own = self._fields.settings.get("payload")
        if own:
            body = self._fields.rendered_all(own, "payload", notification)
        # So that a receiver which looks can tell a repeated attempt from a new message.
        headers = {"Idempotency-Key": notification.key} if notification.key else {}
        answer = await self._poster.post(url, body, headers)
        if 200 <= answer.status < 300:
            return Delivery(f"HTTP {answer.status}")
        raise failure(answer)


def _alert(alert: GroupAlert) -> dict[str, Any]:
    return {
        "status": "firing" if alert.firing else "resolved",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": _time(alert.starts_ms),
        "endsAt": _ZERO_TIME if alert.ends_ms is None else _time(alert.ends_ms),
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }


def _time(t_ms: int) -> str:
    """Return a time as Go writes it: RFC 3339, no zeros at the fraction's end."""
    whole = (_EPOCH + timedelta(milliseconds=t_ms)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{t_ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{whole}{fraction}Z"
