"""Rows turned into Arrow tables, the fastest way into DuckDB (docs/decisions/bulk-insert.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.server.series import is_stale
from watchkeeper.server.store.rows import LogRow, SpanRow

__all__ = ["log_table", "sample_table", "span_table"]

_TYPES: dict[Any, Any] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    bytes | None: pa.binary(),
}


def _schema(row: type[Any]) -> Any:
    return pa.schema([(name, _TYPES[kind]) for name, kind in get_type_hints(row).items()])


_SPANS, _LOGS = _schema(SpanRow), _schema(LogRow)


def _table(rows: Sequence[tuple[Any, ...]], schema: Any) -> Any:
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(column, type=entry.type) for column, entry in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def span_table(rows: Sequence[SpanRow]) -> Any:
    """Return *rows*, at least one, as an Arrow table.

    Raises:
        ValueError, TypeError, OverflowError, pyarrow.ArrowException: A value does not fit.
    """
    return _table(rows, _SPANS)


def log_table(rows: Sequence[LogRow]) -> Any:
    """Return *rows*, at least one, as an Arrow table; raises as `span_table` does."""
    return _table(rows, _LOGS)


def sample_table(ids: list[int], times: list[int], values: list[float]) -> Any:
    """Return samples as an Arrow table; staleness markers become NULL."""
    floats: NDArray[np.float64] = np.array(values, dtype=np.float64)
    return pa.table(
        {
            "series_id": np.array(ids, dtype=np.int64),
            "t_ms": np.array(times, dtype=np.int64),
            "value": pa.array(floats, mask=is_stale(floats)),
        }
    )
