"""From the queues of ended spans and log records to the exporter, on a thread in the background."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import get_ident
from typing import TypeVar

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import log_once, record_failure
from watchkeeper.instrument.recorder.courier import Courier
from watchkeeper.instrument.recorder.current import deactivate, silence
from watchkeeper.instrument.recorder.encode import BatchEncoder, SpanFields
from watchkeeper.instrument.recorder.records import Batch, LogFields, Signal
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["Pipeline", "QueueLimits"]

T = TypeVar("T")

_SECOND_NS = 1_000_000_000
_ADOPT_EVERY_NS = 30 * _SECOND_NS
_SECURE_S = 1.0
"""Seconds to wait for a worker that is encoding, or writing to the disk."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait, and when the worker is woken."""

    spans_max: int
    logs_max: int
    batch_items_max: int


@dataclass(slots=True)
class _Flush:
    """A thread that waits for everything recorded so far."""

    done: threading.Event = field(default_factory=threading.Event)
    delivered: bool = False


class Pipeline:
    """Queues, worker and couriers of one process; a forked child gets a new one.

    The worker starts with the first item. It is a daemon thread, so it never keeps the interpreter
    alive; `shutdown`, which the recorder registers for the interpreter's exit, lets it finish.

    Nothing here takes a lock on the path of a span: a deque append, or for every
    ``batch_items_max`` items a release of the lock that the worker sleeps on. Both are single C
    calls, so a span that ends in a signal handler or a finaliser cannot deadlock.

    Args:
        couriers: Delivers the batches of each signal; what has none is not to be queued. Signals
            with one endpoint share a courier; an endpoint that is down holds up its own only.
        spans: Encoder for spans.
        logs: Encoder for log records.
        pack: Returns what of an ended span waits to be encoded.
        limits: Bounds of the queues.
        interval_s: Seconds between two rounds of the worker.
        clock: Times deadlines.
        on_start: Called once, just before the worker starts.
    """

    def __init__(
        self,
        couriers: Mapping[Signal, Courier],
        spans: BatchEncoder[RecordedSpan | SpanFields],
        logs: BatchEncoder[LogFields],
        *,
        pack: Callable[[RecordedSpan], RecordedSpan | SpanFields],
        limits: QueueLimits,
        interval_s: float,
        clock: Clock,
        on_start: Callable[[], None],
    ) -> None:
        self._courier_of = couriers
        self.couriers = tuple(dict.fromkeys(couriers.values()))
        self.pack = pack
        self._span_encoder = spans
        self._log_encoder = logs
        self.limits = limits
        self._interval_s = interval_s
        self._clock = clock
        self._on_start = on_start
        self.spans: deque[RecordedSpan | SpanFields] = deque()
        self.logs: deque[LogFields] = deque()
        self.dropped: Counter[tuple[Signal, str]] = Counter()
        self.logs_created = 0
        self._worker: threading.Thread | None = None
        self.worker_id: int | None = None
        self.calm_logs = 0
        """Log records that may wait without a thought: some if the worker runs."""
        self._starting = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()
        self._round = threading.Lock()
        for courier in self.couriers:
            courier.lock = self._round
        self._flushes: deque[_Flush] = deque()
        self._encoded: deque[Batch] = deque()
        self._adopt_at_ns = 0
        self._stopping = False
        self._result: bool | None = None

    # the application's threads

    def start(self) -> None:
        """Start the worker, if that was not done yet."""
        if self._worker is not None or self._stopping:
            return
        if not self._starting.acquire(blocking=False):
            return
        worker = threading.Thread(target=self._run, name="watchkeeper-export", daemon=True)
        try:
            self._on_start()
            worker.start()
        except RuntimeError as error:
            # The interpreter is shutting down or out of threads; `shutdown` still drains.
            record_failure("recorder.start", error)
            return
        finally:
            self._starting.release()
        self.worker_id = worker.ident
        self.calm_logs = min(self.limits.batch_items_max, self.limits.logs_max)
        self._worker = worker

    def add_span(self, span: RecordedSpan) -> None:
        """Queue a span where the short way was closed: wakes the worker, drops when full."""
        if self._admits("traces", len(self.spans), self.limits.spans_max):
            self.spans.append(self.pack(span))

    def add_log(self, record: LogFields) -> None:
        """Queue a log record."""
        if get_ident() == self.worker_id:
            # The exporter's own messages would feed it for ever.
            return
        self.logs_created += 1
        waiting = len(self.logs)
        if waiting < self.calm_logs or self._admits("logs", waiting, self.limits.logs_max):
            self.logs.append(record)

    def flush(self, timeout_s: float) -> bool:
        """Deliver everything queued before, with retries if the endpoint asks for them.

        Args:
            timeout_s: Seconds to wait at most; an endpoint that does not answer is tried once.

        Returns:
            Whether everything was delivered.
        """
        if self._result is not None:
            return self._result
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * _SECOND_NS)
        while True:
            left_s = (deadline_ns - self._clock.monotonic_ns()) / _SECOND_NS
            if self._flush_once(left_s):
                return True
            asking = [courier.wait_s for courier in self.couriers if courier.reachable]
            wait_s = min((wait_s for wait_s in asking if wait_s > 0.0), default=0.0)
            left_s = (deadline_ns - self._clock.monotonic_ns()) / _SECOND_NS
            if not 0.0 < wait_s < left_s:
                return False
            threading.Event().wait(wait_s)

    def secure(self) -> None:
        """Put on disk what waits in memory, and what is being sent; everything goes on as before.

        For a process that may end at any moment while an endpoint does not answer.
        """
        if self._result is not None or not self._round.acquire(timeout=_SECURE_S):
            return
        try:
            self._encode_rest()
            for courier in self.couriers:
                if courier.spool is not None:
                    courier.secure()
            while self._encoded:
                batch = self._encoded.popleft()
                self._courier_of[batch.signal].keep(batch)
        finally:
            self._round.release()

    def shutdown(self, timeout_s: float) -> bool:
        """Deliver what waits within *timeout_s* seconds, put the rest on disk, and stop.

        Returns:
            Whether everything was delivered; a second call returns the first one's result.
        """
        if self._result is not None:
            return self._result
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * _SECOND_NS)
        if self._worker is None and (self.spans or self.logs):
            self._drain_here()
        elif any(courier.spool is None for courier in self.couriers):
            self.flush(timeout_s)
        else:
            # What the endpoint does not take at once is safe on disk.
            self._flush_once(timeout_s)
        self._stopping = True
        self.calm_logs = 0
        self._nudge()
        worker = self._worker
        if worker is not None and worker.ident != get_ident():
            left_s = (deadline_ns - self._clock.monotonic_ns()) / _SECOND_NS
            worker.join(max(left_s, 0.05))
        self._result = self._put_away_rest()
        if worker is None:
            self._close()
        return self._result

    def _flush_once(self, timeout_s: float) -> bool:
        worker = self._worker
        if worker is None:
            return not (self.spans or self.logs or self._waiting())
        if get_ident() == worker.ident or not worker.is_alive():
            return False
        flush = _Flush()
        self._flushes.append(flush)
        self._nudge()
        flush.done.wait(timeout_s)
        return flush.delivered

    def _waiting(self) -> bool:
        return any(courier.waiting for courier in self.couriers)

    def _close(self) -> None:
        for courier in self.couriers:
            courier.close()

    def _nudge(self) -> None:
        try:
            self._wake.release()
        except RuntimeError:
            # It is awake already.
            return

    def _admits(self, signal: Signal, waiting: int, most: int) -> bool:
        if self._stopping:
            self.dropped[signal, "shutdown"] += 1
            return False
        if waiting >= most:
            self.dropped[signal, "queue_full"] += 1
            return False
        if self._worker is None:
            self.start()
        elif waiting >= self.limits.batch_items_max:
            self._nudge()
        return True

    # the worker's thread

    def _run(self) -> None:
        silence()
        while not self._stopping:
            # A wait that the endpoint or the backoff asked for only delays attempts, not encoding.
            self._wake.acquire(timeout=self._interval_s)
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - the worker must outlive its errors
                record_failure("recorder.worker", error)
        self._close()

    def _work(self) -> None:
        flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
        delivered = False
        try:
            if flushes:
                for courier in self.couriers:
                    courier.hurry()
            with self._round:
                delivered = self._deliver()
        finally:
            for flush in flushes:
                flush.delivered = delivered
                flush.done.set()

    def _deliver(self) -> bool:
        """Encode what is queued, send what can be sent; return whether nothing is left."""
        self._adopt()
        self._send_queued()
        for courier in self.couriers:
            while courier.waiting and courier.step():
                if len(self.spans) + len(self.logs) >= self.limits.batch_items_max:
                    self._send_queued()
                if self._stopping:
                    break
        return not self._waiting()

    def _send_queued(self) -> None:
        """Encode and send what was queued at the time of the call."""
        spans, logs = len(self.spans), len(self.logs)
        while spans > 0 or logs > 0:
            spans -= self._encode_some("traces", self.spans, self._span_encoder, spans)
            logs -= self._encode_some("logs", self.logs, self._log_encoder, logs)
            while self._encoded:
                batch = self._encoded.popleft()
                self._courier_of[batch.signal].take(batch)

    def _encode_some(
        self, signal: Signal, queue: deque[T], encoder: BatchEncoder[T], most: int
    ) -> int:
        """Encode up to one request's worth of items; return how many were asked for."""
        count = min(most, self.limits.batch_items_max)
        batches, failed = encoder.encode(_taken(queue, count))
        if failed:
            self.dropped[signal, "encode"] += failed
        self._encoded.extend(batches)
        return count

    def _encode_rest(self) -> None:
        while self.spans or self.logs:
            self._encode_some("traces", self.spans, self._span_encoder, len(self.spans))
            self._encode_some("logs", self.logs, self._log_encoder, len(self.logs))

    def _adopt(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._adopt_at_ns:
            return
        self._adopt_at_ns = now_ns + _ADOPT_EVERY_NS
        for courier in self.couriers:
            if courier.spool is None:
                continue
            try:
                courier.spool.adopt()
            except OSError as error:
                log_once(
                    ("adopt", type(error), error.errno),
                    logging.WARNING,
                    "watchkeeper: the spool directory cannot be used: %s. Telemetry waits in "
                    "memory when its endpoint is down. Check its path and permissions.",
                    error,
                )

    # the end

    def _drain_here(self) -> None:
        """Deliver on the calling thread: at exit no thread can be started any more."""
        if sys.is_finalizing():
            return
        token = silence()
        try:
            with self._round:
                self._deliver()
        finally:
            deactivate(token)

    def _put_away_rest(self) -> bool:
        """Put on disk what was not delivered; return whether there was nothing."""
        # A worker that hangs in an attempt does not hold the round. Once the attempt ends it sees
        # that its batch was taken over, and that it has to stop.
        held = self._round.acquire(timeout=_SECURE_S)
        try:
            nothing = not (self.spans or self.logs or self._waiting())
            self._encode_rest()
            for courier in self.couriers:
                if courier.in_flight is not None:
                    self._encoded.appendleft(courier.in_flight)
                    courier.in_flight = None
            nothing = nothing and not self._encoded
            while self._encoded:
                batch = self._encoded.popleft()
                self._courier_of[batch.signal].put_away(batch, "shutdown")
            for courier in self.couriers:
                courier.give_up("shutdown")
                if courier.spool is not None and held:
                    courier.spool.close()
        finally:
            if held:
                self._round.release()
        return nothing


def _taken(queue: deque[T], count: int) -> list[T]:
    """Take up to *count* items from the left; other threads only ever append."""
    items: list[T] = []
    try:
        for _ in range(count):
            items.append(queue.popleft())  # noqa: PERF401 - what was taken before the end counts
    except IndexError:
        pass
    return items
