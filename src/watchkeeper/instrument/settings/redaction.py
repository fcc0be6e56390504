"""The settings of redaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.row import row

__all__ = ["RedactionSettings"]


@dataclass(frozen=True, slots=True)
class RedactionSettings:
    """The part of the table that `watchkeeper.instrument.redaction` reads."""

    redact: bool = row(
        True,  # noqa: FBT003 - a default
        "Mask secrets in logs and spans; false lets everything out as it is.",
        parse.boolean,
        "WATCHKEEPER_REDACT",
    )
    redact_keys: tuple[str, ...] = row(
        (),
        "Further names whose values are masked, separated by commas: `patient_id`.",
        parse.words,
        "WATCHKEEPER_REDACT_KEYS",
    )
    redact_keys_allowed: tuple[str, ...] = row(
        (),
        "Names whose values are not masked although they look secret, separated by commas.",
        parse.words,
        "WATCHKEEPER_REDACT_KEYS_ALLOWED",
    )
    redact_kinds_off: tuple[str, ...] = row(
        (),
        "Kinds of secrets that are let out, separated by commas: `email`.",
        parse.words,
        "WATCHKEEPER_REDACT_KINDS_OFF",
    )
    redact_patterns: Mapping[str, str] = row(
        MappingProxyType({}),
        "Further patterns: regular expressions by the kind to name, as JSON: "
        '`{"order": "ORD-[0-9]{8}"}`.',
        parse.patterns,
        "WATCHKEEPER_REDACT_PATTERNS",
    )
    redact_mode: str = row(
        "mask",
        "`mask`, `partial` (shows the end of a card number, the domain of an address), or `hash` "
        "(a keyed hash, so that equal secrets look equal).",
        parse.one_of("mask", "partial", "hash"),
        "WATCHKEEPER_REDACT_MODE",
    )
    redact_hash_key: str = row(
        "",
        "Key of the mode `hash`, at least 16 bytes.",
        parse.text,
        "WATCHKEEPER_REDACT_HASH_KEY",
        secret=True,
    )
