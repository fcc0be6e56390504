"""The cheap test before every scan: can this text hold a secret at all?

A regular expression looks at every character; finding a fixed piece does not, and most of
what is recorded holds none of the pieces. So a text is first turned into one whose letters are
lower-case and whose digits are all ``0``, and searched for pieces that every secret of some kind has.
What follows costs nothing for texts without them.
"""

from __future__ import annotations

__all__ = ["LONG_RUN", "may_hold_secret", "shape"]

_SHAPE = bytes(
    ord("0")
    if chr(code).isdigit() and code < 128
    else ord(chr(code).lower())
    if code < 128
    else code
    for code in range(256)
)
_RUNS = bytes(ord("a") if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256))
LONG_RUN = "a" * 16
"""Sixteen letters and digits in a row: random tokens have them, words and UUIDs do not."""

_ID_SIZES = frozenset({32, 40, 64})


def shape(text: str) -> str:
    """Return *text* in lower case and with every digit as ``0``; other letters are garbled."""
    return text.encode("utf-8", "surrogatepass").translate(_SHAPE).decode("latin-1")


def may_hold_secret(text: str) -> bool:
    """Tell whether *text* must be scanned; False is certain, True is not."""
    raw = text.encode("utf-8", "surrogatepass")
    # As text again: looking for bytes in bytes takes four times as long as for text in text.
    low = raw.translate(_SHAPE).decode("latin-1")
    return (
        "@" in low
        or "%00" in low
        or (LONG_RUN in raw.translate(_RUNS).decode("latin-1") and not _is_id(text))
        or "bearer" in low
        or "basic " in low
        or (
            "-" in low
            and ("sk-" in low or "-----begin" in low or "glpat-" in low or "gocspx" in low)
        )
        or ("." in low and ("sg." in low or "ya00." in low))
        or "aiza" in low
        or "whsec_" in low
        or "0000000000" in low
        or "0000 0000" in low
        or "0000-0000" in low
        or "000-00-0000" in low
        or "000000 00000" in low
        or "000000-00000" in low
        or (("=" in low or ":" in low or "--" in low) and may_hold_pair(low))
    )


def _is_id(text: str) -> bool:
    """Tell whether the whole text is a trace id or a digest: no rule of ours takes these lengths."""
    return len(text) in _ID_SIZES and text.isalnum()


def may_hold_pair(low: str) -> bool:
    """Tell whether a text of this `shape` may hold ``name=value`` with a secret name."""
    return (
        "pass" in low
        or "secret" in low
        or "token" in low
        or "key" in low
        or "auth" in low
        or "pwd" in low
        or "sig" in low
        or "cred" in low
        or "cookie" in low
        or "jwt" in low
        or "otp" in low
        or "nection" in low
    )
