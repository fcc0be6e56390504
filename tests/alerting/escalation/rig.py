"""Escalation over a real store, on a clock that the test moves, with receivers that keep what they get."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.alerting.escalation.samples import MINUTE_MS, NOON_MS, RECEIVERS, book

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.escalation.incident import ByPerson, Incident, Verb
from watchkeeper.server.alerts.escalation.ledger import Ledger
from watchkeeper.server.alerts.escalation.outlets import Outlet, Upstream
from watchkeeper.server.alerts.escalation.runner import EscalationRunner
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock


@dataclass
class Inbox:
    """A receiver that can be told of acknowledgements; keeps everything and fails when told to."""

    got: list[tuple[str, Notification]] = field(default_factory=list)
    threads: list[Mapping[str, str]] = field(default_factory=list)
    fail_next: list[NotifyError] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Keep it, or fail."""
        return self._keep(notification.status, notification, thread)

    async def acknowledge(
        self, notification: Notification, thread: Mapping[str, str], by: str
    ) -> Delivery:
        """Keep it, or fail."""
        return self._keep(f"acknowledged by {by}", notification, thread)

    async def aclose(self) -> None:
        """Nothing is open."""

    def words(self) -> list[str]:
        """Return what was said, oldest first."""
        return [word for word, _ in self.got]

    def keys(self) -> list[str]:
        """Return the keys of the messages, oldest first."""
        return [note.key for _, note in self.got]

    def _keep(self, word: str, note: Notification, thread: Mapping[str, str]) -> Delivery:
        if self.fail_next:
            raise self.fail_next.pop(0)
        self.got.append((word, note))
        self.threads.append(dict(thread))
        self.arrived.set()
        return Delivery("ok", {"first": thread.get("first", note.key)})


class Rig:
    """A runner over a store in a folder; `restart` opens both anew, as after a crash."""

    def __init__(self, folder: Path, text: str = "", upstream: Upstream | None = None) -> None:
        self.folder = folder
        self.clock = FixedClock(NOON_MS * 1_000_000)
        self.boxes = {name: Inbox() for name in (*RECEIVERS, "team")}
        self.book = book(text) if text else book()
        self.upstream = upstream
        self.metrics = ServerMetrics()
        self._open()

    def _open(self) -> None:
        self.store = Store.open(self.folder / "data", clock=self.clock)
        outlets = {name: (Outlet("test[0]", box),) for name, box in self.boxes.items()}
        self.ledger = Ledger(self.store, self.book, outlets, self.metrics)
        self.runner = EscalationRunner(
            self.ledger,
            self.clock,
            upstream=self.upstream,
            jitter=random.Random(1),  # noqa: S311 - the same waits each time
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def restart(self) -> None:
        """Begin anew over what is stored."""
        self.close()
        self._open()

    async def report(self, note: Notification) -> Incident:
        """Report a group and deliver what follows from it."""
        incident = await self.runner.on_notification(note)
        assert incident is not None
        await self.runner.settle()
        return incident

    async def person(self, incident: Incident, verb: Verb, who: str = "alice") -> Incident:
        """Let a person do something, and deliver what follows from it."""
        after = await self.runner.act(incident.id, ByPerson(verb, who, "api", "why not"))
        await self.runner.settle()
        return after

    async def wait(self, minutes: float) -> None:
        """Let time pass in steps of a minute at most."""
        left_ms = round(minutes * MINUTE_MS)
        while left_ms > 0:
            part = min(left_ms, MINUTE_MS)
            self.clock.advance(part / 1000)
            left_ms -= part
            await self.runner.settle()

    def words(self) -> dict[str, list[str]]:
        """Return what each receiver was told; those that were told nothing are left out."""
        return {name: box.words() for name, box in sorted(self.boxes.items()) if box.got}

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Return the rows of a query of the state database."""
        with self.store.state_read() as cursor:
            return list(cursor.execute(query).fetchall())
