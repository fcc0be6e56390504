"""Query results as the JSON of the Prometheus HTTP API."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from watchkeeper.server.promql.engine import Result
from watchkeeper.server.promql.numbers import sample_text
from watchkeeper.server.promql.values import Floats, Ints
from watchkeeper.server.series import Series

__all__ = ["failure", "query_answer", "success"]


def success(data: object, warnings: tuple[str, ...] = ()) -> bytes:
    """Return the body of a successful answer."""
    body: dict[str, Any] = {"status": "success", "data": data}
    if warnings:
        body["warnings"] = warnings
    return orjson.dumps(body)


def failure(kind: str, message: str) -> bytes:
    """Return the body of an error."""
    return orjson.dumps({"status": "error", "errorType": kind, "error": message})


def query_answer(result: Result, *, limit: int, stats: dict[str, Any] | None) -> bytes:
    """Return the body for a query's result, cut to *limit* series unless that is zero.

    Samples are written by hand: a result has many, and each is a number and a quoted number.
    """
    warnings = list(result.warnings)
    series = result.series
    if 0 < limit < len(series):
        series = series[:limit]
        warnings.append("results truncated due to limit")
    pieces = [b'{"status":"success","data":{"resultType":"', result.type.encode(), b'","result":']
    if isinstance(result.data, list):
        one = _vector if result.type == "vector" else _Matrix().series
        pieces += [b"[", b",".join(one(entry) for entry in series), b"]"]
    else:
        t_ms, value = result.data
        text = value if isinstance(value, str) else sample_text(value)
        pieces += [b"[", _moment(t_ms).encode(), b",", orjson.dumps(text), b"]"]
    if stats is not None:
        pieces += [b',"stats":', orjson.dumps(stats)]
    pieces.append(b"}")
    if warnings:
        pieces += [b',"warnings":', orjson.dumps(warnings)]
    if result.infos:
        pieces += [b',"infos":', orjson.dumps(result.infos)]
    pieces.append(b"}")
    return b"".join(pieces)


def _moment(t_ms: int) -> str:
    whole, rest = divmod(abs(t_ms), 1000)
    sign = "-" if t_ms < 0 else ""
    return f"{sign}{whole}.{rest:03d}".rstrip("0") if rest else f"{sign}{whole}"


def _vector(one: Series) -> bytes:
    sample = f'"value":[{_moment(int(one.t_ms[0]))},"{sample_text(float(one.values[0]))}"]}}'
    return b'{"metric":' + orjson.dumps(dict(one.labels)) + b"," + sample.encode()


class _Matrix:
    """Writes series; those without gaps share the text of their steps."""

    def __init__(self) -> None:
        self._times: Ints | None = None
        self._texts: list[str] = []

    def series(self, one: Series) -> bytes:
        if self._times is not one.t_ms:
            self._times = one.t_ms
            self._texts = [f'[{_moment(t)},"' for t in one.t_ms.tolist()]
        samples = '"],'.join(map(str.__add__, self._texts, _texts(one.values)))
        return b"".join(
            (
                b'{"metric":',
                orjson.dumps(dict(one.labels)),
                b',"values":[',
                samples.encode(),
                b'"]]}' if len(one.values) else b"]}",
            )
        )


def _texts(values: Floats) -> list[str]:
    with np.errstate(all="ignore"):
        whole = np.rint(values)
        integral = bool(((values == whole) & (np.abs(values) < 1e15)).all())
    if integral and not np.signbit(values[values == 0]).any():
        return [str(value) for value in whole.astype(np.int64).tolist()]
    return [sample_text(value) for value in values.tolist()]
