"""Query strings of URLs."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

__all__ = ["query"]

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


def query(
    text: str,
    is_secret: Callable[[str], bool],
    hide: Callable[[str], str],
    clean: Callable[[str], str],
) -> str:
    """Return a query string, or a URL with one, with the values of secret names masked.

    Values that are percent-encoded are also looked through for what they hold, decoded.

    Names are compared after percent-decoding; the rest of the text stays as it was.
    """
    before, mark, rest = text.rpartition("?")
    parts = [_shown(part, is_secret, hide, clean) for part in re.split(r"([&;#])", rest)]
    return before + mark + "".join(parts)


def _shown(
    part: str,
    is_secret: Callable[[str], bool],
    hide: Callable[[str], str],
    clean: Callable[[str], str],
) -> str:
    name, equals, value = part.partition("=")
    if equals and value and is_secret(_decoded(name)):
        return f"{name}={hide(value)}"
    if "%" in value:
        decoded = unquote_plus(value)
        shown = clean(decoded)
        if shown is not decoded:
            return f"{name}={quote(shown, safe='[]:*@#')}"
    return part


def _decoded(name: str) -> str:
    if "%" not in name:
        return name
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name)
