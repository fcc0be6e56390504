"""Query parameters of the trace and log APIs, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from watchkeeper.errors import QueryParseError

__all__ = ["integer", "moment_ns"]


def moment_ns(params: Mapping[str, str], name: str) -> int | None:
    """Return a moment in Unix nanoseconds, or None if the parameter is absent.

    Accepted, as Tempo and Loki clients send them: Unix seconds (whole or with a fraction),
    milliseconds, microseconds or nanoseconds, told apart by size, and RFC 3339.

    Raises:
        QueryParseError: The text is none of these.
    """
    text = params.get(name, "")
    if not text:
        return None
    try:
        if text.isdigit():
            value = int(text)
            for bound, factor in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
                if value < bound:
                    return value * factor
            return value
        if text.replace(".", "", 1).isdigit():
            return round(float(text) * 1_000_000_000)
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000) * 1_000
    except (ValueError, OverflowError):
        raise QueryParseError(
            f"{name} is not a time: got {text[:100]!r}. Accepted: Unix seconds or nanoseconds, "
            "or RFC 3339 as 2026-01-31T12:00:00Z. Next: correct the parameter."
        ) from None


def integer(params: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    """Return a whole number from 0 to *most*; larger ones are cut to *most*.

    Raises:
        QueryParseError: The text is not a whole number, or it is negative.
    """
    text = params.get(name, "")
    if not text:
        return min(default, most)
    if not text.isdigit():
        raise QueryParseError(
            f"{name} is not a whole number: got {text[:100]!r}. Accepted: 0 to {most}. "
            "Next: correct the parameter."
        )
    return min(int(text[:18]), most)
