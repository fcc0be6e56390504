"""A clock that moves when it is told to."""

from __future__ import annotations

__all__ = ["FixedClock"]


class FixedClock:
    """Time that stands still until `advance` or `jump`.

    Args:
        start_ns: Unix nanoseconds at the start; 2026-01-01T00:00:00Z if not given.
    """

    def __init__(self, start_ns: int = 1_767_225_600_000_000_000) -> None:
        self._now_ns = start_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Return Unix nanoseconds."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds since this clock was made, whatever `jump` did."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass.

        Raises:
            ValueError: *seconds* is negative; use `jump` for a clock that is set back.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: got {seconds}. Accepted: 0 or more.")
        passed = round(seconds * 1_000_000_000)
        self._now_ns += passed
        self._monotonic_ns += passed

    def jump(self, seconds: float) -> None:
        """Set the wall clock forwards or backwards, as a time server would."""
        self._now_ns += round(seconds * 1_000_000_000)
