"""How much counters grew, right also for series that begin with their first event.

Most counters here appear with the first event that they count, and ``increase`` over a series that
did not exist before is 0: it sees no step. One burst of errors on a new route, or the first call of
a dear model, would never be seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchkeeper.define.duration import seconds
from watchkeeper.define.expr import series, total

__all__ = ["grew", "grown", "share_above"]


def grown(selector: str, window: str) -> str:
    """Return by how much each series of a counter grew in *window*.

    A series that was not there a window ago counts with all that it holds, if it cannot be older:
    its target was read well at that time, or its process is younger than the window. Otherwise the
    reader was away for a while, and what the counter holds may be days old.

    Args:
        selector: A selector of a counter.
        window: A Prometheus duration.
    """
    young = f"{series('process.uptime')} < {seconds(window):g}"
    begun = (
        f"{selector} unless {selector} offset {window} "
        f"and on (job, instance) (up offset {window} == 1 or {young})"
    )
    return f"({begun} or increase({selector}[{window}]))"


def grew(selector: str, window: str, *, by: Sequence[str] = ()) -> str:
    """Return the growth of a counter in *window*, summed over all labels but *by*."""
    return total(grown(selector, window), by=by)


def share_above(part: str, whole: str, limit: float, *, at_least: float) -> str:
    """Return the condition that *part* is more than *limit* of *whole*.

    Its value is the share. It does not hold where *whole* is 0, nor while *part* is below *at_least*,
    so that one failure among the few requests of a night wakes nobody.
    """
    return f"{part}\n/ ({whole} > 0)\n> {limit:g}\nand {part} >= {at_least:g}"
