"""Group commit: everything that waits is committed together, then everybody is told."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import structlog

from watchkeeper.errors import OverloadError, StoreError
from watchkeeper.server.store.rows import Batch

__all__ = ["KnownDigests", "Pending", "Writer"]

_GROUP_BYTES_MAX = 32 * 1024 * 1024
"""One transaction's share of the queue: larger ones only make the first sender wait longer."""
_DIGESTS_MAX = 200_000

_log = structlog.get_logger("watchkeeper.server.store")


class Pending(NamedTuple):
    """A batch that waits for its commit."""

    batch: Batch
    size: int
    done: Future[None]


class KnownDigests:
    """The digests of committed batches, the latest 200,000."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    def add(self, digest: bytes) -> None:
        """Remember a digest and forget the oldest beyond the bound."""
        self._known[digest] = None
        if len(self._known) > _DIGESTS_MAX:
            self._known.popitem(last=False)


class Writer:
    """One thread that commits; senders wait on futures."""

    def __init__(self, commit: Callable[[list[Batch]], None], *, bytes_max: int) -> None:
        """Start the thread.

        Args:
            commit: Stores some batches in whole or raises; only this thread calls it.
            bytes_max: Most bytes that may wait.
        """
        self._commit = commit
        self._bytes_max = bytes_max
        self._waiting: deque[Pending] = deque()
        self._bytes = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="watchkeeper-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether commits can still happen."""
        return self._thread.is_alive() and not self._closed

    def put(self, batch: Batch) -> Future[None]:
        """Queue a batch; the future is resolved after its commit.

        Raises:
            OverloadError: The queue is full.
            StoreError: The store is closed.
        """
        size = batch.size_bytes or 200 * (len(batch.spans) + len(batch.logs) + len(batch.samples))
        done: Future[None] = Future()
        with self._wake:
            if self._closed:
                raise StoreError(
                    "the store is closed: got a batch. Accepted: none while stopping. "
                    "Next: send it again after the restart."
                )
            if self._waiting and self._bytes + size > self._bytes_max:
                raise OverloadError(
                    f"too much waits to be stored: got {size} bytes beside {self._bytes}. "
                    f"Accepted: {self._bytes_max} together. Next: send it again in a second."
                )
            self._waiting.append(Pending(batch, size, done))
            self._bytes += size
            self._wake.notify()
        return done

    def close(self) -> None:
        """Commit what waits and end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                group = self._take()
            self._finish(group)

    def _take(self) -> list[Pending]:
        group, size = [], 0
        while self._waiting and size < _GROUP_BYTES_MAX:
            pending = self._waiting.popleft()
            group.append(pending)
            size += pending.size
        self._bytes -= size
        return group

    def _finish(self, group: list[Pending]) -> None:
        try:
            self._commit([pending.batch for pending in group])
        except Exception as error:  # noqa: BLE001 - the thread must outlive any commit
            if len(group) > 1:  # one bad batch must not refuse its neighbours
                for pending in group:
                    self._finish([pending])
                return
            _log.exception("a commit failed", error=str(error))
            group[0].done.set_exception(
                OverloadError(
                    f"the batch could not be stored: got {error}. "
                    "Accepted: a batch that fits on disk. Next: free disk space and send it again."
                )
            )
            return
        for pending in group:
            pending.done.set_result(None)
