"""Notifications to tell, and texts that try to do more than be shown."""

from __future__ import annotations

from typing import Any

from watchkeeper.server.alerts.notification import GroupAlert, Links, Notification

START_MS = 1_767_225_600_000
"""2026-01-01 00:00:00 UTC."""
MINUTE_MS = 60_000

LABELS = {"alertname": "ApiErrorRate", "job": "api", "severity": "page"}
ANNOTATIONS = {
    "summary": "api fails 10% of its requests",
    "description": "Over the last 5m …",
    "runbook_url": "https://example.org/runbooks/api.md",
    "dashboard_url": "/#/d/overview?panel=error-ratio",
}
LINKS = Links(
    alert="http://127.0.0.1:8400/#/alerts?name=ApiErrorRate",
    silence="http://127.0.0.1:8400/act/silence?token=SIGNED",
    acknowledge="http://127.0.0.1:8400/act/acknowledge?token=SIGNED&x=1",
    incident="http://127.0.0.1:8400/#/incidents/7",
    explore="http://127.0.0.1:8400/#/trace/abc",
    explore_label="slowest trace",
)

HOSTILE = [
    "<!channel>", "<!here>", "<@U123>", "<https://evil.example|click>", "a & b < c > d",
    "@channel", "@here", "@Everyone", "javascript:alert(1)", "<script>alert(1)</script>",
    "https://x.example/>|<!channel>", "http://[", "x" * 5000, "&" * 3000, "",
    "a\r\nBcc: everybody@example.org", "a\nb\x00c", '"><img src=x onerror=alert(1)>',
    "{{ .Status }}", "\u2028\u202e",
]  # fmt: skip


def alert(
    *,
    ends_ms: int | None = None,
    value: float | None = 0.1,
    fingerprint: str = "0123456789abcdef",
    annotations: dict[str, str] | None = None,
    starts_ms: int = START_MS,
    **labels: str,
) -> GroupAlert:
    """Return an alert with *labels* beside or instead of the usual ones."""
    return GroupAlert(
        labels={**LABELS, **labels},
        annotations=ANNOTATIONS if annotations is None else annotations,
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        fingerprint=fingerprint,
        value=value,
        generator_url="http://127.0.0.1:8400/graph?g0.expr=x",
    )


def notification(*alerts: GroupAlert, **fields: Any) -> Notification:
    """Return a notification about *alerts*, one firing alert by default."""
    given: dict[str, Any] = {
        "receiver": "team-a",
        "group_key": '{}/{job="api"}:{alertname="ApiErrorRate"}',
        "group_labels": {"alertname": "ApiErrorRate"},
        "alerts": alerts or (alert(),),
        "now_ms": START_MS + 12 * MINUTE_MS,
        "external_url": "http://127.0.0.1:8400",
        "links": LINKS,
        "changed": "api deployed v1.2.3 5m before",
        **fields,
    }
    return Notification(**given)


def resolved(*alerts: GroupAlert, **fields: Any) -> Notification:
    """Return a notification about *alerts* that have ended."""
    return notification(*(alerts or (alert(ends_ms=START_MS + 10 * MINUTE_MS),)), **fields)


def hostile(text: str, count: int = 1) -> Notification:
    """Return a notification that carries *text* wherever there is room for it."""
    members = tuple(
        GroupAlert(
            labels={"alertname": text, "job": text, "severity": text, text or "t": text,
                    "n": str(number)},
            annotations={"summary": text, "description": text, "runbook_url": text,
                         "dashboard_url": text, "n": f"{number} {text}"},
            starts_ms=START_MS,
            ends_ms=None,
            fingerprint=f"{number:016x}",
            value=1.0,
            generator_url=text,
        )
        for number in range(count)
    )  # fmt: skip
    links = Links(text, text, text, text, text, text)
    return notification(*members, group_labels={"alertname": text}, links=links, changed=text)


def texts(value: Any) -> list[str]:
    """Return every text of a payload."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []
