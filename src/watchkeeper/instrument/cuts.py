"""What went out cut to a limit, counted in one place: the metric ``watchkeeper.telemetry.truncated``.

Called only where something is cut, so that what fits costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["count_cut", "cuts"]

_COUNTS: dict[str, int] = {}


def count_cut(reason: str) -> None:
    """Count something that was cut.

    Args:
        reason: The limit's, in `watchkeeper.vocabulary.limits`; it becomes a label.
    """
    # No lock: CPython does not switch threads within this statement (see instruments.py).
    _COUNTS[reason] = _COUNTS.get(reason, 0) + 1


def cuts() -> Mapping[str, int]:
    """Return how much was cut in this process and those it was forked from, by reason."""
    return MappingProxyType(dict(_COUNTS))
