"""A group as Slack's Block Kit: pure, within Slack's limits, and safe against label values.

Limits: docs.slack.dev, "Reference: blocks" (50 blocks; 3,000 characters in a text; 10 fields of
2,000; 75 in a button).
"""

from __future__ import annotations

from typing import Any

from watchkeeper.server.alerts.chat_text import escaped, link
from watchkeeper.server.alerts.receivers.story import Member, Story, lasted, moment

__all__ = ["COLOURS", "attachment", "when"]

COLOURS = {True: "#d0342c", False: "#2e9e5b"}
"""Red while it fires, green once it is over."""
_TEXT_MAX, _FIELD_MAX = 2_900, 1_900


def attachment(story: Story) -> dict[str, Any]:
    """Return the coloured part of the message, which stands below its text."""
    blocks: list[dict[str, Any]] = []
    if story.description:
        blocks.append(_section(escaped(story.description, _TEXT_MAX)))
    blocks.append(_facts(story))
    if story.members:
        blocks += _members(story)
    if story.note:
        blocks.append(_context(escaped(story.note)))
    if story.changed:
        blocks.append(_context(f"*Changed lately:* {escaped(story.changed)}"))
    if story.actions:
        blocks.append({
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "action_id": action.name.lower(),
                    "text": {"type": "plain_text", "text": action.name},
                    "url": action.url,
                    **({"style": "primary"} if action.name == "Acknowledge" else {}),
                }
                for action in story.actions
            ],
        })  # fmt: skip
    links = [shown for one in story.links if len(shown := link(one.name, one.url)) <= _TEXT_MAX]
    if links:
        blocks.append(_context(*links))
    return {"color": COLOURS[story.firing], "fallback": escaped(story.glance), "blocks": blocks}


def when(t_ms: int) -> str:
    """Return a time that Slack shows in the reader's time zone."""
    return f"<!date^{t_ms // 1000}^{{date_short_pretty}} {{time_secs}}|{moment(t_ms)}>"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _context(*texts: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text} for text in texts]}


def _facts(story: Story) -> dict[str, Any]:
    facts = [("Severity", escaped(story.severity or "none", 120))]
    if story.ended_ms is None:
        running = lasted(story.now_ms - story.since_ms)
        facts.append(("Since", f"{when(story.since_ms)} ({running})"))
    else:
        facts.append(("Over since", when(story.ended_ms)))
        facts.append(("Lasted", lasted(story.ended_ms - story.since_ms)))
    if story.value:
        facts.append(("How bad" if story.firing else "Last value", escaped(story.value)))
    if story.members:
        facts.append(("Alerts", _counts(story)))
    shown = "\n".join(f"{escaped(k, 120)}: {escaped(v, 120)}" for k, v in story.labels)
    facts.append(("On what", shown or "everything"))
    return {
        "type": "section",
        "fields": [
            {"type": "mrkdwn", "text": f"*{name}*\n{text}"[:_FIELD_MAX]} for name, text in facts
        ],
    }


def _counts(story: Story) -> str:
    return f"{story.firing_count} firing, {story.resolved_count} resolved"


def _members(story: Story) -> list[dict[str, Any]]:
    lines = [_member(member) for member in story.members]
    if story.left_out:
        lines.append(f"… and {story.left_out} more")
    blocks: list[dict[str, Any]] = []
    text = ""
    for line in lines:
        if text and len(text) + len(line) + 1 > _TEXT_MAX:
            blocks.append(_section(text))
            text = ""
        text += ("\n" if text else "") + line
    return [*blocks, _section(text)]


def _member(member: Member) -> str:
    sign = ":red_circle:" if member.firing else ":large_green_circle:"
    labels = ", ".join(f"{k}={v}" for k, v in member.labels)
    said = " — ".join(part for part in (member.summary, labels) if part) or "same labels"
    value = f" = *{escaped(member.value, 40)}*" if member.value else ""
    ended = "" if member.ended_ms is None else f", over since {when(member.ended_ms)}"
    return f"{sign} {escaped(said, 800)}{value}, since {when(member.since_ms)}{ended}"
