"""From the settings to the redactor."""

from __future__ import annotations

from collections.abc import Callable

from watchkeeper.errors import SettingError
from watchkeeper.instrument.redaction import custom
from watchkeeper.instrument.redaction.names import Names
from watchkeeper.instrument.redaction.redactor import Off, Redactor
from watchkeeper.instrument.redaction.rules import KINDS
from watchkeeper.instrument.settings import Settings

__all__ = ["build"]

_KEY_BYTES_MIN = 16


def build(settings: Settings, sql: Callable[[str, str], str] | None = None) -> Redactor:
    """Return the redactor that *settings* ask for.

    Args:
        settings: Those whose names begin with ``redact``.
        sql: Returns an SQL statement without literals.

    Raises:
        SettingError: A pattern cannot be used, a kind does not exist, or the mode ``hash`` lacks a key.
    """
    if not settings.redact:
        return Off()
    patterns = custom.compiled(settings.redact_patterns)
    for kind in settings.redact_kinds_off:
        if kind not in KINDS or kind == "key":
            raise SettingError.explain(
                "the setting redact_kinds_off names an unknown kind",
                got=kind,
                accepted=", ".join(KINDS[1:]),
                next_step="choose among these; names are allowed with redact_keys_allowed",
            )
    key = settings.redact_hash_key.encode()
    if settings.redact_mode == "hash" and len(key) < _KEY_BYTES_MIN:
        raise SettingError.explain(
            "the setting redact_mode is hash, which needs a key",
            got="no key" if not key else "a shorter key",
            accepted=f"redact_hash_key of at least {_KEY_BYTES_MIN} bytes",
            next_step="set WATCHKEEPER_REDACT_HASH_KEY or WATCHKEEPER_REDACT_HASH_KEY_FILE; without a "
            "key, whoever sees a hash could find an address by trying",
        )
    return Redactor(
        names=Names(settings.redact_keys, settings.redact_keys_allowed),
        patterns=patterns,
        off=settings.redact_kinds_off,
        mode=settings.redact_mode,
        hash_key=key,
        sql=sql,
    )
