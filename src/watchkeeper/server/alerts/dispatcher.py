"""Runs routing: takes alerts in, keeps everything as rows, and has due groups told."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import structlog

from watchkeeper.clock import Clock
from watchkeeper.errors import StoreError, WatchkeeperError
from watchkeeper.server.alerts.config.model import Config
from watchkeeper.server.alerts.delivery import Courier, Explain, Senders, reported
from watchkeeper.server.alerts.dispatch import alerts as alert_table
from watchkeeper.server.alerts.dispatch import groups as group_table
from watchkeeper.server.alerts.dispatch import persist
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert
from watchkeeper.server.alerts.dispatch.engine import Engine, Flush, Within
from watchkeeper.server.alerts.dispatch.silences import Silence
from watchkeeper.server.alerts.history import interrupted, prune
from watchkeeper.server.alerts.journal import Journal
from watchkeeper.server.alerts.notification import Links, Notification
from watchkeeper.server.alerts.threads import in_thread
from watchkeeper.server.rules.evaluation import Counts
from watchkeeper.server.rules.model import AlertEvent
from watchkeeper.server.rules.persist import Cursor, StateStore

__all__ = ["BuildSenders", "DispatchParts", "Dispatcher"]

BuildSenders = Callable[[Config], Senders]
"""Makes one sender for each integration of a configuration; without one, sending fails."""

_TIDY_MS = 30_000
_IDLE_S, _WAIT_S_MIN = 30.0, 0.01
_REFUSED = "watchkeeper.server.refused"

_log = structlog.get_logger("watchkeeper.server.alerts")


@dataclass(frozen=True, slots=True)
class DispatchParts:
    """What a dispatcher works with."""

    store: StateStore
    counts: Counts
    clock: Clock
    build_senders: BuildSenders
    within: Within
    """Tells whether a time interval of the configuration contains a moment."""
    external_url: str = ""
    """Address under which people reach our UI; no links without it."""
    explain: Explain | None = None
    """Finds the links for a notification, and what changed; only the alert's page if None."""
    escalate: Callable[[Sequence[Notification]], Awaitable[None]] | None = None
    """Told of every group that is due and audible, firing or ended, before its receivers are."""
    acknowledge: Callable[[Notification], Awaitable[Links]] | None = None
    """Finds the links to acknowledge a group, and to its incident."""
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    """Makes ids of silences and batches."""
    jitter: random.Random | None = None
    """Spreads retries."""


