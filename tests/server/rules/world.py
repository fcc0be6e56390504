"""A store, an engine and a rule manager, put together as the server does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from watchkeeper.server.alerts.config.model import Config, Integration, Matcher, Receiver, Route
from watchkeeper.server.alerts.dispatcher import Dispatcher, DispatchParts
from watchkeeper.server.alerts.history import listed
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.server.api.prometheus import routes
from watchkeeper.server.promql import Engine
from watchkeeper.server.rules.client import QueryClient
from watchkeeper.server.rules.evaluation import Parts
from watchkeeper.server.rules.manager import RuleManager, RuleText
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.series import Series, sorted_labels
from watchkeeper.server.store.rows import Batch, Sample
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock

STEP_S = 15

AT_ONCE = Config(
    Route(
        "told",
        group_by=("alertname",),
        group_wait_ms=0,
        group_interval_ms=1,
        routes=(Route("nobody", (Matcher("severity", "=", "none"),)),),
    ),
    {
        "told": Receiver("told", (Integration("told", 0, send_resolved=True),)),
        "nobody": Receiver("nobody"),
    },
)
"""Alerts of one name are told together, without waiting."""


@dataclass
class Told:
    """A receiver that remembers what it was told."""

    messages: list[Notification] = field(default_factory=list)

    async def send(self, notification: Notification, _thread: Mapping[str, str], /) -> Delivery:
        """Remember *notification*."""
        self.messages.append(notification)
        return Delivery("ok")

    async def aclose(self) -> None:
        """Do nothing."""


@dataclass
class World:
    """The parts that a test looks at."""

    store: Store
    clock: FixedClock
    manager: RuleManager
    notifier: Dispatcher
    metrics: ServerMetrics
    told: Told

    def now_ms(self) -> int:
        """Return the clock's time in Unix milliseconds."""
        return self.clock.now_ns() // 1_000_000

    async def turn(self, **series: float) -> None:
        """Let 15 seconds pass, store one sample of each gauge, evaluate, and deliver."""
        self.clock.advance(STEP_S)
        samples = [
            Sample(sorted_labels({"__name__": name, "job": "api"}), self.now_ms(), value)
            for name, value in series.items()
        ]
        self.store.ingest(Batch(samples=samples)).result(timeout=10)
        await self.manager.evaluate(self.now_ms())
        await self.notifier.deliver()

    def said(self) -> list[str]:
        """Return the notifications told so far: ``A firing``."""
        return [f"{m.group_labels['alertname']} {m.status}" for m in self.told.messages]

    def rule(self, name: str) -> dict[str, Any]:
        """Return the rule called *name* as the API shows it."""
        return next(r for g in self.manager.groups() for r in g["rules"] if r["name"] == name)

    def rows(self) -> list[dict[str, Any]]:
        """Return every notification, newest first."""
        with self.store.state_read() as cursor:
            return listed(cursor, 100)

    def latest(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the result of *query* now."""
        found = Engine(self.store, clock=self.clock).instant(query, self.now_ms())
        return [
            (dict(series.labels), float(series.values[-1]))
            for series in found.data
            if isinstance(series, Series)
        ]


@asynccontextmanager
async def world(
    folder: Path, clock: FixedClock, sources: Sequence[Path | RuleText], told: Told | None = None
) -> AsyncIterator[World]:
    """Yield a running world over the store in *folder*; nothing is scheduled."""
    store = Store.open(folder, clock=clock)
    metrics, receiver = ServerMetrics(), told or Told()
    app = Starlette(routes=routes(Engine(store, clock=clock), store, clock=clock))
    dispatch = DispatchParts(
        store, metrics, clock, lambda _: {("told", "told", 0): receiver}, lambda _i, _now: False
    )
    notifier = Dispatcher(dispatch, AT_ONCE)
    parts = Parts(store, QueryClient.in_process(app), notifier, metrics, clock)
    manager = RuleManager(parts)
    manager.load(sources)
    await manager.start(scheduled=False)
    try:
        yield World(store, clock, manager, notifier, metrics, receiver)
    finally:
        await manager.stop()
        await notifier.stop()
        store.close()
