"""Puts the parts of escalation together for the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from watchkeeper.clock import Clock
from watchkeeper.errors import EscalationFileError, NotifyError, WatchkeeperError
from watchkeeper.server.alerts.config.model import Config
from watchkeeper.server.alerts.escalation import rows
from watchkeeper.server.alerts.escalation.incident import Incident, State
from watchkeeper.server.alerts.escalation.ledger import RULES, Ledger, Meters
from watchkeeper.server.alerts.escalation.links import LinkKeys
from watchkeeper.server.alerts.escalation.loader import load_file, unknown_receivers
from watchkeeper.server.alerts.escalation.model import Escalation
from watchkeeper.server.alerts.escalation.outlets import Outlet, Outlets
from watchkeeper.server.alerts.escalation.rows import OutgoingPage
from watchkeeper.server.alerts.escalation.runner import EscalationRunner
from watchkeeper.server.alerts.escalation.upstream import AlertmanagerBridge
from watchkeeper.server.alerts.notification import Links, Notification, Sender
from watchkeeper.server.alerts.threads import in_thread
from watchkeeper.server.rules.persist import StateStore

__all__ = ["Escalating", "load_book", "outlets_of"]

_LOOK_S = 60.0
_OPEN_READ = 1_000
_log = structlog.get_logger("watchkeeper.server.alerts")


def load_book(path: Path | None, receivers: Collection[str]) -> Escalation:
    """Return what the file at *path* says; an empty book without a file.

    Raises:
        EscalationFileError: It cannot be loaded, or names a receiver that is not in *receivers*.
    """
    if path is None:
        return Escalation()
    book = load_file(path)
    errors = unknown_receivers(book, receivers, str(path))
    if errors:
        raise EscalationFileError("; ".join(errors))
    return book


def outlets_of(config: Config, senders: Mapping[tuple[str, str, int], Sender]) -> Outlets:
    """Return the ways to each receiver of a configuration.

    Args:
        config: The routing configuration.
        senders: A sender by receiver, kind and index of its integration; integrations that have
            none are left out.
    """
    return {
        receiver.name: tuple(
            Outlet(f"{one.kind}[{one.index}]", sender, one.send_resolved)
            for one in receiver.integrations
            if (sender := senders.get((receiver.name, one.kind, one.index))) is not None
        )
        for receiver in config.receivers.values()
    }


class Escalating:
    """Everything that escalates, ready to be run.

    Args:
        store: Where incidents are kept.
        meters: Where things are counted.
        clock: Where time comes from.
        data_dir: Where the keys of links are kept.
        book: The escalation file.
        outlets: The ways to every receiver.
        external_url: Address under which people reach this server; no links without it.

    Attributes:
        runner: Takes notifications (`EscalationRunner.on_notification`) and people's acts.
        keys: The keys of links.
    """

    def __init__(
        self,
        store: StateStore,
        meters: Meters,
        clock: Clock,
        *,
        data_dir: Path,
        book: Escalation,
        outlets: Outlets,
        external_url: str = "",
    ) -> None:
        self.keys = LinkKeys(data_dir)
        self._url = external_url.rstrip("/")
        self._bridge = AlertmanagerBridge(book.bridge, clock) if book.bridge else None
        self.runner = EscalationRunner(
            Ledger(store, book, outlets, meters), clock, links=self._links, upstream=self._bridge
        )
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; call from the running event loop."""
        self.runner.start()
        if self._bridge is not None:
            self._watch = asyncio.create_task(self._look_again(), name="upstream")

    async def stop(self) -> None:
        """End; what is pending is delivered after the next start."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.runner.stop()
        if self._bridge is not None:
            await self._bridge.aclose()

    def use(self, outlets: Outlets, book: Escalation | None = None) -> None:
        """Tell receivers over *outlets* from now on, and go by *book* if it is given.

        Whether and where an Alertmanager is told of acknowledgements stays as it was at the start.
        """
        self.runner.ledger.outlets = outlets
        if book is not None:
            self.runner.ledger.book = book

    async def links_for(self, note: Notification) -> Links:
        """Return the links to acknowledge the group of a notification, and to its incident.

        Raises:
            OSError: The keys of links cannot be read or written.
        """
        return await in_thread(lambda: self._group_links(note))

    def _group_links(self, note: Notification) -> Links:
        with self.runner.ledger.store.state_read() as cursor:
            incident = rows.latest_of_group(cursor, RULES, note.group_key)
        if incident is None or not self._url:
            return Links()
        shown = f"{self._url}/#/incidents/{incident.id}"
        if incident.state is not State.TRIGGERED:
            return Links(incident=shown)
        token = self.keys.sign("acknowledge", incident.id, note.receiver, note.now_ms)
        return Links(acknowledge=f"{self._url}/ack/{token}", incident=shown)

    async def look_upstream(self) -> None:
        """Resolve acknowledged incidents of an Alertmanager whose alerts have ended there.

        Their group is silenced there, so no notification tells us.

        Raises:
            StoreError: The rows cannot be read or written.
        """
        if self._bridge is None:
            return
        for incident in await in_thread(self._silenced):
            try:
                firing = await self._bridge.firing(incident)
            except NotifyError as error:
                _log.warning("Alertmanager did not answer", error=str(error))
                return
            if not firing:
                await self.runner.alerts_ended(incident.id)

    def _silenced(self) -> list[Incident]:
        with self.runner.ledger.store.state_read() as cursor:
            found = rows.listed(cursor, [State.ACKNOWLEDGED.value], _OPEN_READ)
        return [incident for incident in found if incident.source != RULES]

    async def _look_again(self) -> None:
        while True:
            with contextlib.suppress(WatchkeeperError):  # the next round tries again
                await self.look_upstream()
            await asyncio.sleep(_LOOK_S)

    def _links(self, page: OutgoingPage, now_ms: int) -> Links:
        if not self._url:
            return Links()
        who = page.person or page.receiver
        token = self.keys.sign("acknowledge", page.incident_id, who, now_ms)
        return Links(
            acknowledge=f"{self._url}/ack/{token}",
            incident=f"{self._url}/#/incidents/{page.incident_id}",
        )
