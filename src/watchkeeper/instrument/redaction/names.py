"""Names under which a value is secret, whatever it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["WORDS", "Names", "folded"]

_ANYWHERE = frozenset(
    {
        "password", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets",
        "authorization", "authentication", "credential", "credentials", "cookie", "cookies",
        "apikey", "jwt", "bearer", "otp", "totp",
    }
)  # fmt: skip
"""Words that make a name secret wherever they stand in it."""
_LAST = frozenset({"token", "signature", "sig", "auth"})
"""Words that make a name secret as its last word: ``access_token``, but not ``token_type``."""
_JOINED = (
    "password", "passwd", "apikey", "privatekey", "accesskey", "secretkey", "signingkey",
    "encryptionkey", "accesstoken", "refreshtoken", "idtoken", "authtoken", "csrftoken",
    "sessiontoken", "clientsecret", "sessionkey", "connectionstring", "awsaccesskeyid",
    "accountkey",
)  # fmt: skip
"""Parts that make a name secret once its separators are gone."""
WORDS = _ANYWHERE | _LAST | frozenset(_JOINED)
"""What secrets are called, in small letters."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SAFE = frozenset({"session.id", "auth.method", "auth.provider", "auth.action", "auth.outcome"})
_NAME_MAX = 200
_KNOWN_MAX = 4_096


class Names:
    """Judges names, and remembers its verdicts.

    Case, ``camelCase``, ``snake_case``, dots and dashes do not matter.

    Args:
        extra: Further secret names; one makes every name secret in which its words follow each
            other: ``patient id`` also covers ``patientId`` and ``the.patient_id.hash``.
        allowed: Names that are not secret whatever else holds; compared whole.
    """

    def __init__(self, extra: Iterable[str] = (), allowed: Iterable[str] = ()) -> None:
        self._extra = tuple(f" {' '.join(_words(name))} " for name in extra)
        self._allowed = frozenset(folded(name) for name in allowed)
        self._known: dict[str, bool] = {}
        self.hints = tuple(extra.split()[0] for extra in self._extra if extra.strip())
        """First words of the further names, by which a text that may hold one is known."""

    def is_secret(self, name: str) -> bool:
        """Tell whether the value under *name* must be masked.

        Counts such as ``input_tokens`` and kinds such as ``token_type`` are not secret.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        verdict = self._judge(name)
        if len(self._known) < _KNOWN_MAX and len(name) <= _NAME_MAX:
            self._known[name] = verdict
        return verdict

    def _judge(self, name: str) -> bool:
        if name in _SAFE:
            return False
        words = _words(name)
        if not words:
            return False
        joined = "".join(words)
        if joined in self._allowed:
            return False
        if self._extra:
            spaced = f" {' '.join(words)} "
            if any(extra in spaced for extra in self._extra):
                return True
        return (
            not _ANYWHERE.isdisjoint(words)
            or words[-1] in _LAST
            or any(part in joined for part in _JOINED)
        )


def folded(name: str) -> str:
    """Return *name* without case and separators."""
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name[:_NAME_MAX])]
