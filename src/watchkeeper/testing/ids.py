"""Trace and span ids that count up."""

from __future__ import annotations

__all__ = ["CountingIds"]


class CountingIds:
    """Ids from 1 on, so that a test can name them."""

    is_random = False

    def __init__(self) -> None:
        self._trace = 0
        self._span = 0

    def trace_id(self) -> int:
        """Return the next trace id."""
        self._trace += 1
        return self._trace

    def span_id(self) -> int:
        """Return the next span id."""
        self._span += 1
        return self._span

    def after_fork(self) -> None:
        """Go on counting: a test that forks tells its processes apart by itself."""
