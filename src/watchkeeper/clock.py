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
    """The host's clocks; its methods are the standard library's functions themselves."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)
