"""The list of notifications: who was told what, and what came back.

It is a history. What has to be told is decided by the log of `alerts.dispatch.persist`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from watchkeeper.server.rules.persist import Cursor
from watchkeeper.vocabulary.limits import limit

__all__ = ["Row", "interrupted", "listed", "prune", "save_rows"]

_COLUMNS = (
    "id", "dedup_key", "rule", "labels", "annotations", "status", "receiver", "created_ms",
    "attempts", "next_attempt_ms", "sent_ms", "outcome", "answer", "group_key", "integration",
    "reason", "alerts",
)  # fmt: skip
_TYPES = (
    ("VARCHAR",) * 7 + ("BIGINT", "INTEGER", "BIGINT", "BIGINT") + ("VARCHAR",) * 5 + ("INTEGER",)
)
_INSERT = (
    f"INSERT INTO notifications ({', '.join(_COLUMNS)})"
    f" SELECT {', '.join(f'unnest(?::{kind}[])' for kind in _TYPES)}"
)
_SHOWN = (
    "id", "rule", "labels", "status", "receiver", "integration", "group_key", "reason", "alerts",
    "created_ms", "sent_ms", "attempts", "next_attempt_ms", "outcome", "answer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One notification."""

    group_key: str
    receiver: str
    integration: str
    """Kind and place in its list: ``slack/0``."""
    created_ms: int
    """When it was decided."""
    rule: str
    """Name of its alerts, if they share one."""
    labels: Mapping[str, str]
    """Labels that all its alerts share."""
    status: str
    """``firing`` or ``resolved``."""
    reason: str
    alerts: int
    outcome: str
    """``pending``, ``delivered`` or ``failed``."""
    answer: str
    attempts: int
    next_attempt_ms: int | None = None
    sent_ms: int | None = None

    @property
    def id(self) -> str:
        """Identifies it among all."""
        text = f"{self.group_key}\n{self.receiver}\n{self.integration}\n{self.created_ms}"
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def save_rows(cursor: Cursor, rows: Iterable[Row]) -> None:
    """Write *rows* in place of what was known of them."""
    values = [
        [
            row.id,
            sha256(row.group_key.encode("utf-8", "surrogatepass")).hexdigest()[:40],
            row.rule, json.dumps(dict(row.labels), ensure_ascii=False), "{}", row.status,
            row.receiver, row.created_ms, row.attempts, row.next_attempt_ms, row.sent_ms,
            row.outcome, row.answer, row.group_key, row.integration, row.reason, row.alerts,
        ]
        for row in rows
    ]  # fmt: skip
    if values:
        cursor.execute(
            "DELETE FROM notifications WHERE id IN (SELECT unnest(?::VARCHAR[]))",
            [[value[0] for value in values]],
        )
        cursor.execute(_INSERT, [list(column) for column in zip(*values, strict=True)])


def interrupted(cursor: Cursor) -> None:
    """Close what was pending when the server stopped: its group is decided anew."""
    cursor.execute(
        "UPDATE notifications SET outcome = 'failed', next_attempt_ms = NULL,"
        " answer = 'the server stopped before it was delivered; its group is decided anew'"
        " WHERE outcome = 'pending'"
    )


def prune(cursor: Cursor) -> None:
    """Delete the oldest rows beyond ``notification_rows_max``."""
    most = limit("notification_rows_max")
    cursor.execute(
        "DELETE FROM notifications WHERE created_ms < (SELECT created_ms FROM notifications"
        " ORDER BY created_ms DESC OFFSET ? LIMIT 1)",
        [most - 1],
    )


def listed(cursor: Cursor, most: int) -> list[dict[str, Any]]:
    """Return the newest notifications, at most *most*, in the shape of our own API."""
    rows = cursor.execute(
        f"SELECT {', '.join(_SHOWN)} FROM notifications ORDER BY created_ms DESC, id LIMIT ?",  # noqa: S608 - constants
        [most],
    ).fetchall()
    found = [dict(zip(_SHOWN, row, strict=True)) for row in rows]
    for entry in found:
        entry["labels"] = json.loads(entry["labels"])
    return found
