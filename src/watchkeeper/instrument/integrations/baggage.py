"""W3C Baggage, read and written by hand: its header, and its place in a context.

Source: W3C Baggage, sections 3.2 (header syntax) and 3.3 (limits). Where a context keeps baggage is
the OpenTelemetry API's affair, so ``opentelemetry.baggage`` reads and writes the same entries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Self
from urllib.parse import quote, unquote

from opentelemetry import baggage
from opentelemetry.context import Context, get_value, set_value

from watchkeeper.vocabulary.limits import LIMITS, limit

__all__ = ["BaggageValue", "entries_of", "parse", "render", "with_entries"]

_KEY: str | None = getattr(baggage, "_BAGGAGE_KEY", None)
"""Where a context keeps its baggage. The public way copies all entries for each one that is set."""
_NONE: Mapping[str, object] = MappingProxyType({})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAFE = "!#$&'()*-./:<=>?@[]^_`{|}~"
"""What a value may hold unquoted (baggage-octet), without ``%``, which quoting uses, and ``+``,
which OpenTelemetry's own propagator reads as a space."""
_BYTES_MAX = limit("baggage_bytes_max")
_ENTRIES_MAX = limit("baggage_entries_max")
_BYTES_REASON = LIMITS["baggage_bytes_max"].reason
_ENTRIES_REASON = LIMITS["baggage_entries_max"].reason
_SYNTAX = "baggage_syntax"

Refuse = Callable[[str], None]


class BaggageValue(str):
    """A value that came with properties (``;name=value``), which travel on with it."""

    __slots__ = ("properties",)

    properties: str

    def __new__(cls, value: str, properties: str = "") -> Self:
        """Return *value* with its *properties*, as they are written in the header."""
        made = super().__new__(cls, value)
        made.properties = properties
        return made


def parse(header: str, refuse: Refuse) -> dict[str, str]:
    """Return the entries of a ``baggage`` header; what cannot be read is left out.

    Args:
        header: Value of the header; several headers joined by commas.
        refuse: Called with the reason for everything that is left out.
    """
    if len(header) > _BYTES_MAX:
        # Nothing of it is used: where it was cut is chance, and half of it can mislead.
        refuse(_BYTES_REASON)
        return {}
    entries: dict[str, str] = {}
    for member in header.split(","):
        pair, semicolon, properties = member.partition(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not member.strip():
            continue
        if not equals or not _TOKEN.fullmatch(name):
            refuse(_SYNTAX)
            continue
        if len(entries) >= _ENTRIES_MAX and name not in entries:
            refuse(_ENTRIES_REASON)
            break
        plain = unquote(value.strip(), errors="replace")
        entries[name] = BaggageValue(plain, properties.strip()) if semicolon else plain
    return entries


def render(context: Context | None, refuse: Refuse) -> str:
    """Return the ``baggage`` header for the entries of *context* (default the current one), or "".

    An entry that would cross a limit is left out and those before it still go, as the
    specification asks.
    """
    entries = entries_of(context)
    if not entries:
        return ""
    members: list[str] = []
    length = 0
    for name, value in entries.items():
        if not _TOKEN.fullmatch(name):
            refuse(_SYNTAX)
            continue
        member = f"{name}={quote(str(value), safe=_SAFE)}"
        if isinstance(value, BaggageValue) and value.properties:
            member = f"{member};{value.properties}"
        if len(members) >= _ENTRIES_MAX:
            refuse(_ENTRIES_REASON)
            break
        if length + len(member) + 1 > _BYTES_MAX:
            refuse(_BYTES_REASON)
            continue
        members.append(member)
        length += len(member) + 1
    return ",".join(members)


def with_entries(entries: dict[str, str], context: Context | None) -> Context:
    """Return *context* (default the current one) with *entries* as its baggage."""
    if _KEY is not None:
        return set_value(_KEY, entries, context)
    made = baggage.clear(context)
    for name, value in entries.items():
        made = baggage.set_baggage(name, value, made)
    return made


def entries_of(context: Context | None = None) -> Mapping[str, object]:
    """Return the baggage of *context* (default the current one); never change it."""
    if _KEY is None:
        return baggage.get_all(context)
    entries = get_value(_KEY, context)
    return entries if isinstance(entries, dict) else _NONE
