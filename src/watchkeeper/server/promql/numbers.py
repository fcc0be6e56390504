"""Numbers as Prometheus writes them."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["plain_number", "sample_text"]


def plain_number(value: float) -> str:
    """Return the shortest decimal text that reads back as *value*, never with an exponent."""
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return _special(text)


def sample_text(value: float) -> str:
    """Return *value* as the query API writes samples: exponents below 1e-6 and from 1e21."""
    text = repr(value)
    if text[-2:] == ".0":
        return text[:-2]
    if "e" not in text:
        return _special(text) if text[-1] in "fn" else text
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(text), "f")
    mantissa, exponent = text.split("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].zfill(2)}"


def _special(text: str) -> str:
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text.removesuffix(".0"))
