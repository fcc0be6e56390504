"""Text that Slack, or another chat, shows as it is: nothing in it links, mentions or calls anybody.

Source: docs.slack.dev, "Formatting message text".
"""

from __future__ import annotations

import re

__all__ = ["disarmed", "escaped", "link", "linkable"]

_ATTENTION = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w/])@(?=[\w&!])|<(?=[@!#])")
_PART = re.compile(r"&[a-z]*\Z")
"""An entity that a cut went through."""


def escaped(text: str, most: int = 600) -> str:
    """Return *text* such that Slack shows it as it is, in at most *most* characters.

    ``&``, ``<`` and ``>`` become entities, which disarms links and mentions; an invisible word
    joiner keeps ``@here`` and its like from calling anybody.
    """
    safe = text[:most].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = _ATTENTION.sub("@\u2060", safe)
    if len(safe) <= most and len(text) <= most:
        return safe
    return _PART.sub("", safe[: most - 1]) + "…"


def linkable(url: str) -> str:
    """Return an absolute address as it stands inside ``<…|…>``."""
    return url.replace("&", "&amp;").replace("|", "%7C")


def link(name: str, url: str) -> str:
    """Return a link that shows *name*."""
    return f"<{linkable(url)}|{escaped(name, 75)}>"


def disarmed(text: str) -> str:
    """Return *text* such that no chat takes a part of it for a mention; it looks the same.

    For channels whose markup is not known here: an invisible word joiner follows each ``@`` that
    begins a word, and each ``<`` that begins a mention.
    """
    return _MENTION.sub(lambda match: f"{match[0]}\u2060", text)
