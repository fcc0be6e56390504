"""Notifications are delivered at least once, in order, with retries that know when to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.log import LogReceiver
from watchkeeper.server.alerts.message import Message
from watchkeeper.server.alerts.notifier import AlertNotifier
from watchkeeper.server.alerts.outbox import listed
from watchkeeper.server.rules.model import Alert, AlertEvent, AlertState
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.series import sorted_labels
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock

DOWN = NotifyError("HTTP 500: no", retryable=True)
GONE = NotifyError("HTTP 404: no_service", retryable=False)


@dataclass
class Scripted:
    """A receiver that fails as told, then succeeds."""

    name: str = "scripted"
    failures: list[NotifyError] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> str:
        """Fail, or remember *message*."""
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append(message)
        return "ok"

    async def aclose(self) -> None:
        """Do nothing."""


def event(job: str = "api", *, firing: bool = True, severity: str = "page") -> AlertEvent:
    """Return an event of the alert ``A``."""
    labels = sorted_labels({"alertname": "A", "job": job, "severity": severity})
    state = AlertState.FIRING if firing else AlertState.INACTIVE
    return AlertEvent("A", firing, Alert(labels, (("summary", "s"),), state, 2.5, 1000, 2000))


@dataclass
class Desk:
    """A notifier over a store."""

    store: Store
    clock: FixedClock
    notifier: AlertNotifier

    def record(self, *events: AlertEvent) -> None:
        """Commit *events*."""
        with self.store.state_write() as cursor:
            self.notifier.record(cursor, events, self.clock.now_ns() // 1_000_000)

    def rows(self) -> list[dict[str, Any]]:
        """Return the notifications, newest first."""
        with self.store.state_read() as cursor:
            return listed(cursor, 100)


def desk(store: Store, clock: FixedClock, *receivers: Any) -> Desk:
    """Return a desk whose jitter is fixed."""
    notifier = AlertNotifier(store, receivers, ServerMetrics(), clock, jitter=random.Random(1))  # noqa: S311 - spreads retries
    return Desk(store, clock, notifier)


def told(messages: Sequence[Message]) -> list[tuple[bool, int]]:
    """Return for each message whether it is about firing alerts, and how many."""
    return [(message.firing, len(message.notices)) for message in messages]


async def test_a_delivered_notification_is_recorded_with_its_answer(
    store: Store, clock: FixedClock
) -> None:
    """The row says when, after how many attempts, and what the receiver answered."""
    receiver = Scripted()
    here = desk(store, clock, receiver)
    here.record(event())
    assert await here.notifier.deliver() is None
    (row,) = here.rows()
    notice = receiver.messages[0].notices[0]

    assert ("delivered", "ok", 1, "firing") == (
        row["outcome"], row["answer"], row["attempts"], row["status"],
    )  # fmt: skip
    assert {"alertname": "A", "job": "api", "severity": "page"} == row["labels"]
    assert (2.5, 1000, {"summary": "s"}) == (notice.value, notice.since_ms, notice.annotations)


async def test_a_failed_attempt_is_repeated_later_and_later(
    store: Store, clock: FixedClock
) -> None:
    """Waits double from about two seconds up to about five minutes."""
    receiver = Scripted(failures=[DOWN] * 12)
    here = desk(store, clock, receiver)
    here.record(event())
    waits = []
    for _ in range(12):
        wait_s = await here.notifier.deliver()
        assert wait_s is not None
        waits.append(wait_s)
        clock.advance(wait_s)
    assert await here.notifier.deliver() is None

    assert all(2**n <= wait <= 3 * 2**n for n, wait in enumerate(waits[:7]))
    assert all(150 <= wait <= 450 for wait in waits[9:])
    assert [(True, 1)] == told(receiver.messages)


async def test_the_receivers_wish_is_honoured(store: Store, clock: FixedClock) -> None:
    """After 429 with Retry-After nothing is sent before that time."""
    limited = NotifyError("HTTP 429", retryable=True, retry_after_s=90.0)
    here = desk(store, clock, Scripted(failures=[limited]))
    here.record(event())

    assert 90.0 == await here.notifier.deliver()


async def test_a_permanent_refusal_is_not_repeated(store: Store, clock: FixedClock) -> None:
    """The row keeps the answer, so that somebody can see why nobody was told."""
    here = desk(store, clock, Scripted(failures=[GONE]))
    here.record(event())

    assert await here.notifier.deliver() is None
    assert ("failed", "HTTP 404: no_service") == (
        here.rows()[0]["outcome"],
        here.rows()[0]["answer"],
    )


async def test_attempts_are_bounded(store: Store, clock: FixedClock) -> None:
    """After 20 attempts the notification is recorded as failed."""
    here = desk(store, clock, Scripted(failures=[DOWN] * 30))
    here.record(event())
    while (wait_s := await here.notifier.deliver()) is not None:
        clock.advance(wait_s)

    assert (20, "failed") == (here.rows()[0]["attempts"], here.rows()[0]["outcome"])


async def test_resolved_never_overtakes_firing(store: Store, clock: FixedClock) -> None:
    """While "firing" waits for its retry, "resolved" of the same alert waits behind it."""
    receiver = Scripted(failures=[DOWN])
    here = desk(store, clock, receiver)
    here.record(event())
    await here.notifier.deliver()
    clock.advance(1)
    here.record(event(firing=False), event("other"))
    await here.notifier.deliver()
    assert [(True, 1)] == told(receiver.messages)
    assert "other" == receiver.messages[0].notices[0].labels["job"]
    clock.advance(10)
    await here.notifier.deliver()
    await here.notifier.deliver()

    assert [(True, 1), (True, 1), (False, 1)] == told(receiver.messages)


async def test_an_event_is_written_once(store: Store, clock: FixedClock) -> None:
    """Recording the same event again, as after a crash, adds no second row."""
    receiver = Scripted()
    here = desk(store, clock, receiver)
    here.record(event())
    here.record(event())
    await here.notifier.deliver()

    assert [(True, 1)] == told(receiver.messages)


async def test_one_receiver_does_not_hold_up_another(store: Store, clock: FixedClock) -> None:
    """Each receiver has its own rows: one fails, the other is told, and only once."""
    bad, good = Scripted("bad", failures=[DOWN]), Scripted("good")
    here = desk(store, clock, bad, good)
    here.record(event())
    await here.notifier.deliver()
    clock.advance(60)
    await here.notifier.deliver()

    assert [(True, 1)] == told(good.messages) == told(bad.messages)


async def test_alerts_of_a_flood_are_told_together(store: Store, clock: FixedClock) -> None:
    """Ten thousand alerts are one message and ten thousand rows."""
    receiver = Scripted()
    here = desk(store, clock, receiver)
    here.record(*(event(str(n)) for n in range(10_000)))
    await here.notifier.deliver()

    assert [(True, 10_000)] == told(receiver.messages)


@pytest.mark.parametrize("severity", ["none"])
async def test_alerts_for_nobody_are_not_written(
    store: Store, clock: FixedClock, severity: str
) -> None:
    """Severity ``none`` is shown, and told to nobody."""
    here = desk(store, clock, LogReceiver())
    here.record(event(severity=severity))

    assert [] == here.rows()


async def test_a_receiver_that_is_gone_ends_its_notifications(
    store: Store, clock: FixedClock
) -> None:
    """Rows of a receiver that is no longer configured are closed with an explanation."""
    before = desk(store, clock, Scripted("old", failures=[DOWN]))
    before.record(event())
    after = desk(store, clock, LogReceiver())
    await after.notifier.deliver()

    assert "failed" == after.rows()[0]["outcome"]
    assert "no longer configured" in after.rows()[0]["answer"]


async def test_delivery_runs_by_itself(store: Store, clock: FixedClock) -> None:
    """A started notifier delivers what is there, and what it is woken for."""
    receiver = Scripted()
    here = desk(store, clock, receiver)
    here.record(event("first"))
    here.notifier.start()
    try:
        for wanted in (1, 2):
            for _ in range(300):
                if len(receiver.messages) == wanted:
                    break
                await asyncio.sleep(0.01)
            assert wanted == len(receiver.messages)
            here.record(event("second"))
            here.notifier.wake()
    finally:
        await here.notifier.stop()
