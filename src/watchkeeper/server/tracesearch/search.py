"""Traces found by condition, and one trace by its id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from watchkeeper.server.store.rows import SpanRow
from watchkeeper.server.store.store import Store
from watchkeeper.server.tracesearch.ast import SpansetQuery
from watchkeeper.server.tracesearch.compile import Compiler, pointer
from watchkeeper.server.tracesearch.otlp import fold
from watchkeeper.vocabulary.limits import limit

__all__ = [
    "ServiceStats",
    "TraceSummary",
    "Window",
    "search",
    "tag_names",
    "tag_values",
    "trace_by_id",
]

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class Window:
    """A range of span starts in Unix nanoseconds, inclusive; None is open."""

    start_ns: int | None = None
    end_ns: int | None = None

    def sql(self) -> str:
        """Return the range as an SQL condition on ``start_ns``."""
        parts = []
        if self.start_ns is not None:
            parts.append(f"start_ns >= {int(self.start_ns)}")
        if self.end_ns is not None:
            parts.append(f"start_ns <= {int(self.end_ns)}")
        return " AND ".join(parts) or "TRUE"


@dataclass(slots=True)
class ServiceStats:
    """How many spans of a trace one service made, and how many of them failed."""

    spans: int
    errors: int


@dataclass(slots=True)
class TraceSummary:
    """What a list of traces shows of one trace."""

    trace_id: str
    """32 hexadecimal digits."""
    start_ns: int
    end_ns: int
    matched: int
    """Spans that met the condition."""
    root_service: str = ""
    """Empty if the root span is not stored."""
    root_name: str = ""
    services: dict[str, ServiceStats] = field(default_factory=dict)
    spans: list[SpanRow] = field(default_factory=list)
    """Some of the spans that met the condition; filled on request."""


def search(
    store: Store, query: SpansetQuery, window: Window, *, limit_traces: int = 20
) -> list[TraceSummary]:
    """Return the latest traces that match.

    Args:
        store: Where to look.
        query: What to match (see `parser.parse`).
        window: Only spans that started in this range can match.
        limit_traces: Most traces to return, cut to ``search_traces_max``.

    Returns:
        Summaries, latest first. Root, services and duration cover the whole trace, also the
        part of it that lies outside the window by up to a day.
    """
    most = max(1, min(limit_traces, limit("search_traces_max")))
    start, end = window.start_ns, window.end_ns
    with store.read(
        "spans",
        None if start is None else start - _DAY_NS,
        None if end is None else end + _DAY_NS,
    ) as reader:
        table = reader.table("spans")
        compiler = Compiler(table)
        hits = compiler.traces(query, window.sql())
        rows = reader.execute(
            f"WITH hits AS MATERIALIZED ({hits} ORDER BY latest DESC, trace_id LIMIT {most}), "
            f"whole AS (SELECT DISTINCT ON (trace_id, span_id) trace_id, span_id, parent_span_id, "
            f"service, name, start_ns, end_ns, status_code FROM {table} "
            "WHERE trace_id IN (SELECT trace_id FROM hits)) "
            "SELECT lower(hex(w.trace_id)), any_value(h.matched), any_value(h.latest) AS latest, "
            "w.service, min(w.start_ns), max(w.end_ns), count(*), "
            "count_if(w.status_code = 2), "
            "arg_min(w.name, w.start_ns) FILTER (w.parent_span_id IS NULL) "
            "FROM whole w JOIN hits h ON w.trace_id = h.trace_id "
            "GROUP BY w.trace_id, w.service ORDER BY latest DESC, w.trace_id",
            compiler.parameters,
        ).fetchall()
    return _summaries(rows)


def _summaries(rows: list[tuple[Any, ...]]) -> list[TraceSummary]:
    found: dict[str, TraceSummary] = {}
    for trace_id, matched, _, service, start, end, spans, errors, root_name in rows:
        summary = found.setdefault(trace_id, TraceSummary(trace_id, start, end, matched))
        summary.start_ns = min(summary.start_ns, start)
        summary.end_ns = max(summary.end_ns, end)
        summary.services[service] = ServiceStats(spans, errors)
        if root_name is not None:
            summary.root_service, summary.root_name = service, root_name
    return list(found.values())


def trace_by_id(
    store: Store, trace_id: bytes, window: Window | None = None
) -> tuple[list[SpanRow], int]:
    """Return a trace's spans in order of start, and how many were left out by the limit.

    Args:
        store: Where to look.
        trace_id: 16 bytes.
        window: Segments to look into; all if None.
    """
    seen = window or Window()
    most = limit("trace_spans_max")
    columns = ", ".join(SpanRow._fields)
    with store.read("spans", seen.start_ns, seen.end_ns) as reader:
        rows = reader.execute(
            f"SELECT {columns} FROM {reader.table('spans')} WHERE trace_id = $id LIMIT {most + 1}",
            {"id": trace_id},
        ).fetchall()
        left_out = 0
        if len(rows) > most:
            total = reader.execute(
                f"SELECT count(DISTINCT span_id) FROM {reader.table('spans')} WHERE trace_id = $id",
                {"id": trace_id},
            ).fetchall()[0][0]
            left_out = max(0, total - most)
    return fold(rows[:most]), left_out


def tag_names(store: Store, window: Window) -> dict[str, list[str]]:
    """Return the attribute names seen, by scope ``span`` and ``resource``, sorted."""
    with store.read("spans", window.start_ns, window.end_ns) as reader:
        recent = (
            f"(SELECT attributes, resource FROM {reader.table('spans')} WHERE {window.sql()} "
            "ORDER BY start_ns DESC LIMIT 20000)"
        )
        found = {}
        for scope, keys in (
            ("span", "json_keys(attributes)"),
            ("resource", "json_keys(resource, '/attributes')"),
        ):
            rows = reader.execute(
                f"SELECT DISTINCT unnest({keys}) AS tag FROM {recent} ORDER BY tag"
            ).fetchall()
            found[scope] = [row[0] for row in rows]
    return found


_INTRINSIC_VALUES = {
    "name": "name",
    "rootName": "name",
    "rootServiceName": "service",
    "statusMessage": "status_message",
}


def tag_values(store: Store, scope: str, name: str, window: Window) -> list[tuple[str, str]]:
    """Return distinct values of a field as pairs of type and text, most frequent first.

    Args:
        store: Where to look.
        scope: ``span``, ``resource``, ``any`` or ``intrinsic``.
        name: Name of the attribute or intrinsic.
        window: Spans to look at.
    """
    if scope == "intrinsic" and name in ("status", "kind"):
        values = {
            "status": ("error", "ok", "unset"),
            "kind": ("client", "consumer", "internal", "producer", "server", "unspecified"),
        }
        return [("keyword", value) for value in values[name]]
    expressions = {
        "span": "json_extract_string(attributes, $span)",
        "resource": "json_extract_string(resource, $resource)",
        "intrinsic": _INTRINSIC_VALUES.get(name, "NULL"),
    }
    expressions["any"] = f"coalesce({expressions['span']}, {expressions['resource']})"
    expression = expressions[scope]
    params = {"span": pointer(name), "resource": pointer("attributes", name)}
    used = {key: value for key, value in params.items() if f"${key}" in expression}
    where = window.sql()
    if name in ("rootName", "rootServiceName"):
        where += " AND parent_span_id IS NULL"
    with store.read("spans", window.start_ns, window.end_ns) as reader:
        rows = reader.execute(
            f"SELECT {expression} AS value, count(*) AS n FROM {reader.table('spans')} "
            f"WHERE {where} GROUP BY value HAVING value IS NOT NULL "
            "ORDER BY n DESC, value LIMIT 1000",
            used,
        ).fetchall()
    return [("string", row[0]) for row in rows]
