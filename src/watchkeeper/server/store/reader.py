"""A consistent look at the segments of a range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from watchkeeper.server.store.segments import Segment, Signal

__all__ = ["TABLES", "Reader"]

TABLES: dict[str, tuple[str, ...]] = {
    "spans": ("spans", "batches"),
    "logs": ("logs", "batches"),
    "metrics": ("series", "samples", "exemplars", "families", "batches"),
}
"""Tables by signal."""


class Reader:
    """Runs SQL over one signal. For one thread; made by `Store.read`."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, signal: Signal, segments: Sequence[Segment]
    ) -> None:
        self.cursor = cursor
        self._signal = signal
        self._segments = segments

    def table(self, name: str) -> str:
        """Return an SQL fragment that stands for all rows of *name* in the range.

        It covers whole segments; conditions on time are the caller's.

        Raises:
            ValueError: The signal has no such table.
        """
        if name not in TABLES[self._signal]:
            raise ValueError(
                f"no such table: got {name!r}. Accepted: {', '.join(TABLES[self._signal])}."
            )
        sources = [f"{segment.alias}.main.{name}" for segment in self._segments]
        selects = [f"SELECT * FROM {source}" for source in sources or [f"memory.main.{name}"]]
        return f"({' UNION ALL '.join(selects)})"

    def execute(self, sql: str, params: Any = None) -> duckdb.DuckDBPyConnection:
        """Run a query; the answer has ``fetchall``, ``fetchone`` and ``fetchnumpy``.

        Raises:
            duckdb.Error: The statement cannot be run.
        """
        return self.cursor.execute(sql, params)
