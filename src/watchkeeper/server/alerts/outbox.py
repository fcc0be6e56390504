"""The notifications table: what has to be told is a committed row before anybody is told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from watchkeeper.server.alerts.message import Notice
from watchkeeper.server.rules.model import AlertEvent
from watchkeeper.server.rules.persist import Cursor

__all__ = ["Entry", "Verdict", "dedup_key", "insert", "listed", "outstanding", "settle"]

_VALUE, _SINCE = "__value__", "__since_ms__"
"""Kept among the annotations; alerts cannot have annotations of these names shown."""


_INSERT = (
    "INSERT INTO notifications (id, dedup_key, rule, labels, annotations, status, receiver,"
    " created_ms, attempts, next_attempt_ms, sent_ms, outcome, answer)"
    " SELECT id, dedup_key, rule, labels, annotations, status, receiver, created_ms,"
    " 0, created_ms, NULL, 'pending', '' FROM (SELECT unnest(?::VARCHAR[]) AS id,"
    " unnest(?::VARCHAR[]) AS dedup_key, unnest(?::VARCHAR[]) AS rule,"
    " unnest(?::VARCHAR[]) AS labels, unnest(?::VARCHAR[]) AS annotations,"
    " unnest(?::VARCHAR[]) AS status, unnest(?::VARCHAR[]) AS receiver,"
    " unnest(?::BIGINT[]) AS created_ms) AS new"
    " WHERE id NOT IN (SELECT id FROM notifications)"
)
"""Takes one list for each column."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One notification that is still to be delivered."""

    id: str
    rule: str
    receiver: str
    firing: bool
    attempts: int
    due_ms: int
    notice: Notice


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attempt."""

    outcome: str
    """``delivered``, ``pending`` or ``failed``."""
    answer: str
    attempts: int
    sent_ms: int | None
    next_attempt_ms: int | None


def dedup_key(event: AlertEvent) -> str:
    """Return the key that is the same for every notification about the same alert."""
    text = json.dumps(event.alert.labels, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:40]


def insert(
    cursor: Cursor, events: Sequence[AlertEvent], receivers: Iterable[str], now_ms: int
) -> int:
    """Write one row for each event and receiver; return how many.

    An event that was written before is not written again, and alerts of severity ``none`` (the
    watchdog) are not told to anybody.
    """
    rows = [
        _row(event, receiver, now_ms)
        for event in events
        if dict(event.alert.labels).get("severity") != "none"
        for receiver in receivers
    ]
    if rows:
        cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
    return len(rows)


def _row(event: AlertEvent, receiver: str, now_ms: int) -> list[object]:
    alert, key = event.alert, dedup_key(event)
    status = "firing" if event.firing else "resolved"
    identity = f"{key}/{receiver}/{status}/{alert.active_at_ms}/{alert.fired_at_ms}"
    annotations = dict(alert.annotations) | {
        _VALUE: repr(alert.value),
        _SINCE: str(alert.active_at_ms),
    }
    return [
        sha256(identity.encode()).hexdigest()[:32],
        key,
        event.rule,
        json.dumps(dict(alert.labels), ensure_ascii=False),
        json.dumps(annotations, ensure_ascii=False),
        status,
        receiver,
        now_ms,
    ]


def outstanding(cursor: Cursor) -> list[Entry]:
    """Return every notification that is still to be delivered, oldest first."""
    rows = cursor.execute(
        "SELECT id, dedup_key, rule, labels, annotations, status, receiver, attempts,"
        " next_attempt_ms, created_ms FROM notifications WHERE outcome = 'pending'"
        " ORDER BY created_ms, status, id"
    ).fetchall()
    found = []
    for row in rows:
        annotations: dict[str, str] = json.loads(row[4])
        value, since = annotations.pop(_VALUE, "nan"), annotations.pop(_SINCE, "0")
        notice = Notice(json.loads(row[3]), annotations, float(value), int(since), row[1])
        due_ms = row[9] if row[8] is None else row[8]
        found.append(Entry(row[0], row[2], row[6], row[5] == "firing", row[7], due_ms, notice))
    return found


def settle(cursor: Cursor, ids: Sequence[str], verdict: Verdict) -> None:
    """Record what became of the notifications *ids*."""
    cursor.execute(
        "UPDATE notifications SET attempts = ?, next_attempt_ms = ?, sent_ms = ?, outcome = ?,"
        " answer = ? WHERE id IN (SELECT unnest(?::VARCHAR[]))",
        [
            verdict.attempts,
            verdict.next_attempt_ms,
            verdict.sent_ms,
            verdict.outcome,
            verdict.answer,
            list(ids),
        ],
    )


def listed(cursor: Cursor, most: int) -> list[dict[str, Any]]:
    """Return the newest notifications, at most *most*, in the shape of our own API."""
    rows = cursor.execute(
        "SELECT id, rule, labels, status, receiver, created_ms, sent_ms, attempts, outcome, answer"
        " FROM notifications ORDER BY created_ms DESC, id LIMIT ?",
        [most],
    ).fetchall()
    names = (
        "id", "rule", "labels", "status", "receiver", "created_ms", "sent_ms", "attempts",
        "outcome", "answer",
    )  # fmt: skip
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for entry in found:
        entry["labels"] = json.loads(entry["labels"])
    return found
