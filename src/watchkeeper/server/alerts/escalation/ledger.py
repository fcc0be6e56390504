"""Applies events to stored incidents: each in one transaction, before anybody is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from watchkeeper.errors import IncidentError
from watchkeeper.server.alerts.escalation import rows
from watchkeeper.server.alerts.escalation.engine import advance, known_alerts, opened
from watchkeeper.server.alerts.escalation.incident import (
    AlertsResolved,
    ByPerson,
    CancelPages,
    Due,
    Entry,
    Incident,
    Outcome,
    Page,
    Reported,
    State,
    Tell,
)
from watchkeeper.server.alerts.escalation.model import Escalation
from watchkeeper.server.alerts.escalation.outlets import Outlets, pages_for_tell
from watchkeeper.server.alerts.escalation.rows import OutgoingPage
from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.rules.persist import Cursor, StateStore
from watchkeeper.vocabulary.limits import limit

__all__ = ["RULES", "Ledger", "Meters", "checked_person"]

RULES = "rules"
"""The source of groups that our own rules fire."""

_NAME_CHARS_MAX = 200
_log = structlog.get_logger("watchkeeper.server.alerts")


class Meters(Protocol):
    """Where things are counted."""

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter of the vocabulary."""
        ...

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge of the vocabulary."""
        ...


def checked_person(event: ByPerson) -> ByPerson:
    """Return *event* if it may be done.

    Raises:
        IncidentError: Its name is empty, too long or not printable; its text is longer than
            ``incident_text_chars_max``; or a comment has none.
    """
    if not event.who.strip() or len(event.who) > _NAME_CHARS_MAX or not event.who.isprintable():
        raise IncidentError(
            f"who does it is not a name: got {event.who[:60]!r}. "
            f"Accepted: 1 to {_NAME_CHARS_MAX} printable characters. Next: give a name.",
            "invalid",
        )
    most = limit("incident_text_chars_max")
    if len(event.text) > most:
        raise IncidentError(
            f"the text is too long: got {len(event.text)} characters. Accepted: up to {most} "
            "(incident_text_chars_max). Next: shorten it, or link to it.",
            "invalid",
        )
    if event.verb == "comment" and not event.text.strip():
        raise IncidentError(
            "the comment is empty: got ''. Accepted: a text. Next: write something.", "invalid"
        )
    return event


@dataclass(slots=True)
class Ledger:
    """The stored incidents. Its methods block and are safe to call from any thread.

    Args:
        store: Where the rows are.
        book: The escalation file; may be replaced while the server runs.
        outlets: The ways to every receiver.
        meters: Where things are counted.
    """

    store: StateStore
    book: Escalation
    outlets: Outlets
    meters: Meters
    _full_told: bool = field(default=False, init=False)

    def report(
        self, note: Notification, source: str, now_ms: int, *, complete: bool = True
    ) -> Incident | None:
        """Take in what a group's notification says.

        Args:
            note: The notification.
            source: `RULES`, or the name of the Alertmanager that sent it.
            now_ms: Unix milliseconds.
            complete: Whether no alert that may be firing was left out.

        Returns:
            The group's incident, or None if it has none: it does not fire, its alerts all have
            the severity ``none``, or ``incidents_open_max`` is reached.

        Raises:
            StoreError: It could not be committed.
        """
        with self.store.state_write() as cursor:
            return self._report(cursor, note, source, now_ms, complete=complete)

    def report_all(self, notes: Sequence[Notification], now_ms: int) -> list[Incident | None]:
        """Take in what groups of our own rules say, all of it or nothing; see `report`."""
        with self.store.state_write() as cursor:
            return [self._report(cursor, note, RULES, now_ms, complete=True) for note in notes]

    def _report(
        self, cursor: Cursor, note: Notification, source: str, now_ms: int, *, complete: bool
    ) -> Incident | None:
        latest = rows.latest_of_group(cursor, source, note.group_key)
        if latest is not None and latest.state is State.ACKNOWLEDGED and self._bridged(source):
            # What is silenced there is left out of the message without being counted.
            note = _merged(latest, note)
        note = _bounded(note)
        if note.status == "resolved":
            if latest is None or latest.state is State.RESOLVED:
                return latest
            outcome = (
                advance(latest, AlertsResolved(note), self.book, now_ms)
                if complete
                else Outcome(latest, (_incomplete(note),))
            )
            return self._write(cursor, outcome, now_ms)
        if latest is not None and (
            latest.state is not State.RESOLVED
            or (latest.resolved_by != "alerts" and known_alerts(latest, note))
        ):
            outcome = advance(latest, Reported(note, source), self.book, now_ms)
        elif not self._may_open(cursor, note):
            return None
        else:
            outcome = opened(Reported(note, source), self.book, now_ms)
        return self._write(cursor, outcome, now_ms)

    def _bridged(self, source: str) -> bool:
        return source != RULES and self.book.bridge is not None

    def act(self, incident: str, event: ByPerson, now_ms: int) -> Incident:
        """Do what a person asks.

        Raises:
            IncidentError: There is no such incident; its state does not allow it; the request is
                not valid; or its link was used already.
            StoreError: It could not be committed.
        """
        checked_person(event)
        with self.store.state_write() as cursor:
            found = rows.find(cursor, incident)
            if found is None:
                raise unknown(incident)
            if event.key and rows.used_key(cursor, incident, event.key):
                raise IncidentError(
                    "this link was used already: got it a second time. Accepted: each link once. "
                    "Next: open the incident for whatever is to be done now."
                )
            if event.verb == "comment" and self._full(cursor, incident):
                raise IncidentError(
                    "the timeline is full: got one more comment. Accepted: up to "
                    "incident_events_max lines. Next: write it elsewhere.",
                )
            outcome = advance(found, event, self.book, now_ms)
            if outcome.refused:
                raise IncidentError(
                    f"{event.verb} changes nothing: {outcome.refused}: got incident {incident}, "
                    f"{found.state.value}. Accepted: what its state allows. "
                    "Next: look at its timeline."
                )
            return self._write(cursor, outcome, now_ms)

    def alerts_ended(self, incident: str, now_ms: int) -> None:
        """Resolve an incident whose alerts are known to have ended; nothing if it is resolved.

        Raises:
            StoreError: It could not be committed.
        """
        with self.store.state_write() as cursor:
            found = rows.find(cursor, incident)
            if found is not None and found.state is not State.RESOLVED:
                self._write(cursor, advance(found, AlertsResolved(), self.book, now_ms), now_ms)

    def fire_timers(self, now_ms: int) -> None:
        """Do what is due, each incident in a transaction of its own.

        Raises:
            StoreError: Something could not be committed.
        """
        with self.store.state_read() as cursor:
            due = rows.due_incidents(cursor, now_ms)
        for incident in due:
            with self.store.state_write() as cursor:
                found = rows.find(cursor, incident)
                if found is not None:
                    self._write(cursor, advance(found, Due(), self.book, now_ms), now_ms)

    def moved(self, by_ms: int) -> None:
        """Follow a clock that was set back by *by_ms*, or everything would wait for as long more.

        Raises:
            StoreError: It could not be committed.
        """
        with self.store.state_write() as cursor:
            rows.move_timers(cursor, by_ms)

    def measure(self) -> None:
        """Show how many incidents are open."""
        with self.store.state_read() as cursor:
            counts = rows.state_counts(cursor)
        for state in (State.TRIGGERED, State.ACKNOWLEDGED):
            self.meters.set("watchkeeper.server.incidents", counts[state.value], state.value)

    def forget(self, now_ms: int) -> None:
        """Delete incidents that were resolved longer than ``incident_days_max`` ago."""
        with self.store.state_write() as cursor:
            rows.delete_resolved_before(cursor, now_ms - limit("incident_days_max") * 86_400_000)

    def _may_open(self, cursor: Cursor, note: Notification) -> bool:
        if {alert.labels.get("severity") for alert in note.firing} == {"none"}:
            return False  # the watchdog fires always and means nobody
        if rows.open_count(cursor) < limit("incidents_open_max"):
            self._full_told = False
            return True
        self.meters.count("watchkeeper.server.refused", "alerts", "incidents_open")
        if not self._full_told:  # once, not for each of thousands of groups
            self._full_told = True
            _log.error("incidents refused: too many are open", group=note.group_key[:200])
        return False

    def _full(self, cursor: Cursor, incident: str) -> bool:
        most = limit("incident_events_max")
        return len(rows.timeline(cursor, incident, most)) >= most

    def _write(self, cursor: Cursor, outcome: Outcome, now_ms: int) -> Incident:
        incident = outcome.incident
        rows.save(cursor, incident)
        for action in outcome.actions:
            if isinstance(action, Entry):
                rows.record(cursor, incident.id, [action], now_ms)
                if action.kind == "nobody":
                    self._unreached()
            elif isinstance(action, CancelPages):
                rows.cancel_pages(cursor, incident.id)
            elif isinstance(action, Page):
                self._page(cursor, incident, action, now_ms)
            else:
                self._tell(cursor, incident, action)
        return incident

    def _page(self, cursor: Cursor, incident: Incident, page: Page, now_ms: int) -> None:
        outlets = self.outlets.get(page.receiver, ())
        if not outlets:
            text = f"{page.why}: the receiver {page.receiver} is not configured"
            rows.record(cursor, incident.id, [Entry("nobody", text)], now_ms)
            self._unreached()
        for outlet in outlets:
            rows.insert_page(
                cursor,
                OutgoingPage(
                    key=f"{page.key}/{outlet.name}",
                    incident_id=incident.id,
                    kind="page",
                    receiver=page.receiver,
                    outlet=outlet.name,
                    person=page.user,
                    why=page.why,
                    created_ms=now_ms,
                ),
            )

    def _tell(self, cursor: Cursor, incident: Incident, tell: Tell) -> None:
        bridged = self._bridged(incident.source)
        paged: Sequence[tuple[str, str]] = rows.outlets_of(cursor, incident.id)
        for page in pages_for_tell(incident, tell, paged, self.outlets, bridged=bridged):
            rows.insert_page(cursor, page)

    def _unreached(self) -> None:
        self.meters.count("watchkeeper.server.escalation.unreached")


def unknown(incident: str) -> IncidentError:
    """Return the error that there is no incident with this id."""
    return IncidentError(
        f"no such incident: got {incident[:60]!r}. Accepted: the id of an incident. "
        "Next: `watchkeeper incidents list` shows them.",
        "unknown",
    )


def _merged(incident: Incident, note: Notification) -> Notification:
    """Return *note* with the alerts of *incident* that it does not speak of, firing ones first."""
    spoken = {alert.fingerprint for alert in note.alerts}
    others = [alert for alert in incident.alerts if alert.fingerprint not in spoken]
    every = sorted((*note.alerts, *others), key=lambda alert: not alert.firing)
    return replace(note, alerts=tuple(every))


def _bounded(note: Notification) -> Notification:
    most = limit("incident_alerts_max")
    left_out = len(note.alerts) - most
    if left_out <= 0:
        return note
    return replace(note, alerts=note.alerts[:most], truncated=note.truncated + left_out)


def _incomplete(note: Notification) -> Entry:
    data: dict[str, Any] = {"truncated": note.truncated}
    text = (
        f"no alert of the message fires, but it leaves {note.truncated} out, so the incident "
        "stays open; raise max_alerts at the sender, or resolve by hand"
    )
    return Entry("note", text, data=data)
