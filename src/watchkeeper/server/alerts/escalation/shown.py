"""Incidents as others see them: JSON for the API, Markdown to keep, pages behind signed links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from watchkeeper.server.alerts.escalation.incident import Incident
from watchkeeper.server.alerts.escalation.model import Escalation
from watchkeeper.server.alerts.escalation.oncall import shifts
from watchkeeper.server.alerts.notification import GroupAlert

__all__ = ["incident_json", "link_page", "markdown", "moment", "oncall_json", "plain"]

_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]"
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>&@:=$^\"'])")
_VERBS = {
    "acknowledge": "Acknowledge",
    "unacknowledge": "Take the acknowledgement back",
    "take": "Take over",
    "resolve": "Resolve",
}
_STYLE = "style.css"


def moment(t_ms: int | None) -> str:
    """Return a time as people read it, in UTC: ``2026-01-31 12:00:05 UTC``; a dash for none."""
    if t_ms is None:
        return "-"
    return datetime.fromtimestamp(t_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text: str) -> str:
    """Return *text* without characters that change a terminal or the order of what is read."""
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " ").replace("\t", " "))


def incident_json(incident: Incident) -> dict[str, Any]:
    """Return an incident in the shape of our own API, without alerts and timeline."""
    note = incident.notification
    return {
        "id": incident.id,
        "source": incident.source,
        "group_key": incident.group_key,
        "receiver": incident.receiver,
        "title": incident.title,
        "state": incident.state.value,
        "labels": note.common_labels,
        "annotations": note.common_annotations,
        "severities": sorted(incident.severities),
        "firing": len(note.firing),
        "truncated": incident.truncated,
        "policy": incident.policy,
        "run": incident.run,
        "round": incident.round,
        "step": incident.step,
        "waits_for": incident.wait,
        "due_ms": incident.due_ms,
        "owner": incident.owner,
        "opened_ms": incident.opened_ms,
        "changed_ms": incident.changed_ms,
        "acknowledged_ms": incident.acknowledged_ms,
        "resolved_ms": incident.resolved_ms,
        "resolved_by": incident.resolved_by,
    }


def alert_json(alert: GroupAlert) -> dict[str, Any]:
    """Return one alert of an incident."""
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "starts_ms": alert.starts_ms,
        "ends_ms": alert.ends_ms,
        "fingerprint": alert.fingerprint,
        "generator_url": alert.generator_url,
    }


def oncall_json(book: Escalation, now_ms: int, hours: int) -> list[dict[str, Any]]:
    """Return who is on call now, and the shifts of the next *hours*, for each schedule."""
    found = []
    for schedule in book.schedules.values():
        listed = shifts(schedule, now_ms, now_ms + hours * 3_600_000)
        found.append(
            {
                "schedule": schedule.name,
                "time_zone": schedule.zone.key,
                "now": listed[0].user,
                "until_ms": listed[0].end_ms if len(listed) > 1 else None,
                "shifts": [
                    {
                        "start_ms": shift.start_ms,
                        "end_ms": shift.end_ms,
                        "user": shift.user,
                        "origin": shift.origin,
                    }
                    for shift in listed
                ],
            }
        )
    return found


# Markdown


def markdown(incident: Incident, timeline: Sequence[Mapping[str, Any]]) -> str:
    """Return an incident with its timeline as one Markdown page.

    Texts of others (labels, comments, answers) are escaped: they make no markup, link or mention.
    """
    lines = [
        f"# Incident {incident.id}: {_md(incident.title)}",
        "",
        f"- State: {incident.state.value}",
        f"- Opened: {moment(incident.opened_ms)}",
        f"- Acknowledged: {moment(incident.acknowledged_ms)}",
        f"- Resolved: {moment(incident.resolved_ms)}"
        + (f", by {_md(incident.resolved_by)}" if incident.resolved_by else ""),
        f"- Owner: {_md(incident.owner) or '-'}",
        f"- Policy: {_md(incident.policy) or '-'}",
        "",
        "## Alerts",
        "",
        "| alert | began | ended |",
        "| --- | --- | --- |",
    ]
    for alert in incident.alerts:
        labels = ", ".join(f"{_md(k)}={_md(v)}" for k, v in sorted(alert.labels.items()))
        lines.append(f"| {labels} | {moment(alert.starts_ms)} | {moment(alert.ends_ms)} |")
    if incident.truncated:
        lines.append(f"| and {incident.truncated} more | | |")
    lines += [
        "",
        "## Timeline",
        "",
        "| time | what | who | text |",
        "| --- | --- | --- | --- |",
    ]
    for entry in timeline:
        text = _md(entry["text"])
        answer = entry["data"].get("answer")
        if answer:
            text += f" (answer: {_md(answer)})"
        who = _md(entry["who"]) + (f" ({entry['via']})" if entry["via"] else "")
        lines.append(f"| {moment(entry['at_ms'])} | {entry['kind']} | {who} | {text} |")
    return "\n".join([*lines, ""])


def _md(text: str) -> str:
    # Every mark is written as a character reference, which no Markdown dialect takes for markup.
    # CommonMark, section 6.2 and 2.5.
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[1])};", plain(text))


# Pages


def link_page(
    title: str,
    incident: Incident | None,
    *,
    verb: str = "",
    who: str = "",
    message: str = "",
    named: bool = True,
) -> str:
    """Return an HTML page about a link.

    Args:
        title: What it says first.
        incident: What it is about, as far as that is known.
        verb: What its button does; no button if it is empty.
        who: For whom the button acts.
        message: Said below the title.
        named: Whether *who* is a person; if not, the page asks for the name.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="robots" content="noindex">',
        f"<title>{_html(title)}</title>",
        f'<link rel="stylesheet" href="{_STYLE}"></head><body><main>',
        f"<h1>{_html(title)}</h1>",
    ]
    if message:
        parts.append(f"<p>{_html(message)}</p>")
    if incident is not None:
        rows = {
            "Incident": f"{incident.id}: {incident.title}",
            "State": incident.state.value,
            "Since": moment(incident.opened_ms),
            "Owner": incident.owner or "-",
        }
        cells = "".join(f"<dt>{_html(k)}</dt><dd>{_html(v)}</dd>" for k, v in rows.items())
        parts.append(f"<dl>{cells}</dl>")
    if verb:
        name = (
            ""
            if named
            else '<p><label>Your name <input name="who" required maxlength="100"></label></p>'
        )
        label = f"{_VERBS[verb]} as {_html(who)}" if named else _VERBS[verb]
        parts.append(f'<form method="post">{name}<button type="submit">{label}</button></form>')
    if incident is not None:
        parts.append(f'<p><a href="../#/incidents/{_html(incident.id)}">Open the incident</a></p>')
    return "".join([*parts, "</main></body></html>"])


STYLE = """\
:root { color-scheme: light dark; }
body { font: 1.1rem/1.5 system-ui, sans-serif; margin: 0; padding: 1.5rem; }
main { max-width: 36rem; margin: 0 auto; }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
input { font: inherit; padding: .6rem; width: 100%; box-sizing: border-box; }
button { font: inherit; font-weight: 600; padding: .8rem 1.2rem; width: 100%; }
"""


def _html(text: str) -> str:
    return escape(plain(text), quote=True)
