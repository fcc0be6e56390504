"""A post that one process of a group holds at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from watchkeeper.instrument.guard import guard

__all__ = ["Post"]


class Post:
    """Held by whoever has the lock on one file; the kernel passes it on when the holder dies.

    Args:
        path: The file; its directory exists.
        granted: Called on a thread of its own when a claim that had to wait has succeeded.
    """

    def __init__(self, path: Path, granted: Callable[[], None]) -> None:
        self._path = path
        self._granted = granted
        self._fd = -1
        self._wanted = False
        self._waiting = False
        self._lock = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._fd >= 0 and not self._waiting

    def claim(self) -> bool:
        """Return whether the post is held now; otherwise wait for it in the background.

        Raises:
            OSError: The file cannot be opened.
        """
        with self._lock:
            self._wanted = True
            if self._fd >= 0:
                return not self._waiting
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._fd = fd
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._waiting = True
                thread = threading.Thread(
                    target=self._wait, args=(fd,), name="watchkeeper-post", daemon=True
                )
                thread.start()
                return False
            return True

    def release(self) -> None:
        """Give the post to whoever waits for it; a claim that still waits is dropped."""
        with self._lock:
            self._wanted = False
            if self._fd >= 0 and not self._waiting:
                os.close(self._fd)
                self._fd = -1

    def after_fork(self) -> None:
        """Let go of the parent's lock; runs in a forked child."""
        fd, self._fd = self._fd, -1
        self._wanted = self._waiting = False
        self._lock = threading.Lock()
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _wait(self, fd: int) -> None:
        with guard("metrics.post"):
            fcntl.flock(fd, fcntl.LOCK_EX)
            with self._lock:
                self._waiting = False
                if not self._wanted:
                    os.close(fd)
                    self._fd = -1
                    return
            self._granted()
