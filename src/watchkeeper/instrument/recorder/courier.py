"""Decides what happens to encoded batches: send, keep and try again later, or count as lost."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import log_once, record_failure
from watchkeeper.instrument.recorder.exporters import Exporter, Outcome
from watchkeeper.instrument.recorder.read import halves
from watchkeeper.instrument.recorder.records import Batch, Signal
from watchkeeper.instrument.recorder.spool import Spool, Spooled

__all__ = ["Backoff", "Courier", "exponential"]

_SECOND_NS = 1_000_000_000


class Backoff(Protocol):
    """How long to wait before the next attempt."""

    def __call__(self, failures: int, /) -> float:
        """Return seconds to wait after that many failures in a row, jitter included."""
        ...


def exponential(jitter: Callable[[], float]) -> Backoff:
    """Return a wait of 1 s, doubled at each failure up to 30 s, of which jitter takes up to half.

    Args:
        jitter: Returns a number from 0.0 to 1.0.
    """

    def wait_s(failures: int, /) -> float:
        whole = min(2.0 ** min(failures - 1, 10), 30.0)
        return whole * (0.5 + 0.5 * jitter())

    return wait_s


class Courier:
    """Delivers batches in order; what cannot be sent now waits in the spool, or else in memory.

    Not thread-safe: the pipeline lets one thread in at a time. Counters may be read by any thread.

    Args:
        exporter: Makes the attempts.
        spool: Where batches wait on disk, or None.
        clock: Times the waits.
        backoff: How long to wait after failures.
        backlog_bytes_max: Bytes that may wait in memory; beyond it the oldest are dropped.
    """

    def __init__(
        self,
        exporter: Exporter,
        spool: Spool | None,
        *,
        clock: Clock,
        backoff: Backoff,
        backlog_bytes_max: int,
    ) -> None:
        self._exporter = exporter
        self.spool = spool
        self._clock = clock
        self._backoff = backoff
        self._backlog_bytes_max = backlog_bytes_max
        self._waiting: deque[Batch] = deque()
        self._failures = 0
        self._not_before_ns = 0
        self._asked_to_wait = False
        self._reachable = True
        self.in_flight: Batch | None = None
        """A new batch in a running attempt, for the thread that gives up waiting at exit."""
        self.lock: threading.Lock | None = None
        """Held by whoever calls; free during an attempt, which may hang, and touches nothing here."""
        self.backlog_bytes = 0
        """Bytes that wait in memory."""
        self.exported: Counter[Signal] = Counter()
        self.dropped: Counter[tuple[Signal, str]] = Counter()

    @property
    def waiting(self) -> bool:
        """Whether batches wait for another attempt."""
        return bool(self._waiting) or (self.spool is not None and len(self.spool) > 0)

    @property
    def wait_s(self) -> float:
        """Seconds until the next attempt is due; 0.0 if it is now."""
        return max(0.0, (self._not_before_ns - self._clock.monotonic_ns()) / _SECOND_NS)

    @property
    def reachable(self) -> bool:
        """Whether the last attempt was answered at all."""
        return self._reachable

    def drops(self, signal: Signal) -> Mapping[str, int]:
        """Return the items of a signal that were lost here, by reason."""
        return {reason: n for (kind, reason), n in list(self.dropped.items()) if kind == signal}

    def on_drop(self, signal: Signal, items: int, reason: str) -> None:
        """Count items as lost."""
        self.dropped[signal, reason] += items

    def hurry(self) -> None:
        """Make the next attempt due now, unless the endpoint itself asked to wait."""
        if not self._asked_to_wait:
            self._not_before_ns = 0

    def take(self, batch: Batch) -> None:
        """Send a new batch if nothing waits and an attempt is due; otherwise queue it up."""
        if self.waiting or self.wait_s > 0.0:
            self.keep(batch)
            return
        self.in_flight = batch
        sent = self._send(batch)
        # Another thread may have put it on disk while its attempt hung, and leaves None here.
        taken_over = self.in_flight is None
        self.in_flight = None
        if not sent and not taken_over:
            self.keep(batch)

    def step(self) -> bool:
        """Try the oldest waiting batch if an attempt is due; return whether it is done with."""
        if self.wait_s > 0.0:
            return False
        if self._waiting:
            batch = self._waiting[0]
            if not self._send(batch):
                return False
            # While it was sent, a thread that gave up waiting may have moved it to the spool.
            if self._waiting and self._waiting[0] is batch:
                self._waiting.popleft()
                self.backlog_bytes -= len(batch.body)
            return True
        found = self._oldest_spooled()
        if found is None or self.spool is None:
            return False
        entry, batch = found
        if not self._send(batch):
            return False
        self.spool.discard(entry)
        return True

    def keep(self, batch: Batch) -> None:
        """Put a batch behind those that wait."""
        if self.spool is not None:
            try:
                self.spool.put(batch)
            except OSError as error:
                log_once(
                    ("spool", type(error), error.errno),
                    logging.WARNING,
                    "watchkeeper: telemetry cannot be written to the spool: %s. It waits in memory "
                    "instead and is lost if the process ends first. Check space and permissions of "
                    "the spool directory.",
                    error,
                )
            else:
                return
        self._waiting.append(batch)
        self.backlog_bytes += len(batch.body)
        while self.backlog_bytes > self._backlog_bytes_max and self._waiting:
            oldest = self._waiting.popleft()
            self.backlog_bytes -= len(oldest.body)
            self.on_drop(oldest.signal, oldest.items, "backlog_full")

    def secure(self) -> None:
        """Put a new batch whose attempt is running on disk too: the process may end before it does.

        If the attempt succeeds after all the batch is sent twice, with the same bytes.
        """
        batch, self.in_flight = self.in_flight, None
        if batch is not None:
            self.keep(batch)

    def give_up(self, reason: str) -> None:
        """Move what waits in memory to the spool, or count it as lost under *reason*."""
        while self._waiting:
            batch = self._waiting.popleft()
            self.backlog_bytes -= len(batch.body)
            self.put_away(batch, reason)

    def close(self) -> None:
        """Close the exporter's connections."""
        try:
            self._exporter.close()
        except Exception as error:  # noqa: BLE001 - an exporter of the user's own may raise
            record_failure("recorder.close", error)

    def put_away(self, batch: Batch, reason: str) -> None:
        """Write a batch to the spool without an attempt, or count it as lost under *reason*."""
        if self.spool is not None:
            try:
                self.spool.put(batch)
            except OSError:
                pass
            else:
                return
        self.on_drop(batch.signal, batch.items, reason)

    def _oldest_spooled(self) -> tuple[Spooled, Batch] | None:
        return None if self.spool is None else self.spool.oldest()

    def _send(self, batch: Batch) -> bool:
        """Make one attempt; return False if the batch must be tried again later."""
        outcome = self._attempt(batch)
        if outcome.kind == "retry":
            self._postpone(outcome)
            return False
        self._recovered()
        if outcome.kind == "too_large" and self._send_halves(batch):
            return True
        if outcome.kind == "delivered":
            rejected = min(outcome.rejected, batch.items)
            self.exported[batch.signal] += batch.items - rejected
            if rejected:
                self.on_drop(batch.signal, rejected, "rejected")
        else:
            self.on_drop(batch.signal, batch.items, "refused")
            log_once(
                ("refused", batch.signal, outcome.detail),
                logging.WARNING,
                "watchkeeper: the endpoint refused %s for good: %s. They are lost and counted; "
                "check its address, credentials and limits.",
                batch.signal,
                outcome.detail,
            )
        return True

    def _attempt(self, batch: Batch) -> Outcome:
        lock = self.lock
        if lock is not None:
            lock.release()
        try:
            return self._exporter.export(batch.signal, batch.body, batch.items)
        except Exception as error:  # noqa: BLE001 - an exporter of the user's own may raise
            return Outcome("refused", detail=f"{type(error).__name__}: {error}")
        finally:
            if lock is not None:
                lock.acquire()

    def _send_halves(self, batch: Batch) -> bool:
        """Send a batch in two parts; return False if it has no two parts."""
        parts = halves(batch)
        if parts is None:
            return False
        for part in parts:
            if self.wait_s > 0.0 or not self._send(part):
                self.keep(part)
        return True

    def _postpone(self, outcome: Outcome) -> None:
        self._failures += 1
        self._reachable = outcome.reachable
        asked_s = outcome.retry_after_s
        self._asked_to_wait = asked_s is not None
        wait_s = self._backoff(self._failures) if asked_s is None else asked_s
        self._not_before_ns = self._clock.monotonic_ns() + int(wait_s * _SECOND_NS)
        log_once(
            ("retry", outcome.detail),
            logging.WARNING,
            "watchkeeper: telemetry cannot be delivered now: %s. It waits %s and is sent when the "
            "endpoint answers. The application is not affected.",
            outcome.detail,
            "in memory" if self.spool is None else "on disk",
        )

    def _recovered(self) -> None:
        self._failures = 0
        self._not_before_ns = 0
        self._asked_to_wait = False
        self._reachable = True
