"""A group as plain text, for mails and for channels without markup: pure."""

from __future__ import annotations

from watchkeeper.server.alerts.receivers.story import Story, lasted, moment

__all__ = ["plain"]


def plain(story: Story) -> str:
    """Return the whole story, its title first, in lines."""
    lines = [story.title, ""]
    lines += [story.description, ""] if story.description else []
    lines += [f"{action.name}: {action.url}" for action in story.actions]
    lines += [""] if story.actions else []
    if story.severity:
        lines.append(f"Severity:   {story.severity}")
    if story.ended_ms is None:
        running = lasted(story.now_ms - story.since_ms)
        lines.append(f"Since:      {moment(story.since_ms)} ({running})")
    else:
        lines.append(f"Over since: {moment(story.ended_ms)}")
        lines.append(f"Lasted:     {lasted(story.ended_ms - story.since_ms)}")
    if story.value:
        lines.append(f"Value:      {story.value}")
    if story.labels:
        lines.append("On what:    " + ", ".join(f"{k}={v}" for k, v in story.labels))
    if story.members:
        lines.append("")
    for member in story.members:
        labels = ", ".join(f"{k}={v}" for k, v in member.labels)
        said = " — ".join(part for part in (member.summary, labels) if part) or "same labels"
        value = f" = {member.value}" if member.value else ""
        word = "firing  " if member.firing else "resolved"
        lines.append(f"* {word} {said}{value}, since {moment(member.since_ms)}")
    if story.left_out:
        lines.append(f"… and {story.left_out} more")
    lines += ["", story.note] if story.note else []
    lines += ["", f"Changed lately: {story.changed}"] if story.changed else []
    lines += [""] if story.links else []
    lines += [f"{link.name}: {link.url}" for link in story.links]
    return "\n".join(lines) + "\n"
