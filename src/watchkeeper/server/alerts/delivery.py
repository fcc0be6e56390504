"""Brings notifications to their integrations: attempts, waits, and what came of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

import structlog

from watchkeeper.clock import Clock
from watchkeeper.errors import NotifyError, StoreError
from watchkeeper.server.alerts.config.model import Config
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert
from watchkeeper.server.alerts.dispatch.engine import Engine, Flush, Task
from watchkeeper.server.alerts.history import Row
from watchkeeper.server.alerts.journal import Journal
from watchkeeper.server.alerts.notification import (
    Delivery,
    GroupAlert,
    Links,
    Notification,
    Sender,
)
from watchkeeper.server.rules.evaluation import Counts
from watchkeeper.vocabulary.limits import limit

__all__ = ["Courier", "Explain", "SenderKey", "Senders", "reported"]

SenderKey = tuple[str, str, int]
"""Receiver, kind of the integration, its place in its list."""

Senders = Mapping[SenderKey, Sender]

Explain = Callable[[Notification], Awaitable[tuple[Links, str]]]
"""Returns the links for a notification, and what changed lately."""

_FIRST_WAIT_S, _WAIT_S_MAX = 1.0, 60.0
_ATTEMPT_S = 90.0
"""After this an attempt is given up, whatever its sender does; senders have limits of their own."""
_EXPLAIN_S = 5.0
_ANSWER_CHARS = 500

_log = structlog.get_logger("watchkeeper.server.alerts")


@dataclass(eq=False, slots=True)
class _Round:
    """A flush, and how many of its tasks are not settled."""

    flush: Flush
    left: int
    ok: bool = True


class _State(Enum):
    WAITING = 0
    """Until it is due."""
    READY = 1
    """For a place at its integration."""
    RUNNING = 2
    OVER = 3


@dataclass(eq=False, slots=True)
class _Job:
    """One task on its way."""

    round: _Round
    task: Task
    sender: SenderKey
    due_ms: int
    attempts: int = 0
    state: _State = _State.WAITING
    answer: str = ""


class Courier:
    """Makes the attempts; one integration that hangs or refuses holds up no other.

    An attempt that fails and may be repeated is, after a wait that doubles from one second to a
    minute, until the group is due again; it is then decided anew. An integration that asked for
    a pause (Retry-After) gets it for all groups.

    Args:
        engine: Is told what is done.
        journal: Keeps it.
        counts: Where notifications are counted.
        clock: Where time comes from.
        woken: Called when something has changed.
        explain: Finds links and what changed.
        external_url: Address under which people reach our UI.
        jitter: Spreads the waits.
        acknowledge: Finds the links to acknowledge a group, and to its incident.
    """

    def __init__(  # noqa: PLR0913 - parts, each by its name
        self,
        engine: Engine,
        journal: Journal,
        counts: Counts,
        clock: Clock,
        *,
        woken: Callable[[], None],
        explain: Explain,
        acknowledge: Callable[[Notification], Awaitable[Links]] | None = None,
        external_url: str = "",
        jitter: random.Random | None = None,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._counts = counts
        self._clock = clock
        self._woken = woken
        self._explain = explain
        self._acknowledge = acknowledge
        self._external_url = external_url
        self._jitter = jitter or random.SystemRandom()
        self._senders: Senders = {}
        self._leaving: list[Sender] = []
        self._jobs: dict[_Job, None] = {}
        self._ready: defaultdict[SenderKey, deque[_Job]] = defaultdict(deque)
        self._busy: Counter[SenderKey] = Counter()
        """Attempts under way; one whose answer is only being recorded holds no place."""
        self._paused: dict[SenderKey, int] = {}
        self._running: set[asyncio.Task[None]] = set()

    def use(self, senders: Senders) -> None:
        """Send over *senders* from now on; the ones before are closed once they are idle."""
        self._leaving += self._senders.values()
        self._senders = senders
        self._paused = {}

    def take(self, flush: Flush) -> None:
        """Take over the tasks of *flush*; it ends when they do."""
        round_ = _Round(flush, len(flush.tasks))
        if not flush.tasks:
            self._engine.done(flush, ok=True)
        for task in flush.tasks:
            key = (task.key.receiver, task.key.kind, task.key.index)
            self._jobs[_Job(round_, task, key, flush.now_ms)] = None

    def next_ms(self) -> int | None:
        """Return when an attempt is due or a deadline passes, or None.

        What runs, or waits for a place at its integration, says so by itself when it ends.
        """
        return min(
            (
                job.round.flush.deadline_ms
                if job.state is _State.READY and self._busy[job.sender]
                else min(self._due_ms(job), job.round.flush.deadline_ms)
                for job in self._jobs
                if job.state is not _State.RUNNING
            ),
            default=None,
        )

    async def start_due(self, now_ms: int) -> None:
        """Begin the attempts that are due, and give up those whose time is over."""
        over = []
        for job in self._jobs:
            if job.state is _State.RUNNING:
                continue
            if not self._engine.current(job.round.flush):
                over.append(self._give_up(job, "the routes were loaded anew", counted=False))
            elif job.round.flush.deadline_ms <= now_ms:
                answer = f"given up until the group is due again; {job.answer or 'no attempt'}"
                over.append(self._give_up(job, answer))
            elif job.state is _State.WAITING and job.due_ms <= now_ms:
                job.state = _State.READY
                self._ready[job.sender].append(job)
        await asyncio.gather(*over)
        for sender in self._ready:
            self._fill(sender, now_ms)
        await self._close_leaving()

    def _fill(self, sender: SenderKey, now_ms: int) -> None:
        """Begin attempts that are ready as long as there is a place."""
        ready, most = self._ready[sender], limit("notification_sends_max")
        while ready and self._busy[sender] < most and self._paused.get(sender, 0) <= now_ms:
            job = ready.popleft()
            if job.state is _State.READY:
                self._begin(job)

    def _due_ms(self, job: _Job) -> int:
        return max(job.due_ms, self._paused.get(job.sender, 0))

    def moved(self, by_ms: int) -> None:
        """Follow a clock that was set back by *by_ms*."""
        for job in self._jobs:
            job.due_ms -= by_ms
            job.round.flush.deadline_ms -= by_ms
        self._paused = {key: until - by_ms for key, until in self._paused.items()}

    async def settled(self) -> None:
        """Wait until no attempt is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def stop(self) -> None:
        """End every attempt, and close the senders."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for sender in (*self._leaving, *self._senders.values()):
            await sender.aclose()
        self._leaving, self._senders = [], {}

    async def _close_leaving(self) -> None:
        if self._leaving and not self._running:
            leaving, self._leaving = self._leaving, []
            for sender in leaving:
                await sender.aclose()

    def _begin(self, job: _Job) -> None:
        job.state = _State.RUNNING
        self._busy[job.sender] += 1
        running = asyncio.create_task(self._attempt(job), name=f"notify {job.sender[0]}")
        self._running.add(running)
        running.add_done_callback(self._ended)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._woken()

    async def _attempt(self, job: _Job) -> None:
        job.attempts += 1
        delivery: Delivery | None = None
        failure: NotifyError | None = None
        try:
            delivery = await self._deliver(job)
        except NotifyError as error:
            failure = error
            self._pause(job.sender, error.retry_after_s)
        except Exception as error:  # noqa: BLE001 - counted and shown; a defect must not end delivery
            # The error's own text may hold a secret.
            failure = NotifyError(f"failed: {type(error).__name__}", retryable=False)
        finally:
            self._busy[job.sender] -= 1
        self._fill(job.sender, self._now_ms())
        if delivery is not None:
            await self._delivered(job, delivery)
        elif failure is not None:
            await self._failed(job, failure)

    def _pause(self, sender: SenderKey, wished_s: float | None) -> None:
        if wished_s:
            until_ms = self._now_ms() + round(wished_s * 1000)
            self._paused[sender] = max(until_ms, self._paused.get(sender, 0))

    async def _deliver(self, job: _Job) -> Delivery:
        if not job.task.alerts:
            return Delivery("")
        sender = self._senders.get(job.sender)
        if sender is None:
            raise NotifyError("this receiver is no longer configured", retryable=False)
        notification = await self._notification(job)
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                return await sender.send(notification, job.task.thread)
        except TimeoutError:
            raise NotifyError(f"no answer within {_ATTEMPT_S:g} s", retryable=True) from None

    async def _notification(self, job: _Job) -> Notification:
        most, task = limit("notification_alerts_max"), job.task
        alerts = sorted(task.alerts, key=lambda alert: alert.ends_ms is not None)
        notification = Notification(
            receiver=task.key.receiver,
            group_key=task.key.group_key,
            group_labels=task.group_labels,
            alerts=tuple(_shown(alert) for alert in alerts[:most]),
            now_ms=self._now_ms(),
            external_url=self._external_url,
            truncated=max(0, len(alerts) - most),
            key=task.message_key,
        )
        return await self._linked(await self._explained(notification))

    async def _explained(self, notification: Notification) -> Notification:
        try:
            async with asyncio.timeout(_EXPLAIN_S):
                links, changed = await self._explain(notification)
        except Exception as error:  # noqa: BLE001 - a message without its links is better than none
            name = type(error).__name__
            _log.warning("links not found", group=notification.group_key, error=name)
            return notification
        return replace(notification, links=links, changed=changed)

    async def _linked(self, notification: Notification) -> Notification:
        if self._acknowledge is None:
            return notification
        try:
            found = await self._acknowledge(notification)
        except Exception as error:  # noqa: BLE001 - as above
            name = type(error).__name__
            _log.warning("incident not found", group=notification.group_key, error=name)
            return notification
        links = replace(notification.links, acknowledge=found.acknowledge, incident=found.incident)
        return replace(notification, links=links)

    async def _delivered(self, job: _Job, delivery: Delivery) -> None:
        entry = self._engine.told(job.task, self._now_ms(), delivery.thread)
        row = self._row(job, "delivered", delivery.answer, sent_ms=self._now_ms())
        await self._keep(job, row, entry=(job.task.key, entry))
        self._settle(job, ok=True)

    async def _failed(self, job: _Job, error: NotifyError) -> None:
        job.answer = str(error)[:_ANSWER_CHARS]
        if not error.retryable or job.attempts >= limit("notification_attempts_max"):
            await self._give_up(job, job.answer)
            return
        now_ms = self._now_ms()
        wait_s = min(_WAIT_S_MAX, _FIRST_WAIT_S * 2 ** (job.attempts - 1))
        job.due_ms = now_ms + round(wait_s * (0.5 + self._jitter.random()) * 1000)
        job.state = _State.WAITING
        next_ms = self._due_ms(job)
        key = job.task.key
        _log.warning(
            "notification not delivered", receiver=key.receiver, integration=key.kind,
            answer=job.answer, retry_s=(next_ms - now_ms) / 1000,
        )  # fmt: skip
        await self._keep(job, self._row(job, "pending", job.answer, next_ms=next_ms))

    async def _give_up(self, job: _Job, answer: str, *, counted: bool = True) -> None:
        key = job.task.key
        job.state = _State.OVER
        if counted:
            _log.error(
                "notification failed", receiver=key.receiver, integration=key.kind,
                group=key.group_key, answer=answer, attempts=job.attempts,
            )  # fmt: skip
        await self._keep(job, self._row(job, "failed", answer), counted=counted)
        self._settle(job, ok=False)

    async def _keep(
        self, job: _Job, row: Row, *, entry: object = None, counted: bool = True
    ) -> None:
        told = bool(job.task.alerts)
        if counted and told and row.outcome != "pending":
            outcome = "success" if row.outcome == "delivered" else "error"
            self._counts.count("watchkeeper.server.notifications", row.receiver, outcome)
        try:
            await self._journal.write(entry=entry, row=row if told else None)  # type: ignore[arg-type] # a pair
        except StoreError as error:
            # Memory knows it; after a crash before the next commit somebody is told twice.
            _log.error("notification not recorded", error=str(error))

    def _settle(self, job: _Job, *, ok: bool) -> None:
        job.state = _State.OVER
        self._jobs.pop(job, None)
        job.round.left -= 1
        job.round.ok = job.round.ok and ok
        if job.round.left == 0:
            self._engine.done(job.round.flush, ok=job.round.ok)

    def _row(
        self,
        job: _Job,
        outcome: str,
        answer: str,
        *,
        next_ms: int | None = None,
        sent_ms: int | None = None,
    ) -> Row:
        task = job.task
        alerts = task.alerts
        common = dict(alerts[0].labels) if alerts else {}
        for alert in alerts[1:]:
            common = {k: v for k, v in common.items() if alert.labels.get(k) == v}
        return Row(
            group_key=task.key.group_key,
            receiver=task.key.receiver,
            integration=f"{task.key.kind}/{task.key.index}",
            created_ms=job.round.flush.now_ms,
            rule=common.get("alertname", ""),
            labels=common,
            status="firing" if task.firing else "resolved",
            reason=task.reason,
            alerts=len(alerts),
            outcome=outcome,
            answer=answer[:_ANSWER_CHARS],
            attempts=job.attempts,
            next_attempt_ms=next_ms,
            sent_ms=sent_ms,
        )

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def reported(flush: Flush, config: Config, external_url: str) -> Notification | None:
    """Return what *flush* says to escalation, or None if it is to say nothing.

    That is so if its receiver has no integration, or if all that fires is muted: who muted it
    does not want to hear of it, and it has not ended either.
    """
    firing = [alert for alert in flush.audible if alert.ends_ms is None]
    ended = [alert for alert in flush.alerts if alert.resolved(flush.now_ms)]
    muted = not firing and len(ended) < len(flush.alerts)
    route = flush.group.route
    if muted or not config.receivers[route.receiver].integrations:
        return None
    return Notification(
        receiver=route.receiver,
        group_key=flush.group.key,
        group_labels=flush.group.labels,
        alerts=tuple(_shown(alert) for alert in (*firing, *ended)),
        now_ms=flush.now_ms,
        external_url=external_url,
    )


def _shown(alert: ActiveAlert) -> GroupAlert:
    return GroupAlert(
        labels=alert.labels,
        annotations=alert.annotations,
        starts_ms=alert.starts_ms,
        ends_ms=alert.ends_ms,
        fingerprint=alert.fingerprint,
        value=alert.value,
        generator_url=alert.generator_url,
    )
