"""Prompts and answers as attribute text; only ever used when the setting allows it."""

from __future__ import annotations

from typing import Any

import orjson

from watchkeeper.instrument import redaction
from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.host import Host

__all__ = ["content_hash", "content_text"]


def content_text(host: Host, content: object) -> str | None:
    """Return *content* as JSON, cut to the limit, or None if it must not be recorded.

    Args:
        host: Its settings decide (`capture_content`, `content_chars_max`).
        content: A text, messages as the provider takes them, or the provider's objects.
    """
    if content is None or not host.settings.capture_content:
        return None
    text = content if isinstance(content, str) else _json(content)
    maximum = host.settings.content_chars_max
    if len(text) <= maximum:
        return text
    count_cut("content_length")
    # What is cut has to be redacted before: half a secret at the end would not be recognised.
    return redaction.cut(text, maximum - 1) + "…"


def content_hash(content: object) -> int:
    """Return a number that is the same for the same *content*; the order of keys does not matter."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS
    return hash(orjson.dumps(content, default=_plain, option=options))


def _json(content: object) -> str:
    return orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", exclude_none=True) if callable(dump) else str(value)
