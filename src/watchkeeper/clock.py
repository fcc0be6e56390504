"""The one place that reads a clock; everything else is handed one."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where time comes from. Implementations are safe to call from any thread."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch; may jump when the host's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go backwards, from an unspecified start."""
        ...


class SystemClock:
    """The host's clocks."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go backwards."""
        return time.monotonic_ns()
