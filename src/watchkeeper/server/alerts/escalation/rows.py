"""Incidents, their timelines, timers and pages as committed rows of the state database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchkeeper.server.alerts.escalation.incident import Entry, Incident, State
from watchkeeper.server.alerts.notification import GroupAlert
from watchkeeper.server.rules.persist import Cursor

__all__ = [
    "OutgoingPage",
    "Verdict",
    "begin_attempts",
    "cancel_pages",
    "delete_resolved_before",
    "due_incidents",
    "find",
    "insert_page",
    "latest_of_group",
    "listed",
    "move_timers",
    "next_due_ms",
    "open_count",
    "outlets_of",
    "outstanding_pages",
    "pages_of",
    "record",
    "save",
    "settle",
    "state_counts",
    "thread_of",
    "timeline",
    "used_key",
    "was_attempted",
]

_INCIDENT = (
    "id, source, group_key, receiver, group_labels, state, opened_ms, changed_ms, alerts,"
    " truncated, external_url, policy, run, round, step, wait, owner, acknowledged_ms,"
    " resolved_ms, resolved_by"
)
_MARKS = ", ".join("?" * len(_INCIDENT.split(",")))
_SELECT = (
    "SELECT incidents.*, due_ms FROM incidents LEFT JOIN escalation_timers ON incident_id = id"
)
_PAGE = (
    "key, incident_id, number, kind, receiver, outlet, person, why, created_ms, attempts,"
    " next_attempt_ms, sent_ms, outcome, answer, thread"
)


@dataclass(frozen=True, slots=True)
class OutgoingPage:
    """One message to one outlet of a receiver."""

    key: str
    incident_id: str
    kind: str
    """``page``, ``acknowledged``, ``unacknowledged`` or ``resolved``."""
    receiver: str
    outlet: str
    """Which of the receiver's integrations, for example ``slack[0]``."""
    person: str
    """Whom it reaches; with other kinds than ``page``, who did what it tells."""
    why: str
    created_ms: int
    number: int = 0
    """Its place among the messages of its incident."""
    attempts: int = 0
    next_attempt_ms: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attempt."""

    outcome: str
    """``delivered``, ``pending``, ``failed`` or ``skipped``."""
    answer: str
    sent_ms: int | None = None
    next_attempt_ms: int = 0
    thread: Mapping[str, str] | None = None


# Incidents


def save(cursor: Cursor, incident: Incident) -> None:
    """Write an incident and its timer over what was stored of it."""
    cursor.execute("DELETE FROM incidents WHERE id = ?", [incident.id])
    cursor.execute(
        f"INSERT INTO incidents ({_INCIDENT}) VALUES ({_MARKS})",  # noqa: S608 - constants
        [
            incident.id, incident.source, incident.group_key, incident.receiver,
            _json(dict(incident.group_labels)), incident.state.value, incident.opened_ms,
            incident.changed_ms, _json([_alert_row(alert) for alert in incident.alerts]),
            incident.truncated, incident.external_url, incident.policy, incident.run,
            incident.round, incident.step, incident.wait, incident.owner,
            incident.acknowledged_ms, incident.resolved_ms, incident.resolved_by,
        ],
    )  # fmt: skip
    cursor.execute("DELETE FROM escalation_timers WHERE incident_id = ?", [incident.id])
    if incident.due_ms is not None:
        cursor.execute(
            "INSERT INTO escalation_timers (incident_id, wait, due_ms) VALUES (?, ?, ?)",
            [incident.id, incident.wait, incident.due_ms],
        )


def find(cursor: Cursor, incident: str) -> Incident | None:
    """Return the incident with this id."""
    row = cursor.execute(f"{_SELECT} WHERE id = ?", [incident]).fetchone()
    return None if row is None else _incident(row)


def latest_of_group(cursor: Cursor, source: str, group_key: str) -> Incident | None:
    """Return the newest incident of a group."""
    row = cursor.execute(
        f"{_SELECT} WHERE source = ? AND group_key = ? ORDER BY opened_ms DESC, id LIMIT 1",
        [source, group_key],
    ).fetchone()
    return None if row is None else _incident(row)


def listed(cursor: Cursor, states: Sequence[str], most: int) -> list[Incident]:
    """Return the newest incidents in some states, at most *most*, newest first."""
    rows = cursor.execute(
        f"{_SELECT} WHERE state IN (SELECT unnest(?::VARCHAR[])) ORDER BY opened_ms DESC, id LIMIT ?",
        [list(states), most],
    ).fetchall()
    return [_incident(row) for row in rows]


def due_incidents(cursor: Cursor, now_ms: int) -> list[str]:
    """Return the ids of the incidents whose timers have ended, the longest ago first."""
    rows = cursor.execute(
        "SELECT incident_id FROM escalation_timers WHERE due_ms <= ? ORDER BY due_ms, incident_id",
        [now_ms],
    ).fetchall()
    return [row[0] for row in rows]


def next_due_ms(cursor: Cursor) -> int | None:
    """Return when the next timer ends or the next attempt is due; None if nothing waits."""
    row = cursor.execute(
        "SELECT least((SELECT min(due_ms) FROM escalation_timers),"
        " (SELECT min(next_attempt_ms) FROM incident_pages WHERE outcome = 'pending'))"
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def move_timers(cursor: Cursor, by_ms: int) -> None:
    """Let every timer and every next attempt end earlier by *by_ms*."""
    cursor.execute("UPDATE escalation_timers SET due_ms = due_ms - ?", [by_ms])
    cursor.execute(
        "UPDATE incident_pages SET next_attempt_ms = next_attempt_ms - ? WHERE outcome = 'pending'",
        [by_ms],
    )


def open_count(cursor: Cursor) -> int:
    """Return the number of incidents that are not resolved."""
    counts = state_counts(cursor)
    return sum(counts[state] for state in counts if state != State.RESOLVED.value)


def state_counts(cursor: Cursor) -> dict[str, int]:
    """Return the number of incidents in each state."""
    rows = cursor.execute("SELECT state, count(*) FROM incidents GROUP BY state").fetchall()
    return {state.value: 0 for state in State} | {row[0]: int(row[1]) for row in rows}


def delete_resolved_before(cursor: Cursor, before_ms: int) -> None:
    """Forget incidents that were resolved before an instant, with all that belongs to them."""
    old = "SELECT id FROM incidents WHERE state = 'resolved' AND resolved_ms < ?"
    for table in ("incident_events", "incident_pages", "escalation_timers"):
        cursor.execute(
            f"DELETE FROM {table} WHERE incident_id IN ({old})",  # noqa: S608 - constants
            [before_ms],
        )
    cursor.execute(
        "DELETE FROM incidents WHERE state = 'resolved' AND resolved_ms < ?", [before_ms]
    )


# Timeline


def record(cursor: Cursor, incident: str, entries: Iterable[Entry], now_ms: int) -> None:
    """Add lines to a timeline."""
    for entry in entries:
        cursor.execute(
            "INSERT INTO incident_events"
            " (incident_id, number, at_ms, kind, who, via, text, key, data)"
            " SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?"
            " FROM incident_events WHERE incident_id = ?",
            [
                incident, now_ms, entry.kind, entry.who, entry.via, entry.text, entry.key,
                _json(dict(entry.data)), incident,
            ],
        )  # fmt: skip


def timeline(cursor: Cursor, incident: str, most: int) -> list[dict[str, Any]]:
    """Return the lines of a timeline, oldest first; of a longer one the newest *most*."""
    rows = cursor.execute(
        "SELECT number, at_ms, kind, who, via, text, data FROM incident_events"
        " WHERE incident_id = ? ORDER BY number DESC LIMIT ?",
        [incident, most],
    ).fetchall()
    names = ("number", "at_ms", "kind", "who", "via", "text", "data")
    found = [dict(zip(names, row, strict=True)) for row in reversed(rows)]
    for entry in found:
        entry["data"] = json.loads(entry["data"])
    return found


def used_key(cursor: Cursor, incident: str, key: str) -> bool:
    """Tell whether a line of the timeline has this key: whether a link has acted."""
    row = cursor.execute(
        "SELECT count(*) FROM incident_events WHERE incident_id = ? AND key = ?", [incident, key]
    ).fetchone()
    return row is not None and row[0] > 0


# Pages


def insert_page(cursor: Cursor, page: OutgoingPage) -> bool:
    """Write a page that is to be delivered, unless one with its key is there; tell whether."""
    row = cursor.execute(
        f"INSERT INTO incident_pages ({_PAGE})"  # noqa: S608 - constants
        " SELECT ?, ?, (SELECT coalesce(max(number), 0) + 1 FROM incident_pages"
        " WHERE incident_id = ?), ?, ?, ?, ?, ?, ?, 0, ?, NULL, 'pending', '', '{}'"
        " WHERE NOT EXISTS (SELECT 1 FROM incident_pages WHERE key = ?)",
        [
            page.key, page.incident_id, page.incident_id, page.kind, page.receiver, page.outlet,
            page.person, page.why, page.created_ms, page.created_ms, page.key,
        ],
    ).fetchone()  # fmt: skip
    return row is not None and row[0] > 0


def cancel_pages(cursor: Cursor, incident: str) -> None:
    """Do not deliver what still waits to be told of an incident."""
    cursor.execute(
        "UPDATE incident_pages SET outcome = 'cancelled'"
        " WHERE incident_id = ? AND outcome = 'pending' AND kind = 'page'",
        [incident],
    )


def outstanding_pages(cursor: Cursor, most: int) -> list[OutgoingPage]:
    """Return the pages that are to be delivered, oldest first, at most *most*."""
    rows = cursor.execute(
        "SELECT key, incident_id, kind, receiver, outlet, person, why, created_ms, number,"
        " attempts, next_attempt_ms FROM incident_pages WHERE outcome = 'pending'"
        " ORDER BY created_ms, incident_id, number LIMIT ?",
        [most],
    ).fetchall()
    return [OutgoingPage(*row) for row in rows]


def begin_attempts(cursor: Cursor, keys: Sequence[str]) -> set[str]:
    """Count an attempt of each page that is still to be delivered, before it is made.

    Returns:
        The keys of those pages. Whoever may have been told is known from then on, even if the
        process ends during the attempt.
    """
    rows = cursor.execute(
        "UPDATE incident_pages SET attempts = attempts + 1"
        " WHERE outcome = 'pending' AND key IN (SELECT unnest(?::VARCHAR[])) RETURNING key",
        [list(keys)],
    ).fetchall()
    return {row[0] for row in rows}


def settle(cursor: Cursor, key: str, verdict: Verdict) -> None:
    """Record what became of an attempt; one that was cancelled meanwhile stays so if it failed."""
    cursor.execute(
        "UPDATE incident_pages SET next_attempt_ms = ?, sent_ms = ?, answer = ?,"
        " thread = coalesce(?, thread),"
        " outcome = CASE WHEN outcome = 'cancelled' AND ? <> 'delivered' THEN outcome ELSE ? END"
        " WHERE key = ?",
        [
            verdict.next_attempt_ms, verdict.sent_ms, verdict.answer,
            None if verdict.thread is None else _json(dict(verdict.thread)),
            verdict.outcome, verdict.outcome, key,
        ],
    )  # fmt: skip


def was_attempted(cursor: Cursor, incident: str, receiver: str, outlet: str) -> bool:
    """Tell whether an outlet may have been paged about an incident."""
    row = cursor.execute(
        "SELECT count(*) FROM incident_pages WHERE incident_id = ? AND receiver = ?"
        " AND outlet = ? AND kind = 'page' AND attempts > 0",
        [incident, receiver, outlet],
    ).fetchone()
    return row is not None and row[0] > 0


def outlets_of(cursor: Cursor, incident: str) -> list[tuple[str, str]]:
    """Return receiver and outlet of everybody who was to be paged about an incident."""
    rows = cursor.execute(
        "SELECT DISTINCT receiver, outlet FROM incident_pages"
        " WHERE incident_id = ? AND kind = 'page' ORDER BY receiver, outlet",
        [incident],
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def thread_of(cursor: Cursor, incident: str, receiver: str, outlet: str) -> dict[str, str]:
    """Return what the last delivery to an outlet about an incident wants to have back."""
    row = cursor.execute(
        "SELECT thread FROM incident_pages WHERE incident_id = ? AND receiver = ?"
        " AND outlet = ? AND outcome = 'delivered' ORDER BY number DESC LIMIT 1",
        [incident, receiver, outlet],
    ).fetchone()
    found: dict[str, str] = {} if row is None else json.loads(row[0])
    return found


def pages_of(cursor: Cursor, incident: str) -> list[dict[str, Any]]:
    """Return the pages of an incident, oldest first, in the shape of our own API."""
    rows = cursor.execute(
        "SELECT key, kind, receiver, outlet, person, why, created_ms, attempts, sent_ms, outcome,"
        " answer FROM incident_pages WHERE incident_id = ? ORDER BY number",
        [incident],
    ).fetchall()
    names = (
        "key", "kind", "receiver", "outlet", "person", "why", "created_ms", "attempts", "sent_ms",
        "outcome", "answer",
    )  # fmt: skip
    return [dict(zip(names, row, strict=True)) for row in rows]


def _incident(row: Sequence[Any]) -> Incident:
    names = [name.strip() for name in _INCIDENT.split(",")]
    fields: dict[str, Any] = dict(zip([*names, "due_ms"], row, strict=True))
    fields["group_labels"] = json.loads(fields["group_labels"])
    fields["state"] = State(fields["state"])
    fields["alerts"] = tuple(GroupAlert(**alert) for alert in json.loads(fields["alerts"]))
    return Incident(**fields)


def _alert_row(alert: GroupAlert) -> dict[str, object]:
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "starts_ms": alert.starts_ms,
        "ends_ms": alert.ends_ms,
        "fingerprint": alert.fingerprint,
        "value": alert.value,
        "generator_url": alert.generator_url,
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
