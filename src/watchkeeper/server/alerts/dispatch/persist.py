"""Alerts, silences and what was told, as rows of the state database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert
from watchkeeper.server.alerts.dispatch.decide import LogEntry, LogKey
from watchkeeper.server.alerts.dispatch.engine import Tidied
from watchkeeper.server.alerts.dispatch.silences import Silence
from watchkeeper.server.rules.persist import Cursor

__all__ = [
    "Stored", "delete", "load", "read_inbox", "save_alerts", "save_log", "save_silences",
    "write_inbox",
]  # fmt: skip

_ALERT = "labels, annotations, starts_ms, ends_ms, updated_ms, lapses, value, generator_url"
_ALERT_TYPES = ("VARCHAR", "VARCHAR", "BIGINT", "BIGINT", "BIGINT", "BOOLEAN", "DOUBLE", "VARCHAR")
_SILENCE = "id, matchers, starts_ms, ends_ms, updated_ms, created_by, comment"
_LOG = "group_key, receiver, kind, place, firing, resolved, at_ms, expires_ms, thread"


class Stored(NamedTuple):
    """Everything that routing takes up after a start."""

    alerts: list[ActiveAlert]
    silences: list[Silence]
    log: dict[LogKey, LogEntry]


def _insert(
    cursor: Cursor, table: str, columns: str, types: Sequence[str], rows: list[list[object]]
) -> None:
    """Insert *rows*, given as one list for each column: many times faster than one by one."""
    if rows:
        lists = ", ".join(f"unnest(?::{kind}[])" for kind in types)
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {lists}",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _alert_row(alert: ActiveAlert) -> list[object]:
    return [
        _json(alert.labels), _json(alert.annotations), alert.starts_ms, alert.ends_ms,
        alert.updated_ms, alert.lapses, alert.value, alert.generator_url,
    ]  # fmt: skip


def write_inbox(cursor: Cursor, batch: str, alerts: Sequence[ActiveAlert]) -> None:
    """Keep *alerts* until `read_inbox` and `save_alerts` have taken them in.

    Args:
        cursor: The transaction.
        batch: Identifies this call among all.
        alerts: What was told of.
    """
    rows = [[batch, place, *_alert_row(alert)] for place, alert in enumerate(alerts)]
    types = ("VARCHAR", "INTEGER", *_ALERT_TYPES)
    _insert(cursor, "alert_inbox", f"batch, position, {_ALERT}", types, rows)


def read_inbox(cursor: Cursor) -> tuple[set[str], list[ActiveAlert]]:
    """Return what is in the inbox, in the order of arrival, and its batches."""
    rows = cursor.execute(
        f"SELECT {_ALERT}, batch FROM alert_inbox ORDER BY updated_ms, batch, position"  # noqa: S608 - a constant
    ).fetchall()
    return {row[-1] for row in rows}, [_alert(row[:-1]) for row in rows]


def save_alerts(cursor: Cursor, alerts: Iterable[ActiveAlert], batches: Iterable[str] = ()) -> None:
    """Write *alerts* in place of what was known of them, and drop *batches* from the inbox."""
    newest = {alert.fingerprint: alert for alert in alerts}
    cursor.execute(
        "DELETE FROM alerts WHERE fingerprint IN (SELECT unnest(?::VARCHAR[]))", [list(newest)]
    )
    rows = [[key, *_alert_row(alert)] for key, alert in newest.items()]
    _insert(cursor, "alerts", f"fingerprint, {_ALERT}", ("VARCHAR", *_ALERT_TYPES), rows)
    cursor.execute(
        "DELETE FROM alert_inbox WHERE batch IN (SELECT unnest(?::VARCHAR[]))", [list(batches)]
    )


def save_silences(cursor: Cursor, silences: Iterable[Silence]) -> None:
    """Write *silences* in place of what was known of them."""
    for silence in silences:
        matchers = [[matcher.name, matcher.op, matcher.value] for matcher in silence.matchers]
        cursor.execute("DELETE FROM silences WHERE id = ?", [silence.id])
        cursor.execute(
            f"INSERT INTO silences ({_SILENCE}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            [
                silence.id, _json(matchers), silence.starts_ms, silence.ends_ms,
                silence.updated_ms, silence.created_by, silence.comment,
            ],
        )  # fmt: skip


def save_log(cursor: Cursor, entries: Mapping[LogKey, LogEntry]) -> None:
    """Write what integrations were told, in place of what they were told before."""
    _drop_log(cursor, entries)
    rows = [
        [
            *_log_key(key), _json(sorted(entry.firing)), _json(sorted(entry.resolved)),
            entry.at_ms, entry.expires_ms, _json(entry.thread),
        ]
        for key, entry in entries.items()
    ]  # fmt: skip
    types = ("VARCHAR", "VARCHAR", "VARCHAR", "INTEGER", "VARCHAR", "VARCHAR", "BIGINT", "BIGINT",
        "VARCHAR")  # fmt: skip
    _insert(cursor, "notification_log", _LOG, types, rows)


def _drop_log(cursor: Cursor, keys: Iterable[LogKey]) -> None:
    rows = [_log_key(key) for key in keys]
    if rows:
        cursor.execute(
            "DELETE FROM notification_log WHERE (group_key, receiver, kind, place) IN (SELECT"
            " unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]),"
            " unnest(?::INTEGER[]))",
            [list(column) for column in zip(*rows, strict=True)],
        )


def delete(cursor: Cursor, gone: Tidied) -> None:
    """Delete the rows of what was forgotten."""
    for table, column, keys in (
        ("alerts", "fingerprint", gone.alerts),
        ("silences", "id", gone.silences),
    ):
        if keys:
            cursor.execute(
                f"DELETE FROM {table} WHERE {column} IN (SELECT unnest(?::VARCHAR[]))",  # noqa: S608 - constants
                [list(keys)],
            )
    _drop_log(cursor, gone.log)


def load(cursor: Cursor) -> Stored:
    """Return everything that is stored."""
    alerts = cursor.execute(f"SELECT {_ALERT} FROM alerts").fetchall()  # noqa: S608 - a constant
    silences = cursor.execute(f"SELECT {_SILENCE} FROM silences").fetchall()  # noqa: S608 - a constant
    log = cursor.execute(f"SELECT {_LOG} FROM notification_log").fetchall()  # noqa: S608 - a constant
    return Stored(
        [_alert(row) for row in alerts],
        [
            Silence(
                id=row[0],
                matchers=tuple(Matcher(*matcher) for matcher in json.loads(row[1])),
                starts_ms=row[2],
                ends_ms=row[3],
                updated_ms=row[4],
                created_by=row[5],
                comment=row[6],
            )
            for row in silences
        ],
        {
            LogKey(*row[:4]): LogEntry(
                frozenset(json.loads(row[4])),
                frozenset(json.loads(row[5])),
                row[6],
                row[7],
                json.loads(row[8]),
            )
            for row in log
        },
    )


def _alert(row: Sequence[object]) -> ActiveAlert:
    labels, annotations, starts_ms, ends_ms, updated_ms, lapses, value, url = row
    return ActiveAlert(
        json.loads(str(labels)),
        json.loads(str(annotations)),
        starts_ms,  # type: ignore[arg-type] # the table's types
        ends_ms,  # type: ignore[arg-type] # the table's types
        updated_ms,  # type: ignore[arg-type] # the table's types
        bool(lapses),
        value,  # type: ignore[arg-type] # the table's types
        str(url),
    )


def _log_key(key: LogKey) -> list[object]:
    return [key.group_key, key.receiver, key.kind, key.index]


def _json(value: object) -> str:
    shown = dict(value) if isinstance(value, Mapping) else value
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
