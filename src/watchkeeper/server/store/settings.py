"""What can be set about the store."""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.errors import SettingError
from watchkeeper.vocabulary.limits import limit

__all__ = ["StoreSettings"]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Sizes and ages; the defaults suit a developer's machine.

    Raises:
        SettingError: A value is not above zero.
    """

    retention_days: float = 15.0
    """Age in days at which a day's segments are deleted."""
    size_bytes_max: int = 10 * 1024**3
    """Bytes of all segments together; the oldest are deleted beyond it, today's never."""
    memory_bytes_max: int = 1024**3
    """Bytes that DuckDB may use for queries and buffers; larger work spills to the directory."""
    threads: int = 1
    """Threads of one query. Queries run beside each other, and the host has other work to do."""
    head_window_s: float = 3_600.0
    """Age in seconds up to which samples are also kept in memory."""
    head_samples_max: int = limit("head_samples_max")
    """Samples in memory; the window shrinks beyond it."""
    queue_bytes_max: int = limit("ingest_queue_bytes_max")
    """Decoded bytes waiting for a commit."""
    series_max: int = limit("series_max")
    """Series in the index."""
    disk_free_bytes_min: int = limit("disk_free_bytes_min")
    """Free bytes on the file system below which nothing is taken in."""
    future_s_max: float = 600.0
    """Seconds by which the time of incoming telemetry may lie ahead of the server's clock."""

    def __post_init__(self) -> None:
        for name in ("retention_days", "size_bytes_max", "memory_bytes_max", "threads",
                     "head_window_s", "head_samples_max", "queue_bytes_max", "series_max"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise SettingError.explain(
                    f"{name} makes no sense",
                    got=getattr(self, name),
                    accepted="a number above 0",
                    next_step="leave it out for the default",
                )
