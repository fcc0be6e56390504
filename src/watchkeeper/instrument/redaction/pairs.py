"""Secrets that a text names itself: ``password=…``, ``"api_key": "…"``, ``--token …``, headers."""

from __future__ import annotations

import re
from collections.abc import Callable

from watchkeeper.instrument.redaction.names import WORDS, Names
from watchkeeper.instrument.redaction.rules import FLAG, HEADER, NAME, VALUE

__all__ = ["MARK_START", "Hide", "pairs"]

MARK_START = "[redacted"
"""How every marker begins; what begins so is never masked again."""

Hide = Callable[[str, str], str]
"""Returns the marker for a kind and a secret."""

_CLOSING = ")]}.:!"
_PLACEHOLDER = re.compile(
    r"\?|%s|%\(\w+\)s|\$\d+|\$?\{.*|:\w+|\*+|[xX]{3,}|<.*|\.{2,}|…|@\w+|\[.*"
    r"|(?i:none|null|nil|undefined|true|false|bool|str|string|bytes|int|optional|required|"
    r"bearer|basic|digest|token|negotiate|secretstr|self|any|yes|no|empty|missing|invalid|expired)"
)
"""What stands where a secret would, or says something about it."""
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[].*", re.DOTALL)
_REFERENCE = re.compile(
    r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|[a-z]*_[A-Za-z_]+|[A-Z]+_[A-Z_]+|[a-z]+[A-Z][A-Za-z]*"
)
"""Several words, joined as names of variables are."""
_WORD = re.compile(r"[a-z]+|[A-Z][a-z]+|[A-Z]+")


def pairs(text: str, names: Names, hide: Hide) -> str:
    """Return *text* with the values behind secret names masked.

    Args:
        text: Any text.
        names: Which names are secret.
        hide: Makes the marker.
    """

    def header(match: re.Match[str]) -> str:
        if not names.is_secret(match["name"]):
            return match[0]
        return f"{match['name']}{match['between']}{hide('pair', match['value'])}"

    if "uthorization" in text or "ookie" in text or "AUTHORIZATION" in text or "COOKIE" in text:
        text = HEADER.sub(header, text)
    text = _masked(NAME, text, names, hide)
    return _masked(FLAG, text, names, hide) if "--" in text else text


def _masked(first: re.Pattern[str], text: str, names: Names, hide: Hide) -> str:
    out: list[str] = []
    done = 0
    for match in first.finditer(text):
        # A name within a value that was masked is gone; one within another's value counts.
        if match.start() < done or not names.is_secret(match["name"]):
            continue
        value = VALUE.match(text, match.end())
        if value is None:
            continue
        start, end = _secret(value, match["between"], names)
        if start < end:
            out += (text[done:start], hide("pair", text[start:end]))
            done = end
    if not out:
        return text
    out.append(text[done:])
    return "".join(out)


def _secret(match: re.Match[str], between: str, names: Names) -> tuple[int, int]:
    """Return where the secret begins and ends; an empty range if there is none."""
    bare: str | None = match["bare"]
    if bare is None:
        start, end = match.span("quoted" if match["quote"] else "escaped")
        return (start, end) if _is_value(match.string[start:end]) else (0, 0)
    value = bare.rstrip(_CLOSING) or bare
    start = match.start("bare")
    if _is_value(value) and _is_bare(value, between, names):
        return start, start + len(value)
    return 0, 0


def _is_value(value: str) -> bool:
    return not (value.startswith(MARK_START) or _PLACEHOLDER.fullmatch(value))


def _is_bare(value: str, between: str, names: Names) -> bool:
    if _CALL.fullmatch(value):
        return False
    # ``password=settings.db_password`` names where the secret is, ``password=password`` too; a
    # password may hold such a word as well (``my5ecretpassword``), but seldom looks like a name.
    if value.lower() in WORDS or (_REFERENCE.fullmatch(value) and names.is_secret(value)):
        return False
    # Prose goes on with a word behind a colon: ``password: must have a digit``.
    return not (between.endswith(": ") and _WORD.fullmatch(value))
