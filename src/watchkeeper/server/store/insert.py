"""Rows into a segment in bulk.

Arrow tables are the fastest way into DuckDB from Python: 300,000 to 600,000 span rows a second
with the commit, against about 700 for single-row commits (docs/decisions/003-arrow-inserts.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_type_hints

import duckdb
import pyarrow as pa

from watchkeeper.server.store.rows import LogRow, SpanRow
from watchkeeper.server.store.segments import Segment

__all__ = ["TABLES", "insert"]

_TYPES: dict[Any, Any] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    bytes | None: pa.binary(),
    float: pa.float64(),
}


def _schema(row: type[Any]) -> pa.Schema:
    return pa.schema([(name, _TYPES[kind]) for name, kind in get_type_hints(row).items()])


class _Samples(NamedTuple):
    series_id: int
    t_ms: int
    value: float


class _Exemplars(NamedTuple):
    series_id: int
    t_ms: int
    value: float
    labels: str


class _Series(NamedTuple):
    series_id: int
    labels: str


class _Families(NamedTuple):
    name: str
    type: str
    help: str
    unit: str


class _Batches(NamedTuple):
    digest: bytes
    committed_ns: int


TABLES = {
    "spans": _schema(SpanRow),
    "logs": _schema(LogRow),
    "samples": _schema(_Samples),
    "exemplars": _schema(_Exemplars),
    "series": _schema(_Series),
    "families": _schema(_Families),
    "batches": _schema(_Batches),
}
"""Arrow schema of each table, columns in the order of `schema`."""


def insert(
    cursor: duckdb.DuckDBPyConnection, segment: Segment, table: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Insert *rows* into a table of *segment*, inside the cursor's transaction."""
    if not rows:
        return
    shape = TABLES[table]
    columns = [
        pa.array(column, type=field.type)
        for column, field in zip(zip(*rows, strict=True), shape, strict=True)
    ]
    cursor.register("incoming", pa.Table.from_arrays(columns, schema=shape))
    try:
        cursor.execute(f"INSERT INTO {segment.alias}.{table} SELECT * FROM incoming")
    finally:
        cursor.unregister("incoming")
