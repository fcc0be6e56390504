"""Rows turned into Arrow tables, the fastest way into DuckDB (docs/decisions/bulk-insert.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.server.store.rows import LogRow, SpanRow

__all__ = ["log_table", "sample_table", "span_table"]

_TYPES = {
    "BLOB": pa.binary(),
    "VARCHAR": pa.string(),
    "UINTEGER": pa.uint32(),
    "UTINYINT": pa.uint8(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
}
_SPAN_TYPES = (
    "BLOB BLOB BLOB VARCHAR UINTEGER VARCHAR UTINYINT BIGINT BIGINT UTINYINT VARCHAR VARCHAR "
    "VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR"
).split()
_LOG_TYPES = (
    "BIGINT BIGINT UTINYINT VARCHAR VARCHAR BOOLEAN BLOB BLOB UINTEGER VARCHAR VARCHAR VARCHAR "
    "UINTEGER VARCHAR VARCHAR"
).split()
_SPANS = pa.schema([(n, _TYPES[t]) for n, t in zip(SpanRow._fields, _SPAN_TYPES, strict=True)])
_LOGS = pa.schema([(n, _TYPES[t]) for n, t in zip(LogRow._fields, _LOG_TYPES, strict=True)])


def _table(rows: Sequence[tuple[Any, ...]], schema: Any) -> Any:  # noqa: ANN401 - pyarrow is untyped
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(column, type=entry.type) for column, entry in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def span_table(rows: Sequence[SpanRow]) -> Any:  # noqa: ANN401 - pyarrow is untyped
    """Return *rows*, at least one, as an Arrow table.

    Raises:
        ValueError, TypeError, OverflowError, pyarrow.ArrowException: A value does not fit.
    """
    return _table(rows, _SPANS)


def log_table(rows: Sequence[LogRow]) -> Any:  # noqa: ANN401 - pyarrow is untyped
    """Return *rows*, at least one, as an Arrow table; raises as `span_table` does."""
    return _table(rows, _LOGS)


def sample_table(ids: list[int], times: list[int], values: list[float]) -> Any:  # noqa: ANN401 - pyarrow is untyped
    """Return samples as an Arrow table; the payload of a NaN is kept."""
    floats: NDArray[np.float64] = np.array(values, dtype=np.float64)
    return pa.table(
        {
            "series_id": np.array(ids, dtype=np.int64),
            "t_ms": np.array(times, dtype=np.int64),
            "value": floats,
        }
    )
