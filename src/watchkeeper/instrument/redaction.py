"""Redaction: what must not leave the process in a log line or a span.

One stage, used for log fields and for ``url.query``. A value is masked whole; the marker never holds
a part of it, nor its length.
"""

from __future__ import annotations

import re

__all__ = ["MASK", "is_secret", "query"]

MASK = "[redacted]"

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
)  # fmt: skip
"""Parts that make a name secret once its separators are gone."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SAFE = frozenset({"session.id", "auth.method", "auth.provider", "auth.action", "auth.outcome"})
_KNOWN_MAX = 4_096
_known: dict[str, bool] = {}


def is_secret(name: str) -> bool:
    """Tell whether the value under *name* must be masked.

    Case, ``camelCase``, ``snake_case``, dots and dashes do not matter. Counts such as
    ``input_tokens`` and kinds such as ``token_type`` are not secret.
    """
    known = _known.get(name)
    if known is not None:
        return known
    verdict = _judge(name)
    if len(_known) < _KNOWN_MAX and len(name) <= 200:
        _known[name] = verdict
    return verdict


def query(text: str) -> str:
    """Return a URL's query string with the values of secret names masked.

    Names are compared after percent-decoding; the rest of the text stays as it was.
    """
    if "=" not in text:
        return text
    parts = re.split(r"([&;])", text)
    return "".join(_masked(part) for part in parts)


def _masked(part: str) -> str:
    name, equals, value = part.partition("=")
    return f"{name}={MASK}" if equals and value and is_secret(_decoded(name)) else part


def _decoded(name: str) -> str:
    if "%" not in name:
        return name
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), name)


def _judge(name: str) -> bool:
    if name in _SAFE:
        return False
    words = [word.lower() for word in _WORDS.findall(name[:200])]
    if not words:
        return False
    joined = "".join(words)
    return (
        not _ANYWHERE.isdisjoint(words)
        or words[-1] in _LAST
        or any(part in joined for part in _JOINED)
    )
