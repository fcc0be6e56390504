"""Durations as Prometheus writes them."""

from __future__ import annotations

import re

from watchkeeper.errors import DefinitionError

__all__ = ["seconds"]

_PART = re.compile(r"(\d{1,9})(ms|[smhdwy])", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def seconds(duration: str) -> float:
    """Return a duration such as ``1h30m`` in seconds.

    Raises:
        DefinitionError: The text is not a sequence of numbers with the units ms, s, m, h, d, w, y.
    """
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise DefinitionError.explain(
            "a window is not a duration",
            got=duration,
            accepted="a Prometheus duration such as 30s, 5m or 1h30m",
            next_step="correct it",
        )
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)
