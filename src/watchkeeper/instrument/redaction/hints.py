"""The cheap test before every scan: can this text hold a secret at all?

A regular expression looks at every character; finding a fixed piece of bytes does not, and most of
what is recorded holds none of the pieces. So a text is first turned into bytes whose letters are
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
LONG_RUN = b"a" * 16
"""Sixteen letters and digits in a row: random tokens have them, words and UUIDs do not."""


def shape(text: str) -> bytes:
    """Return *text* in bytes, in lower case and with every digit as ``0``."""
    return text.encode("utf-8", "surrogatepass").translate(_SHAPE)


def may_hold_secret(text: str) -> bool:
    """Tell whether *text* must be scanned; False is certain, True is not."""
    raw = text.encode("utf-8", "surrogatepass")
    low = raw.translate(_SHAPE)
    return (
        b"@" in low
        or b"%00" in low
        or LONG_RUN in raw.translate(_RUNS)
        or b"bearer" in low
        or b"basic " in low
        or (
            b"-" in low
            and (b"sk-" in low or b"-----begin" in low or b"glpat-" in low or b"gocspx" in low)
        )
        or (b"." in low and (b"sg." in low or b"ya00." in low))
        or b"aiza" in low
        or b"whsec_" in low
        or b"0000000000" in low
        or b"0000 0000" in low
        or b"0000-0000" in low
        or b"000-00-0000" in low
        or b"000000 00000" in low
        or b"000000-00000" in low
        or ((b"=" in low or b":" in low or b"--" in low) and may_hold_pair(low))
    )


def may_hold_pair(low: bytes) -> bool:
    """Tell whether a text of this `shape` may hold ``name=value`` with a secret name."""
    return (
        b"pass" in low
        or b"secret" in low
        or b"token" in low
        or b"key" in low
        or b"auth" in low
        or b"pwd" in low
        or b"sig" in low
        or b"cred" in low
        or b"cookie" in low
        or b"jwt" in low
        or b"otp" in low
        or b"nection" in low
    )
