"""A message as Slack's Block Kit: pure, and safe against what label values may hold.

Limits and escaping: docs.slack.dev, "Formatting message text" and "Reference: blocks".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from watchkeeper.server.alerts.message import Message, Notice
from watchkeeper.server.alerts.receivers.slack_text import escaped

__all__ = ["payload"]

_RED, _GREEN = "#d0342c", "#2e9e5b"
_NOTICES_MAX = 8
_LABEL_MAX, _LABELS_MAX = 120, 10
_UNSHOWN = {"alertname", "severity"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def payload(message: Message, *, external_url: str = "") -> dict[str, Any]:
    """Return the body of the webhook request.

    Args:
        message: What is said.
        external_url: Address under which people reach our UI; links are left out without it.
    """
    word = "FIRING" if message.firing else "RESOLVED"
    count = len(message.notices)
    name = escaped(message.alertname, 100)
    title = f"[{word}] {name}" + (f" ({count} alerts)" if count > 1 else "")
    first = escaped(message.notices[0].annotations.get("summary", ""), 300)
    blocks: list[dict[str, Any]] = [_section(f"*{title}*")]
    for notice in message.notices[:_NOTICES_MAX]:
        blocks += _notice(notice, message, external_url)
    if count > _NOTICES_MAX:
        blocks.append(_section(f"… and {count - _NOTICES_MAX} more"))
    colour = _RED if message.firing else _GREEN
    return {
        "text": f"{title}: {first}" if first else title,
        "attachments": [{"color": colour, "blocks": blocks}],
    }


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _notice(notice: Notice, message: Message, external_url: str) -> list[dict[str, Any]]:
    annotations = notice.annotations
    said = [
        text
        for text in (
            f"*{escaped(annotations['summary'], 300)}*" if annotations.get("summary") else "",
            escaped(annotations.get("description", "")),
        )
        if text
    ]
    fields = [
        ("What", escaped(message.alertname, 100)),
        ("Severity", escaped(notice.labels.get("severity", "none"), 40)),
        ("Since", _moment(notice.since_ms)),
        ("How bad" if message.firing else "Last value", f"{notice.value:.6g}"),
        ("On what", _labels(notice)),
    ]
    section: dict[str, Any] = {
        "type": "section",
        "fields": [{"type": "mrkdwn", "text": f"*{name}*\n{text}"} for name, text in fields],
    }
    if said:
        section["text"] = {"type": "mrkdwn", "text": "\n".join(said)}
    links = _links(annotations, message.alertname, external_url)
    if not links:
        return [section]
    context = {"type": "context", "elements": [{"type": "mrkdwn", "text": links}]}
    return [section, context]


def _labels(notice: Notice) -> str:
    shown = [(k, v) for k, v in sorted(notice.labels.items()) if k not in _UNSHOWN]
    lines = [f"{escaped(k, 60)}: {escaped(v, _LABEL_MAX)}" for k, v in shown[:_LABELS_MAX]]
    if len(shown) > _LABELS_MAX:
        lines.append(f"… and {len(shown) - _LABELS_MAX} more")
    return "\n".join(lines) or "everything"


def _moment(t_ms: int) -> str:
    shown = (_EPOCH + timedelta(milliseconds=t_ms)).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"<!date^{t_ms // 1000}^{{date_short_pretty}} {{time_secs}}|{shown}>"


def _links(annotations: Any, alertname: str, external_url: str) -> str:
    alert_page = f"/#/alerts?name={quote(alertname, safe='')}" if external_url else ""
    wanted = (
        ("Alert", alert_page),
        ("Dashboard", annotations.get("dashboard_url", "")),
        ("Runbook", annotations.get("runbook_url", "")),
    )
    parts = []
    for name, address in wanted:
        target = _address(address, external_url)
        if target:
            parts.append(f"<{target}|{name}>")
        elif address:
            parts.append(f"{name}: {escaped(address, 200)}")
    return " · ".join(parts)


def _address(address: str, external_url: str) -> str:
    """Return *address* as an absolute link that Slack takes, or "" if it is none."""
    if address.startswith("/") and external_url:
        address = external_url.rstrip("/") + address
    try:
        scheme, host = urlsplit(address).scheme, urlsplit(address).netloc
    except ValueError:
        return ""
    if scheme not in {"http", "https"} or not host or len(address) > 1500:
        return ""
    return quote(address, safe=":/?#[]@!$&'()*+,;=%~-._").replace("&", "&amp;")
