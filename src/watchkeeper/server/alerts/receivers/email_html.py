"""A group as the HTML part of a mail: pure, every value escaped, readable on a phone.

Mail programs take styles only beside the elements, and no scripts; tables carry the layout.
"""

from __future__ import annotations

from html import escape

from watchkeeper.server.alerts.receivers.story import Link, Member, Story, lasted, moment, rank

__all__ = ["html"]

_RED, _GREEN, _AMBER, _BLUE = "#c62828", "#2e7d32", "#b26a00", "#1565c0"
_COLOURS = {"critical": _RED, "error": _RED, "warning": _AMBER, "info": _BLUE}
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


def html(story: Story) -> str:
    """Return the document."""
    colour = _COLOURS[rank(story.severity)] if story.firing else _GREEN
    parts = [
        f'<h1 style="margin:0 0 8px;font-size:20px;line-height:1.3">{_text(story.headline)}</h1>',
        _paragraph(story.description),
        _actions(story, colour),
        _facts(story),
        _members(story),
        _small(story.note),
        _small(f"Changed lately: {story.changed}" if story.changed else ""),
        _links(story.links),
    ]
    status = "FIRING" if story.firing else "RESOLVED"
    count = story.firing_count if story.firing else story.resolved_count
    word = f"{status} · {count} alerts" if count > 1 else status
    severity = f" · {_text(story.severity)}" if story.severity else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{_text(story.title)}</title></head>
<body style="margin:0;padding:0;background:#f2f4f6;color:#1f2933;{_FONT}">
<div style="display:none;max-height:0;overflow:hidden">{_text(story.glance)}</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:640px;background:#ffffff;border-radius:6px;overflow:hidden">
<tr><td style="background:{colour};color:#ffffff;padding:12px 20px;font-size:14px;font-weight:700;letter-spacing:.04em">{word}{severity}</td></tr>
<tr><td style="padding:20px;font-size:15px;line-height:1.5">
{"".join(parts)}
</td></tr></table>
</td></tr></table>
</body></html>
"""


def _text(text: str) -> str:
    return escape("".join(one if one.isprintable() else " " for one in text))


def _paragraph(text: str) -> str:
    lines = "<br>".join(_text(line) for line in text.splitlines())
    return f'<p style="margin:0 0 16px">{lines}</p>' if lines else ""


def _small(text: str) -> str:
    return (
        f'<p style="margin:0 0 12px;color:#52606d;font-size:14px">{_text(text)}</p>' if text else ""
    )


def _actions(story: Story, colour: str) -> str:
    if not story.actions:
        return ""
    buttons = "".join(
        f'<a href="{escape(action.url)}" style="display:inline-block;margin:0 8px 8px 0;'
        f"padding:10px 18px;border-radius:4px;border:1px solid {colour};text-decoration:none;"
        f"font-weight:600;{f'background:{colour};color:#ffffff' if not place else f'color:{colour}'}"
        f'">{_text(action.name)}</a>'
        for place, action in enumerate(story.actions)
    )
    return f'<div style="margin:0 0 12px">{buttons}</div>'


def _facts(story: Story) -> str:
    facts: list[tuple[str, str]] = []
    if story.ended_ms is None:
        running = lasted(story.now_ms - story.since_ms)
        facts.append(("Since", f"{moment(story.since_ms)} ({running})"))
    else:
        facts.append(("Over since", moment(story.ended_ms)))
        facts.append(("Lasted", lasted(story.ended_ms - story.since_ms)))
    if story.value:
        facts.append(("Value" if story.firing else "Last value", story.value))
    facts += [("Severity", story.severity)] if story.severity else []
    rows = "".join(_row(_text(name), _text(value)) for name, value in facts)
    labels = "<br>".join(f"{_text(name)}={_text(value)}" for name, value in story.labels)
    rows += _row("On what", labels) if labels else ""
    return (
        '<table role="presentation" cellpadding="0" cellspacing="0" '
        f'style="margin:0 0 16px;font-size:14px">{rows}</table>'
    )


def _row(name: str, value: str) -> str:
    return (
        f'<tr><td style="padding:2px 16px 2px 0;color:#52606d;vertical-align:top;white-space:nowrap">{name}</td>'
        f'<td style="padding:2px 0;word-break:break-word">{value}</td></tr>'
    )


def _members(story: Story) -> str:
    if not story.members:
        return ""
    rows = "".join(_member(member) for member in story.members)
    more = (
        f'<tr><td style="padding:8px 0;color:#52606d">… and {story.left_out} more</td></tr>'
        if story.left_out
        else ""
    )
    return (
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" '
        f'style="margin:0 0 16px;font-size:14px">{rows}{more}</table>'
    )


def _member(member: Member) -> str:
    colour, word = (_RED, "firing") if member.firing else (_GREEN, "resolved")
    labels = ", ".join(f"{_text(name)}={_text(value)}" for name, value in member.labels)
    said = " — ".join(part for part in (_text(member.summary), labels) if part) or "same labels"
    value = f" = <b>{_text(member.value)}</b>" if member.value else ""
    since = moment(member.since_ms)
    ended = "" if member.ended_ms is None else f", over since {moment(member.ended_ms)}"
    return (
        '<tr><td style="padding:8px 0;border-top:1px solid #e4e7eb;word-break:break-word">'
        f'<b style="color:{colour}">{word}</b> {said}{value}'
        f'<br><span style="color:#52606d">since {since}{ended}</span></td></tr>'
    )


def _links(links: tuple[Link, ...]) -> str:
    shown = " · ".join(
        f'<a href="{escape(link.url)}" style="color:{_BLUE}">{_text(link.name)}</a>'
        for link in links
    )
    return f'<p style="margin:0;font-size:14px">{shown}</p>' if shown else ""