class Dispatcher:
    """Tells receivers about alerts, at least once, as a configuration says.

    Alerts of rules and of the API are committed to an inbox before anything else happens. What
    integrations were told is committed after each delivery: after a crash in between, and only
    then, somebody is told twice, under the same key.

    Everything but `record` is to be called from one event loop.

    Args:
        parts: What it works with.
        config: Routes, receivers, inhibition, time intervals.

    Attributes:
        engine: What is known now; to be read, from the event loop.
    """

    def __init__(self, parts: DispatchParts, config: Config) -> None:
        self.engine = Engine(config, within=parts.within)
        self._parts = parts
        self._woken = asyncio.Event()
        self._courier = Courier(
            self.engine,
            Journal(parts.store),
            parts.counts,
            parts.clock,
            woken=self._woken.set,
            explain=parts.explain or self._alert_page,
            acknowledge=parts.acknowledge,
            external_url=parts.external_url,
            jitter=parts.jitter,
        )
        self._courier.use(parts.build_senders(config))
        self._lock = asyncio.Lock()
        self._loaded = False
        self._fresh = True
        self._tidy_ms = 0
        self._last_ms = 0
        self._counted = (0, 0)
        self._task: asyncio.Task[None] | None = None

    # What rules call.

    def record(self, cursor: Cursor, events: Sequence[AlertEvent], now_ms: int) -> None:
        """Write alerts that began or ended into the inbox, in the caller's transaction."""
        alerts = [self._of_rule(event, now_ms) for event in events]
        persist.write_inbox(cursor, self._parts.new_id(), alerts)

    def wake(self) -> None:
        """Look into the inbox now; call from the event loop, after the commit."""
        self._fresh = True
        self._woken.set()

    def _of_rule(self, event: AlertEvent, now_ms: int) -> ActiveAlert:
        alert = event.alert
        starts_ms = alert.active_at_ms if alert.fired_at_ms is None else alert.fired_at_ms
        ends_ms = now_ms if alert.resolved_at_ms is None else alert.resolved_at_ms
        name = quote(event.rule, safe="")
        return ActiveAlert(
            labels={name: value for name, value in alert.labels if value},
            annotations=dict(alert.annotations),
            starts_ms=starts_ms,
            ends_ms=None if event.firing else ends_ms,
            updated_ms=now_ms,
            value=alert.value,
            generator_url=f"{self._parts.external_url}/#/alerts?name={name}"
            if self._parts.external_url
            else "",
        )

    # What the API calls.

    async def push(self, alerts: Sequence[ActiveAlert]) -> None:
        """Take in alerts of somebody else; they are committed when this returns.

        Raises:
            StoreError: They could not be committed.
        """
        batch = self._parts.new_id()

        def commit() -> None:
            with self._parts.store.state_write() as cursor:
                persist.write_inbox(cursor, batch, alerts)

        if alerts:
            await in_thread(commit)
            self._fresh = True
            await self._take_in()
            self._woken.set()

    async def set_silence(self, wanted: Silence) -> str:
        """Make a silence, or edit the one with its id; return the id under which it is kept.

        Raises:
            SilenceError: It cannot be accepted.
            StoreError: It could not be committed.
        """
        await self._load()
        identity, changed = self.engine.silences.plan(wanted, self.now_ms(), self._parts.new_id())
        await self._keep_silences(changed)
        return identity

    async def expire_silence(self, identity: str) -> None:
        """End a silence now; nothing happens if it has ended.

        Raises:
            SilenceError: There is none with this id.
            StoreError: It could not be committed.
        """
        await self._load()
        await self._keep_silences(self.engine.silences.ending(identity, self.now_ms()))

    async def _keep_silences(self, changed: Sequence[Silence]) -> None:
        def commit() -> None:
            with self._parts.store.state_write() as cursor:
                persist.save_silences(cursor, changed)

        await in_thread(commit)
        self.engine.silences.take(changed)

    async def reload(self, config: Config) -> None:
        """Take up another configuration; nobody is told again of what is known.

        Attempts that are under way end first; retries are decided anew.

        Raises:
            WatchkeeperError: The senders cannot be made; the old configuration stays.
        """
        senders = self._parts.build_senders(config)
        await self._load()
        self.engine.reload(config, self.now_ms())
        self._courier.use(senders)
        self._woken.set()

    def now_ms(self) -> int:
        """Return the clock's time in Unix milliseconds."""
        return self._parts.clock.now_ns() // 1_000_000

    # What the server calls.

    def start(self) -> None:
        """Begin to dispatch; call from the running event loop."""
        self._woken.set()
        self._task = asyncio.create_task(self._loop(), name="dispatcher")

    async def stop(self) -> None:
        """End everything; what is not delivered is decided anew after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._courier.stop()

    async def deliver(self) -> float | None:
        """Do once what is due now, and wait until that is settled; for clocks that stand still.

        Returns:
            Seconds until something is due, or None if nothing is.

        Raises:
            StoreError: The rows cannot be read or written.
        """
        while True:
            due_ms = await self._turn()
            if due_ms is None or due_ms > self.now_ms():
                await self._courier.settled()
                due_ms = self._next_ms()
                if due_ms is None or due_ms > self.now_ms():
                    return None if due_ms is None else (due_ms - self.now_ms()) / 1000
            else:
                await self._courier.settled()

    async def _loop(self) -> None:
        while True:
            self._woken.clear()
            wait_s = _IDLE_S
            try:
                due_ms = await self._turn()
                if due_ms is not None:
                    wait_s = min(max((due_ms - self.now_ms()) / 1000, _WAIT_S_MIN), _IDLE_S)
            except WatchkeeperError as error:
                wait_s = 1.0
                _log.error("alerts cannot be read or written", error=str(error))
            except Exception:  # noqa: BLE001 - logged; a defect of ours must not end delivery
                wait_s = 1.0
                _log.exception("dispatcher failed")
            # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            await asyncio.sleep(_WAIT_S_MIN)  # what happens at the same time is looked at once

    async def _turn(self) -> int | None:
        """Take in what is new, begin what is due; return when something will be."""
        await self._take_in()
        now_ms = self.now_ms()
        self._follow_clock(now_ms)
        if self._tidy_ms <= now_ms:
            self._tidy_ms = now_ms + _TIDY_MS
            await self._tidy(now_ms)
        flushes = self.engine.due(now_ms)
        again = await self._escalate(flushes)
        for flush in flushes:
            if flush in again:
                self.engine.done(flush, ok=False)
            else:
                self._courier.take(flush)
        await self._courier.start_due(now_ms)
        return self._next_ms()

    async def _escalate(self, flushes: Sequence[Flush]) -> list[Flush]:
        """Report groups before their receivers are told; return those that must be due again."""
        if self._parts.escalate is None or not flushes:
            return []
        heard = [
            (flush, note)
            for flush in flushes
            if (note := reported(flush, self.engine.config, self._parts.external_url)) is not None
        ]
        try:
            await self._parts.escalate([note for _, note in heard])
        except StoreError as error:
            _log.error("incidents not recorded", error=str(error))
            # What fires is reported at its next turn anyway; an end would never be.
            return [flush for flush, note in heard if note.status == "resolved"]
        return []

    def _next_ms(self) -> int | None:
        wanted = (self.engine.next_due_ms(), self._courier.next_ms())
        return min((due_ms for due_ms in wanted if due_ms is not None), default=None)

    def _follow_clock(self, now_ms: int) -> None:
        """Keep the timers when the host's clock is set back, or nobody would be told for as long."""
        back_ms = self._last_ms - now_ms
        if back_ms > 0:
            _log.warning("the clock was set back", seconds=back_ms / 1000)
            self.engine.moved(back_ms)
            self._courier.moved(back_ms)
            self._tidy_ms -= back_ms
        self._last_ms = now_ms

    async def _load(self) -> None:
        async with self._lock:
            if not self._loaded:
                stored = await in_thread(self._stored)
                self.engine.restore(*stored, self.now_ms())
                self._loaded = True

    def _stored(self) -> persist.Stored:
        with self._parts.store.state_write() as cursor:
            interrupted(cursor)
            return persist.load(cursor)

    async def _take_in(self) -> None:
        await self._load()
        async with self._lock:
            if not self._fresh:
                return
            self._fresh = False
            try:
                batches, alerts = await in_thread(self._inbox)
                if batches:
                    # If the commit fails the inbox still has them, and merging again is harmless.
                    known = self.engine.push(alerts, self.now_ms())
                    await in_thread(partial(self._empty_inbox, known, batches))
            except BaseException:
                self._fresh = True
                raise
        self._count_refused()

    def _inbox(self) -> tuple[set[str], list[ActiveAlert]]:
        with self._parts.store.state_read() as cursor:
            return persist.read_inbox(cursor)

    def _empty_inbox(self, known: list[ActiveAlert], batches: set[str]) -> None:
        with self._parts.store.state_write() as cursor:
            persist.save_alerts(cursor, known, batches)

    def _count_refused(self) -> None:
        engine = self.engine
        totals = (engine.alerts.refused, engine.overflowed)
        for reason, total, before in zip(
            (alert_table.REFUSED, group_table.REFUSED), totals, self._counted, strict=True
        ):
            if total > before:
                _log.error("alerts beyond a limit", reason=reason, count=total - before)
                self._parts.counts.count(_REFUSED, "alerts", reason, by=float(total - before))
        self._counted = totals

    async def _tidy(self, now_ms: int) -> None:
        gone = self.engine.tidy(now_ms)

        def commit() -> None:
            with self._parts.store.state_write() as cursor:
                persist.delete(cursor, gone)
                prune(cursor)

        await in_thread(commit)

    async def _alert_page(self, notification: Notification) -> tuple[Links, str]:
        name = notification.group_labels.get("alertname") or notification.common_labels.get(
            "alertname", ""
        )
        if not self._parts.external_url:
            return Links(), ""
        return Links(alert=f"{self._parts.external_url}/#/alerts?name={quote(name, safe='')}"), ""
