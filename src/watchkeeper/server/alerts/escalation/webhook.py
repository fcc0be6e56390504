"""Reads what an Alertmanager sends to a webhook receiver, version 4 of the payload.

Source: Prometheus' documentation, "Alerting / Configuration", section ``<webhook_config>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import orjson

from watchkeeper.errors import PayloadError
from watchkeeper.server.alerts.notification import GroupAlert, Notification

__all__ = ["Received", "read_webhook"]

_FINGERPRINT_CHARS_MAX = 64
_YEAR_2000_MS = 946_684_800_000


@dataclass(frozen=True, slots=True)
class Received:
    """A payload, read."""

    notification: Notification
    complete: bool
    """False if alerts were left out, which may be firing."""


def read_webhook(body: bytes, now_ms: int) -> Received:
    """Return what the payload *body* says.

    Args:
        body: JSON of version 4.
        now_ms: Unix milliseconds, for what carries no time.

    Raises:
        PayloadError: It is not such a payload.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse("not JSON", str(error))
    if not isinstance(payload, dict) or payload.get("version") != "4":
        version = payload.get("version") if isinstance(payload, dict) else type(payload).__name__
        _refuse("not the payload of a webhook receiver", version)
    alerts = payload.get("alerts")
    if not isinstance(alerts, list) or not alerts:
        _refuse("it holds no alerts", alerts)
    found = [_alert(alert, now_ms) for alert in alerts]
    found.sort(key=lambda alert: not alert.firing)
    truncated = payload.get("truncatedAlerts", 0)
    if not isinstance(truncated, int) or isinstance(truncated, bool) or truncated < 0:
        _refuse("truncatedAlerts is not a number", truncated)
    note = Notification(
        # Alertmanager writes the name as a quoted regular expression.
        receiver=re.sub(r"\\(.)", r"\1", _text(payload, "receiver")),
        group_key=_text(payload, "groupKey"),
        group_labels=_texts(payload, "groupLabels"),
        alerts=tuple(found),
        now_ms=now_ms,
        external_url=_text(payload, "externalURL", ""),
        truncated=truncated,
    )
    return Received(note, complete=truncated == 0)


def _alert(alert: object, now_ms: int) -> GroupAlert:
    if not isinstance(alert, dict):
        _refuse("an alert is not an object", alert)
    status = alert.get("status")
    if status not in {"firing", "resolved"}:
        _refuse("status of an alert is neither firing nor resolved", status)
    ends_ms = _time_ms(alert, "endsAt", now_ms) if status == "resolved" else None
    labels = _texts(alert, "labels")
    return GroupAlert(
        labels=labels,
        annotations=_texts(alert, "annotations"),
        starts_ms=_time_ms(alert, "startsAt", now_ms),
        ends_ms=ends_ms,
        fingerprint=_text(alert, "fingerprint")[:_FINGERPRINT_CHARS_MAX],
        generator_url=_text(alert, "generatorURL", ""),
    )


def _time_ms(alert: Mapping[str, Any], name: str, now_ms: int) -> int:
    text = _text(alert, name, "")
    try:
        value = round(datetime.fromisoformat(text).timestamp() * 1000) if text else 0
    except (ValueError, OverflowError):
        _refuse(f"{name} of an alert is not a time of RFC 3339", text)
    return value if value >= _YEAR_2000_MS else now_ms  # Go's zero time means: not known


def _text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        _refuse(f"{name} is not a text", value)
    return value


def _texts(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    value = fields.get(name) or {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        _refuse(f"{name} is not an object of texts", value)
    return value


def _refuse(what: str, got: object) -> NoReturn:
    raise PayloadError.explain(
        f"the webhook payload cannot be read, {what}",
        got=got,
        accepted="what Alertmanager sends to a webhook receiver, version 4",
        next_step="point a webhook_configs entry of Alertmanager here",
    )
