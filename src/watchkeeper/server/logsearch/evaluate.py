"""Log queries answered: lines, and numbers made from lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import QueryLimitError
from watchkeeper.server.logsearch.ast import Aggregation, LogQuery, RangeAggregation
from watchkeeper.server.logsearch.labels import stream_labels
from watchkeeper.server.logsearch.scan import COLUMNS, Kept, Scan
from watchkeeper.server.store.reader import Reader
from watchkeeper.server.store.store import Store
from watchkeeper.vocabulary.limits import limit

__all__ = ["Numbers", "evaluate", "lines", "streams"]

Floats = NDArray[np.float64]
LabelSet = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Numbers:
    """Series over the steps of a query; NaN where a series has no value."""

    series: dict[LabelSet, Floats]


def lines(
    store: Store, query: LogQuery, start_ns: int, end_ns: int, *, most: int, forward: bool
) -> list[Kept]:
    """Return at most *most* lines of ``[start_ns, end_ns)``, newest first unless *forward*."""
    scan = Scan(query, start_ns, end_ns)
    order = "ASC" if forward else "DESC"
    cut = f"LIMIT {most}" if scan.exact else ""
    with store.read("logs", start_ns, end_ns) as reader:
        cursor = reader.execute(
            f"SELECT {COLUMNS} FROM {reader.table('logs')} WHERE {scan.where} "
            f"ORDER BY time_ns {order} {cut}",
            scan.params,
        )
        return list(islice(scan.keep(_rows(cursor)), most))


def _rows(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while chunk := cursor.fetchmany(2000):
        yield from chunk


def streams(store: Store, query: LogQuery, start_ns: int, end_ns: int) -> list[dict[str, str]]:
    """Return the label sets of the streams that have lines in the range."""
    scan = Scan(query, start_ns, end_ns)
    with store.read("logs", start_ns, end_ns) as reader:
        rows = reader.execute(
            "SELECT DISTINCT service, severity_number, resource "
            f"FROM {reader.table('logs')} WHERE {scan.where}",
            scan.params,
        ).fetchall()
    found = {tuple(sorted(stream_labels(*row).items())) for row in rows}
    return [dict(labels) for labels in sorted(found) if scan.keeps_stream(dict(labels))]


def evaluate(
    store: Store, query: RangeAggregation | Aggregation, steps_ns: NDArray[np.int64]
) -> Numbers:
    """Return the values of a metric query at each of *steps_ns* (Unix nanoseconds, ascending).

    Raises:
        QueryLimitError: There are more steps than ``query_points_max``.
    """
    most = limit("query_points_max")
    if len(steps_ns) > most:
        raise QueryLimitError(
            f"too many points: got {len(steps_ns)}. Accepted: up to {most} for each series. "
            "Next: use a longer step."
        )
    if isinstance(query, RangeAggregation):
        return _range(store, query, steps_ns, None)
    inner = query.inner
    if isinstance(inner, RangeAggregation):
        needed = None if query.without or query.op in ("topk", "bottomk") else query.grouping or ()
        return _aggregate(query, _range(store, inner, steps_ns, needed))
    assert isinstance(inner, Aggregation)  # noqa: S101 - the parser refuses lines here
    return _aggregate(query, evaluate(store, inner, steps_ns))


def _range(
    store: Store,
    query: RangeAggregation,
    steps_ns: NDArray[np.int64],
    needed: tuple[str, ...] | None,
) -> Numbers:
    """Count lines or bytes in ``(t - range, t]``; *needed* names the labels to keep, None all."""
    ends = steps_ns - query.offset_ns
    start, end = int(ends[0]) - query.range_ns + 1, int(ends[-1]) + 1
    scan = Scan(query.query, start, end)
    by_bytes = query.function.startswith("bytes")
    by_stream = scan.exact_by_stream and (needed is None or set(needed) <= _STREAM_ONLY)
    with store.read("logs", start, end) as reader:
        gather = _by_stream if by_stream else _by_line
        groups = gather(reader, scan, needed, by_bytes=by_bytes)
    numbers = Numbers({})
    for labels, (stamps, weights) in groups.items():
        order = np.argsort(stamps, kind="stable")
        times = stamps[order]
        total = np.concatenate(([0.0], np.cumsum(weights[order])))
        upper = np.searchsorted(times, ends, side="right")
        lower = np.searchsorted(times, ends - query.range_ns, side="right")
        values = np.where(upper > lower, total[upper] - total[lower], np.nan)
        if query.function in ("rate", "bytes_rate"):
            values = values / (query.range_ns / 1e9)
        if not np.isnan(values).all():
            numbers.series[labels] = values
    return numbers


_STREAM_ONLY = {"service_name", "level"}
_Groups = dict[LabelSet, tuple[NDArray[np.int64], Floats]]


def _by_stream(
    reader: Reader, scan: Scan, needed: tuple[str, ...] | None, *, by_bytes: bool
) -> _Groups:
    """Let SQL gather times by stream: no line is looked at one by one."""
    weights = ", list(octet_length(encode(body)))" if by_bytes else ""
    rows = reader.execute(
        f"SELECT service, severity_number, resource, list(time_ns){weights} "
        f"FROM {reader.table('logs')} WHERE {scan.where} "
        "GROUP BY service, severity_number, resource",
        scan.params,
    ).fetchall()
    found: dict[LabelSet, list[tuple[NDArray[np.int64], Floats]]] = {}
    for service, severity, resource, times, *sizes in rows:
        labels = stream_labels(service, severity, resource)
        if not scan.keeps_stream(labels):
            continue
        stamps = np.array(times, dtype=np.int64)
        size = np.array(sizes[0], dtype=np.float64) if sizes else np.ones(len(stamps))
        found.setdefault(_pick(labels, needed), []).append((stamps, size))
    return {
        labels: (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
        for labels, parts in found.items()
    }


def _by_line(
    reader: Reader, scan: Scan, needed: tuple[str, ...] | None, *, by_bytes: bool
) -> _Groups:
    cursor = reader.execute(
        f"SELECT {COLUMNS} FROM {reader.table('logs')} WHERE {scan.where}", scan.params
    )
    found: dict[LabelSet, tuple[list[int], list[float]]] = {}
    for kept in scan.keep(_rows(cursor)):
        if needed is None:
            labels = tuple(sorted({**kept.stream, **kept.parsed}.items()))
        else:
            labels = tuple((name, kept.get(name)) for name in sorted(needed) if kept.get(name))
        times, weights = found.setdefault(labels, ([], []))
        times.append(kept.line.time_ns)
        weights.append(float(len(kept.line.body.encode())) if by_bytes else 1.0)
    return {
        labels: (np.array(times, dtype=np.int64), np.array(weights, dtype=np.float64))
        for labels, (times, weights) in found.items()
    }


def _pick(labels: dict[str, str], needed: tuple[str, ...] | None) -> LabelSet:
    names = labels if needed is None else needed
    return tuple((name, labels[name]) for name in sorted(names) if labels.get(name))


def _aggregate(query: Aggregation, inner: Numbers) -> Numbers:
    groups: dict[LabelSet, list[tuple[LabelSet, Floats]]] = {}
    for labels, values in inner.series.items():
        groups.setdefault(_group(query, labels), []).append((labels, values))
    result = Numbers({})
    for group, members in groups.items():
        stacked = np.stack([values for _, values in members])
        if query.op in ("topk", "bottomk"):
            result.series |= _extreme(query, members, stacked)
            continue
        result.series[group] = _reduce(query.op, stacked)
    return result


def _reduce(op: str, stacked: Floats) -> Floats:
    """Fold series into one; NaN only where every one of them is."""
    present = ~np.isnan(stacked)
    count = present.sum(axis=0).astype(np.float64)
    if op == "min":
        values = np.where(present, stacked, np.inf).min(axis=0)
    elif op == "max":
        values = np.where(present, stacked, -np.inf).max(axis=0)
    elif op == "count":
        values = count
    else:
        values = np.where(present, stacked, 0.0).sum(axis=0)
        if op == "avg":
            values = values / np.maximum(count, 1)
    folded: Floats = np.where(count > 0, values, np.nan)
    return folded


def _group(query: Aggregation, labels: LabelSet) -> LabelSet:
    names = query.grouping or ()
    if query.without:
        return tuple(pair for pair in labels if pair[0] not in names)
    return tuple(pair for pair in labels if pair[0] in names)


def _extreme(
    query: Aggregation, members: list[tuple[LabelSet, Floats]], stacked: Floats
) -> dict[LabelSet, Floats]:
    """Keep, at every step, the *parameter* largest or smallest values."""
    sign = -1.0 if query.op == "topk" else 1.0
    ranked = np.where(np.isnan(stacked), np.inf, sign * stacked)
    order = np.argsort(ranked, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    chosen = np.where(rank < (query.parameter or 0), stacked, np.nan)
    return {
        labels: row
        for (labels, _), row in zip(members, chosen, strict=True)
        if not np.isnan(row).all()
    }
