"""How late an event loop runs: code that blocks it delays everything else."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["LoopMonitor"]

_INTERVAL_S = 0.25
_WINDOW_S = 15.0
"""The worst lag of this and the last window is shown, so that each scrape of several sees it."""


class LoopMonitor:
    """Measures the lag of event loops: how much later than asked a timer fires.

    A timer, not a task: it does not keep a loop alive and ends with it.
    """

    def __init__(self) -> None:
        self._watched: weakref.WeakSet[AbstractEventLoop] = weakref.WeakSet()
        self._worst = 0.0
        self._before = 0.0
        self._window_ends = 0.0
        self._stopped = False

    def watch(self, loop: AbstractEventLoop) -> bool:
        """Begin to measure *loop*, once; call it on the loop's own thread.

        Returns:
            Whether it was new.
        """
        if loop in self._watched:
            return False
        self._watched.add(loop)
        self._arm(loop)
        return True

    def worst_s(self) -> float:
        """Return the worst lag of the present and the previous window, in seconds."""
        return max(self._worst, self._before)

    def stop(self) -> None:
        """Let every timer end after its next turn."""
        self._stopped = True

    def _arm(self, loop: AbstractEventLoop) -> None:
        due = loop.time() + _INTERVAL_S
        loop.call_at(due, self._fire, loop, due)

    def _fire(self, loop: AbstractEventLoop, due: float) -> None:
        if self._stopped:
            return
        now = loop.time()
        if now >= self._window_ends:
            fresh = now < self._window_ends + _WINDOW_S
            self._before = self._worst if fresh else 0.0
            self._worst = 0.0
            self._window_ends = now + _WINDOW_S
        self._worst = max(self._worst, now - due)
        self._arm(loop)
