"""What a template of a receiver may speak of: Alertmanager's data, its fields and methods.

Source: Alertmanager's documentation, "Notification template reference".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watchkeeper.server.alerts.notification import GroupAlert, Notification
from watchkeeper.server.alerts.templates.gotime import Moment, Span
from watchkeeper.server.rules.template_functions import go_text
from watchkeeper.server.rules.template_parser import TemplateError

__all__ = [
    "KV",
    "Alert",
    "Alerts",
    "Data",
    "Pair",
    "Pairs",
    "Strings",
    "data_of",
    "member",
    "shown",
]

_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


class Strings(list[str]):
    """A list of texts with the method ``Join``."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A label or annotation."""

    name: str
    value: str


class Pairs(list[Pair]):
    """Pairs with the methods ``Names`` and ``Values``."""


class KV(dict[str, str]):
    """Labels or annotations; a name that is missing is empty."""

    def pairs(self) -> Pairs:
        """Return the pairs by name, the alert's name first."""
        return Pairs(
            Pair(name, self[name]) for name in sorted(self, key=lambda n: (n != "alertname", n))
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert."""

    status: str
    labels: KV
    annotations: KV
    starts: Moment
    ends: Moment
    generator_url: str
    fingerprint: str


class Alerts(list[Alert]):
    """Alerts with the methods ``Firing`` and ``Resolved``."""


@dataclass(frozen=True, slots=True)
class Data:
    """The root."""

    receiver: str
    status: str
    alerts: Alerts
    group_labels: KV
    common_labels: KV
    common_annotations: KV
    external_url: str
    now: Moment
    group_key: str = ""
    truncated: int = 0


def data_of(notification: Notification) -> Data:
    """Return what templates see of *notification*."""
    return Data(
        receiver=_META.sub(r"\\\g<0>", notification.receiver),
        status=notification.status,
        alerts=Alerts(_alert(alert) for alert in notification.alerts),
        group_labels=KV(notification.group_labels),
        common_labels=KV(notification.common_labels),
        common_annotations=KV(notification.common_annotations),
        external_url=notification.external_url,
        now=Moment.of(notification.now_ms),
        group_key=notification.group_key,
        truncated=notification.truncated,
    )


def member(value: object, name: str, arguments: list[object]) -> object:
    """Return the field or the method's result called *name* of *value*.

    Raises:
        TemplateError: There is none, or it does not take these arguments.
    """
    for kind, known in _MEMBERS.items():
        if isinstance(value, kind) and name in known:
            try:
                return known[name](value, *arguments)
            except (TypeError, ValueError, AttributeError) as error:
                reason = str(error) if isinstance(error, ValueError) else "it takes other arguments"
                raise TemplateError(f"can't call {name}: {reason}") from None
    if arguments:
        raise TemplateError(f"{name} is no method")
    if isinstance(value, KV):
        return value.get(name, "")
    if isinstance(value, Mapping):
        return value.get(name)
    raise TemplateError(f"can't evaluate field {name} of {shown(value)[:100]!r}")


def shown(value: object) -> str:
    """Return *value* as a template prints it."""
    if isinstance(value, KV):
        return shown(value.pairs())
    if isinstance(value, Pairs):
        return ", ".join(shown(pair) for pair in value)
    if isinstance(value, Pair):
        return f"{value.name}={value.value}"
    if isinstance(value, Alert):
        return f"{{{value.status} {shown(value.labels)} {shown(value.annotations)}}}"
    if isinstance(value, list):
        return f"[{' '.join(shown(item) for item in value)}]"
    return go_text(value)


def _alert(alert: GroupAlert) -> Alert:
    return Alert(
        status="firing" if alert.firing else "resolved",
        labels=KV(alert.labels),
        annotations=KV(alert.annotations),
        starts=Moment.of(alert.starts_ms),
        ends=Moment.of(alert.ends_ms),
        generator_url=alert.generator_url,
        fingerprint=alert.fingerprint,
    )


def _remove(labels: KV, names: Any) -> KV:
    unwanted = set(names)
    return KV({name: value for name, value in labels.items() if name not in unwanted})


_MEMBERS: dict[type, dict[str, Callable[..., object]]] = {
    Data: {
        "Receiver": lambda d: d.receiver,
        "Status": lambda d: d.status,
        "Alerts": lambda d: d.alerts,
        "GroupLabels": lambda d: d.group_labels,
        "CommonLabels": lambda d: d.common_labels,
        "CommonAnnotations": lambda d: d.common_annotations,
        "ExternalURL": lambda d: d.external_url,
        "GroupKey": lambda d: d.group_key,
        "TruncatedAlerts": lambda d: d.truncated,
        "RouteLabels": lambda _: KV(),
        "NotificationReason": lambda _: "",
    },
    Alerts: {
        "Firing": lambda a: Alerts(one for one in a if one.status == "firing"),
        "Resolved": lambda a: Alerts(one for one in a if one.status == "resolved"),
    },
    Alert: {
        "Status": lambda a: a.status,
        "Labels": lambda a: a.labels,
        "Annotations": lambda a: a.annotations,
        "StartsAt": lambda a: a.starts,
        "EndsAt": lambda a: a.ends,
        "GeneratorURL": lambda a: a.generator_url,
        "Fingerprint": lambda a: a.fingerprint,
    },
    KV: {
        "SortedPairs": lambda kv: kv.pairs(),
        "Names": lambda kv: Strings(pair.name for pair in kv.pairs()),
        "Values": lambda kv: Strings(pair.value for pair in kv.pairs()),
        "Remove": _remove,
        "String": shown,
    },
    Pairs: {
        "Names": lambda pairs: Strings(pair.name for pair in pairs),
        "Values": lambda pairs: Strings(pair.value for pair in pairs),
        "String": shown,
    },
    Pair: {"Name": lambda pair: pair.name, "Value": lambda pair: pair.value},
    Strings: {"Join": lambda texts, between: between.join(texts)},
    Moment: {
        "Format": lambda t, layout: t.format(layout),
        "Unix": lambda t: t.seconds(),
        "UTC": lambda t: t.zone("UTC"),
        "Local": lambda t: t,
        "IsZero": lambda t: t.at.year == 1,
        "Sub": lambda t, other: Span((t.at - other.at).total_seconds()),
        "Before": lambda t, other: t.at < other.at,
        "After": lambda t, other: t.at > other.at,
        "Year": lambda t: t.at.year,
        "Day": lambda t: t.at.day,
        "Hour": lambda t: t.at.hour,
        "Minute": lambda t: t.at.minute,
        "String": str,
    },
    Span: {
        "Seconds": lambda s: s.seconds,
        "Minutes": lambda s: s.seconds / 60,
        "Hours": lambda s: s.seconds / 3_600,
        "String": str,
    },
}
