"""Work of the logs that can wait: summaries of floods, changes of levels, old files."""

from __future__ import annotations

import threading
from collections.abc import Callable

from watchkeeper.instrument.guard import record_failure

__all__ = ["Upkeep"]


class Upkeep:
    """Runs jobs once in an interval on a daemon thread, which starts with the first need.

    A process that neither floods, nor lets its levels be changed, nor writes files, never has the
    thread. `wake` may be called from a signal handler.

    Args:
        interval_s: Seconds between two rounds.
    """

    def __init__(self, interval_s: float = 1.0) -> None:
        self._interval_s = interval_s
        self._jobs: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._starting = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()

    def add(self, job: Callable[[], None]) -> None:
        """Run *job* in every round; what it raises is swallowed and counted."""
        self._jobs.append(job)

    def start(self) -> None:
        """Start the thread, if that was not done yet."""
        if self._thread is not None or self._stopping or not self._starting.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._work, name="watchkeeper-logs", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The interpreter is shutting down or out of threads.
            record_failure("logs.upkeep", error)
            return
        finally:
            self._starting.release()
        self._thread = thread

    def wake(self) -> None:
        """Have a round soon."""
        try:
            # A lock, since releasing one is a single C call: an Event would take a lock of its own,
            # which the code that a signal interrupted may hold.
            self._wake.release()
        except RuntimeError:
            # It is awake already.
            return

    def round(self) -> None:
        """Run every job now, on this thread."""
        for job in self._jobs:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the others still have to run
                record_failure("logs.upkeep", error)

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread after the job that it runs now."""
        self._stopping = True
        self.wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def after_fork(self) -> None:
        """Start anew in a forked child if the parent had the thread."""
        had, self._thread = self._thread, None
        self._starting = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()
        if had is not None:
            self.start()

    def _work(self) -> None:
        while not self._stopping:
            self._wake.acquire(timeout=self._interval_s)
            self.round()
