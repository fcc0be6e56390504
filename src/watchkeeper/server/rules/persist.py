"""Keeps alerts as committed rows, so that a restart loses nothing and tells nobody twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from watchkeeper.server.rules.model import Alert, AlertState
from watchkeeper.server.series import Labels, sorted_labels

__all__ = ["Cursor", "StateStore", "StoredAlert", "load_alerts", "save_group"]


class Cursor(Protocol):
    """A connection to the state database, inside a transaction."""

    def execute(self, query: str, parameters: object = None, /) -> Any:
        """Run one statement."""
        ...


class StateStore(Protocol):
    """Where state rows live."""

    def state_read(self) -> AbstractContextManager[Cursor]:
        """Return a reading context."""
        ...

    def state_write(self) -> AbstractContextManager[Cursor]:
        """Return a context whose changes are committed as one transaction."""
        ...


class StoredAlert(NamedTuple):
    """One row."""

    group: str
    rule: str
    """The rule's key within its group."""
    alert: Alert
    last_eval_ms: int


_COLUMNS = (
    "rule_group, rule, labels, annotations, state, value, active_at_ms, fired_at_ms, "
    "resolved_at_ms, last_eval_ms"
)
_SELECT = f"SELECT {_COLUMNS} FROM alert_states"  # noqa: S608 - both are constants
_INSERT = (
    f"INSERT INTO alert_states ({_COLUMNS}) SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]),"
    " unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::DOUBLE[]),"
    " unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[])"
)
"""Takes one list for each column: thousands of rows at once, many times faster than one by one."""


def load_alerts(cursor: Cursor) -> list[StoredAlert]:
    """Return every stored alert."""
    return [
        StoredAlert(
            row[0],
            row[1],
            Alert(
                labels=sorted_labels(json.loads(row[2])),
                annotations=tuple(json.loads(row[3]).items()),
                state=AlertState(row[4]),
                value=row[5],
                active_at_ms=row[6],
                fired_at_ms=row[7],
                resolved_at_ms=row[8],
            ),
            row[9],
        )
        for row in cursor.execute(_SELECT).fetchall()
    ]


def save_group(
    cursor: Cursor,
    group: str,
    rules: Mapping[str, Mapping[Labels, Alert]],
    evaluated_ms: int,
) -> None:
    """Replace the rows of *group* by the alerts of *rules* (by rule key)."""
    cursor.execute("DELETE FROM alert_states WHERE rule_group = ?", [group])
    rows = [
        _row(group, rule, alert, evaluated_ms)
        for rule, alerts in rules.items()
        for alert in alerts.values()
    ]
    if rows:
        cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])


def _row(group: str, rule: str, alert: Alert, evaluated_ms: int) -> list[object]:
    return [
        group,
        rule,
        _json(alert.labels),
        _json(alert.annotations),
        alert.state.value,
        alert.value,
        alert.active_at_ms,
        alert.fired_at_ms,
        alert.resolved_at_ms,
        evaluated_ms,
    ]


def _json(pairs: Iterable[tuple[str, str]]) -> str:
    return json.dumps(dict(pairs), ensure_ascii=False, separators=(",", ":"))
