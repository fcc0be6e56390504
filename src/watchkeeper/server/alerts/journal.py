"""Commits what was told, many deliveries at once."""

from __future__ import annotations

import asyncio
from functools import partial

from watchkeeper.server.alerts.dispatch.decide import LogEntry, LogKey
from watchkeeper.server.alerts.dispatch.persist import save_log
from watchkeeper.server.alerts.history import Row, save_rows
from watchkeeper.server.alerts.threads import in_thread
from watchkeeper.server.rules.persist import StateStore

__all__ = ["Journal"]

_ROWS_KEPT_MAX = 5_000


class Journal:
    """Writes log entries and rows of the history; deliveries that end together share a commit.

    What could not be committed is tried again with the next write.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._log: dict[LogKey, LogEntry] = {}
        self._rows: dict[str, Row] = {}
        self._asked = self._written = 0

    async def write(
        self, *, entry: tuple[LogKey, LogEntry] | None = None, row: Row | None = None
    ) -> None:
        """Return once what is given is committed.

        Raises:
            StoreError: It was not.
        """
        if entry is not None:
            self._log[entry[0]] = entry[1]
        if row is not None:
            self._rows[row.id] = row
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._written >= mine:
                return  # it went with somebody else's
            asked, log, rows = self._asked, self._log, self._rows
            self._log, self._rows = {}, {}
            try:
                await in_thread(partial(self._commit, log, rows))
            except BaseException:
                self._log = log | self._log
                newest = list((rows | self._rows).items())[-_ROWS_KEPT_MAX:]
                self._rows = dict(newest)
                raise
            self._written = asked

    def _commit(self, log: dict[LogKey, LogEntry], rows: dict[str, Row]) -> None:
        with self._store.state_write() as cursor:
            save_log(cursor, log)
            save_rows(cursor, rows.values())
