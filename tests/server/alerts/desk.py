"""A dispatcher over a real store, with senders that do as they are told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Config, Integration, Receiver, Route
from watchkeeper.server.alerts.dispatcher import Dispatcher, DispatchParts
from watchkeeper.server.alerts.history import listed
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.server.rules.model import Alert, AlertEvent, AlertState
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.series import sorted_labels
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock


@dataclass
class Scripted:
    """A sender that fails as told, then succeeds."""

    failures: list[Exception] = field(default_factory=list)
    said: list[Notification] = field(default_factory=list)
    threads: list[Mapping[str, str]] = field(default_factory=list)
    thread: Mapping[str, str] = field(default_factory=dict)
    """What each delivery gives back."""
    gate: asyncio.Event | None = None
    """Attempts wait for it."""
    together: int = 0
    """Most attempts at the same time."""
    closed: bool = False
    _now: int = 0

    async def send(self, notification: Notification, thread: Mapping[str, str], /) -> Delivery:
        """Fail, or remember *notification*."""
        self._now += 1
        self.together = max(self.together, self._now)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        finally:
            self._now -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.said.append(notification)
        self.threads.append(thread)
        return Delivery("ok", self.thread)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def told(self) -> list[tuple[str, int]]:
        """Return the status of each message, and its number of alerts."""
        return [(said.status, len(said.alerts) + said.truncated) for said in self.said]


def down(retry_after_s: float | None = None) -> NotifyError:
    """Return a failure after which a retry can help."""
    return NotifyError("HTTP 500: no", retryable=True, retry_after_s=retry_after_s)


GONE = NotifyError("HTTP 404: no_service", retryable=False)


def event(job: str = "api", *, firing: bool = True, at_ms: int = 1000, **more: str) -> AlertEvent:
    """Return an event of the alert ``A``."""
    labels = sorted_labels({"alertname": "A", "job": job, **more})
    state = AlertState.FIRING if firing else AlertState.INACTIVE
    ended = None if firing else at_ms
    return AlertEvent(
        "A", firing, Alert(labels, (("summary", "s"),), state, 2.5, 900, at_ms, ended)
    )


def routing(*receivers: str, **more: Any) -> Config:
    """Return a configuration that tells every receiver at once of alerts of one name."""
    names = receivers or ("ops",)
    settings: dict[str, Any] = {
        "group_by": ("alertname",), "group_wait_ms": 0, "group_interval_ms": 300_000,
        "repeat_interval_ms": 4 * 3_600_000, **more,
    }  # fmt: skip
    children = tuple(Route(name, continue_=True, **settings) for name in names)
    made = {
        name: Receiver(name, (Integration("webhook", 0, send_resolved=True),)) for name in names
    }
    return Config(Route(names[0], routes=children, **settings), made)


class Desk:
    """A dispatcher and what belongs to it."""

    def __init__(
        self, store: Store, clock: FixedClock, config: Config | None = None, **senders: Scripted
    ) -> None:
        self.store = store
        self.clock = clock
        self.metrics = ServerMetrics()
        self.senders = senders
        parts = DispatchParts(
            store,
            self.metrics,
            clock,
            lambda _: {(name, "webhook", 0): sender for name, sender in self.senders.items()},
            lambda _interval, _now_ms: False,
            external_url="http://127.0.0.1:8400",
            jitter=random.Random(1),  # noqa: S311 - spreads retries
        )
        self.dispatcher = Dispatcher(parts, config or routing(*senders))

    def record(self, *events: AlertEvent) -> None:
        """Commit *events* as rules do."""
        with self.store.state_write() as cursor:
            self.dispatcher.record(cursor, events, self.dispatcher.now_ms())
        self.dispatcher.wake()

    async def after(self, seconds: float) -> float | None:
        """Let *seconds* pass and deliver; return when something is due."""
        self.clock.advance(seconds)
        return await self.dispatcher.deliver()

    async def run(self, seconds: float) -> None:
        """Let *seconds* pass, and whatever is due in them happen in its time."""
        end_ns = self.clock.now_ns() + round(seconds * 1e9)
        while True:
            wait_s = await self.dispatcher.deliver()
            left_s = (end_ns - self.clock.now_ns()) / 1e9
            if wait_s is None or wait_s > left_s:
                self.clock.advance(left_s)
                return
            self.clock.advance(wait_s)

    def rows(self) -> Sequence[dict[str, Any]]:
        """Return the notifications, newest first."""
        with self.store.state_read() as cursor:
            return listed(cursor, 100)

    def outcomes(self) -> list[tuple[str, str, int]]:
        """Return outcome, answer and attempts of each, oldest first."""
        return [(row["outcome"], row["answer"], row["attempts"]) for row in self.rows()][::-1]
