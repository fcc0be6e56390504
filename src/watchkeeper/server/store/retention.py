"""Which segments are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from watchkeeper.server.store.segments import Segment
from watchkeeper.server.store.settings import StoreSettings

__all__ = ["expired"]


def expired(segments: Sequence[Segment], today: str, settings: StoreSettings) -> list[Segment]:
    """Return the segments to delete, oldest first: too old, or over the total size.

    Args:
        segments: Every segment.
        today: The UTC day that is being written, as ``2026-01-31``; never deleted, nor is a
            later one.
        settings: Age and size.
    """
    oldest = (date.fromisoformat(today) - timedelta(days=settings.retention_days)).isoformat()
    total = sum(segment.size() for segment in segments)
    found = []
    for segment in sorted(segments, key=lambda entry: (entry.day, entry.signal)):
        if segment.day >= today:
            break
        if segment.day < oldest or total > settings.size_bytes_max:
            total -= segment.size()
            found.append(segment)
    return found
