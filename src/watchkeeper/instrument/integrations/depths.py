"""Depths of queues whose brokers answer over a network: never asked on the scrape's own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.current import silence

__all__ = ["watch_depth"]

_FRESH_NS = 10_000_000_000
"""Age up to which the depth that is known is shown without asking again."""


def watch_depth(
    host: Host,
    queue: str,
    read: Callable[[], float | None],
    hook: str,
    *,
    pause_s: float = _FRESH_NS / 1e9,
) -> None:
    """Show the depth of *queue*; it is read in the background when a scrape finds it old.

    The series appears with the first answer, which is asked for until it comes. A broker that does
    not answer later leaves the last one.

    Args:
        host: The running instrumentation.
        queue: Name of the queue.
        read: Asks the broker; may take its time. None means that it cannot tell now.
        hook: Name under which our own errors are counted.
        pause_s: Seconds between two attempts to get the first answer.
    """
    _Depth(host, queue, read, hook, pause_s).ask()


class _Depth:
    def __init__(
        self,
        host: Host,
        queue: str,
        read: Callable[[], float | None],
        hook: str,
        pause_s: float,
    ) -> None:
        self._host = host
        self._queue = queue
        self._read = read
        self._hook = hook
        self._pause_s = pause_s
        self._known = 0.0
        self._asked_ns = 0
        self._shown = False
        self._busy = threading.Lock()

    def __call__(self) -> float:
        if self._host.clock.monotonic_ns() - self._asked_ns > _FRESH_NS:
            self.ask()
        return self._known

    def ask(self) -> None:
        """Ask in a thread of its own, unless one is asking."""
        if not self._busy.acquire(blocking=False):
            return
        self._asked_ns = self._host.clock.monotonic_ns()
        threading.Thread(target=self._work, name="watchkeeper-depth", daemon=True).start()

    def _work(self) -> None:
        try:
            silence()
            self._answer()
            # No scrape will ask as long as there is no series.
            while not self._shown and hosts.current() is self._host:
                threading.Event().wait(self._pause_s)
                self._answer()
        finally:
            self._busy.release()

    def _answer(self) -> None:
        try:
            found = self._read()
            if found is None:
                return
            self._known = float(found)
            if not self._shown:
                gauge = self._host.metrics.gauge("job.queue.depth").child((self._queue,))
                gauge.set_function(self)
                self._shown = True
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(self._hook, error)
