"""A signal that has levels read again; nothing is installed without the setting."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["LevelSignal"]


class LevelSignal:
    """A handler in front of the present one, which still runs.

    Args:
        name: Name of the signal, ``SIGUSR2`` for example.
        asked: Called from the handler; may only do what is safe in the middle of any code.
    """

    def __init__(self, name: str, asked: Callable[[], None]) -> None:
        self._number = signal.Signals[name]
        self._asked = asked
        self._before: Any = None
        self._handler = self._handle
        self._installed = False

    def install(self) -> bool:
        """Install the handler; return whether this thread may, which only the main one does."""
        if threading.current_thread() is not threading.main_thread():
            return False
        self._before = signal.signal(self._number, self._handler)
        self._installed = True
        return True

    def uninstall(self) -> None:
        """Put back what was there, unless somebody installed theirs in front of ours."""
        if not self._installed or threading.current_thread() is not threading.main_thread():
            return
        self._installed = False
        if signal.getsignal(self._number) is self._handler:
            signal.signal(self._number, self._before or signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._asked()
        if callable(self._before):
            self._before(number, frame)
