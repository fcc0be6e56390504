"""Delivers what the outbox holds, until it is delivered or cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Sequence

import structlog
from anyio import to_thread

from watchkeeper.clock import Clock
from watchkeeper.errors import NotifyError, WatchkeeperError
from watchkeeper.server.alerts.message import Message, Receiver
from watchkeeper.server.alerts.outbox import Entry, Verdict, insert, outstanding, settle
from watchkeeper.server.rules.evaluation import Counts
from watchkeeper.server.rules.model import AlertEvent
from watchkeeper.server.rules.persist import Cursor, StateStore
from watchkeeper.vocabulary.limits import limit

__all__ = ["AlertNotifier"]

_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 2.0, 300.0
_IDLE_S = 60.0

_log = structlog.get_logger("watchkeeper.server.alerts")


class AlertNotifier:
    """Tells receivers about alerts, at least once.

    A notification is a row that is committed with the alert's state, before anything is sent.
    After a crash the rows that are still pending are delivered; one that was sent but not yet
    recorded is then sent again, under the same key.

    Args:
        store: Where the rows are.
        receivers: Who is told; every one is told everything.
        counts: Where deliveries are counted.
        clock: Where time comes from.
        jitter: Returns a factor from 0 up to 1; spreads retries.
    """

    def __init__(
        self,
        store: StateStore,
        receivers: Sequence[Receiver],
        counts: Counts,
        clock: Clock,
        *,
        jitter: random.Random | None = None,
    ) -> None:
        self._store = store
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._counts = counts
        self._clock = clock
        self._jitter = jitter or random.SystemRandom()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def record(self, cursor: Cursor, events: Sequence[AlertEvent], now_ms: int) -> None:
        """Write a row for each event and receiver, in the caller's transaction."""
        insert(cursor, events, self._receivers, now_ms)

    def wake(self) -> None:
        """Look for rows now; call from the event loop, after the commit."""
        self._woken.set()

    def start(self) -> None:
        """Begin to deliver; call from the running event loop."""
        self._woken.set()
        self._task = asyncio.create_task(self._loop(), name="notifier")

    async def stop(self) -> None:
        """End delivery; what is pending is delivered after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for receiver in self._receivers.values():
            await receiver.aclose()

    async def deliver(self) -> float | None:
        """Try once to deliver everything that is due.

        Returns:
            Seconds until the next notification is due, or None if nothing is pending.

        Raises:
            StoreError: The rows cannot be read or written.
        """
        now_ms = self._now_ms()
        pending = await to_thread.run_sync(self._outstanding)
        groups = _grouped(pending, now_ms)
        by_receiver: dict[str, list[list[Entry]]] = {}
        for entries in groups:
            by_receiver.setdefault(entries[0].receiver, []).append(entries)
        # One receiver that hangs does not keep the others from being told.
        await asyncio.gather(
            *(self._deliver_to(name, batches) for name, batches in by_receiver.items())
        )
        if groups:
            pending = await to_thread.run_sync(self._outstanding)
        if not pending:
            return None
        return max(0.0, (min(entry.due_ms for entry in pending) - self._now_ms()) / 1000)

    async def _deliver_to(self, name: str, batches: list[list[Entry]]) -> None:
        for entries in batches:
            verdict = await self._attempt(self._receivers.get(name), entries)
            ids = [entry.id for entry in entries]
            await to_thread.run_sync(self._settle, ids, verdict)
            if verdict.outcome != "pending":
                outcome = "success" if verdict.outcome == "delivered" else "error"
                self._counts.count(
                    "watchkeeper.server.notifications", name, outcome, by=float(len(ids))
                )

    async def _attempt(self, receiver: Receiver | None, entries: list[Entry]) -> Verdict:
        attempts = max(entry.attempts for entry in entries) + 1
        if receiver is None:
            return Verdict("failed", "this receiver is no longer configured", attempts, None, None)
        message = Message(
            entries[0].rule, entries[0].firing, tuple(entry.notice for entry in entries)
        )
        try:
            answer = await receiver.send(message)
        except NotifyError as error:
            return self._failed(receiver.name, error, attempts)
        return Verdict("delivered", answer[:500], attempts, self._now_ms(), None)

    def _failed(self, receiver: str, error: NotifyError, attempts: int) -> Verdict:
        answer = str(error)[:500]
        if not error.retryable or attempts >= limit("notification_attempts_max"):
            _log.error("notification failed", receiver=receiver, answer=answer, attempts=attempts)
            return Verdict("failed", answer, attempts, None, None)
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** (attempts - 1))
        wait_s = max(wait_s * (0.5 + self._jitter.random()), error.retry_after_s or 0.0)
        _log.warning("notification not delivered", receiver=receiver, answer=answer, retry_s=wait_s)
        return Verdict("pending", answer, attempts, None, self._now_ms() + round(wait_s * 1000))

    async def _loop(self) -> None:
        while True:
            wait_s: float | None = None
            self._woken.clear()
            try:
                wait_s = await self.deliver()
            except WatchkeeperError as error:
                _log.error("notifications cannot be read or written", error=str(error))
            except Exception:  # noqa: BLE001 - logged; a defect of ours must not end delivery
                _log.exception("notifier failed")
            # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    _IDLE_S if wait_s is None else min(max(wait_s, 0.05), _IDLE_S)
                ):
                    await self._woken.wait()

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000

    def _outstanding(self) -> list[Entry]:
        with self._store.state_read() as cursor:
            return outstanding(cursor)

    def _settle(self, ids: list[str], verdict: Verdict) -> None:
        with self._store.state_write() as cursor:
            settle(cursor, ids, verdict)


def _grouped(pending: Iterable[Entry], now_ms: int) -> list[list[Entry]]:
    """Return what is due, alerts of one name and state together, older messages first.

    A notification waits for an older one about the same alert, so that "resolved" never
    overtakes "firing".
    """
    groups: dict[tuple[str, str, bool, int], list[Entry]] = {}
    seen: set[tuple[str, str]] = set()
    for entry in pending:
        alert = (entry.receiver, entry.notice.dedup_key)
        if alert not in seen and entry.due_ms <= now_ms:
            key = (entry.receiver, entry.rule, entry.firing, entry.attempts)
            groups.setdefault(key, []).append(entry)
        seen.add(alert)
    return list(groups.values())
