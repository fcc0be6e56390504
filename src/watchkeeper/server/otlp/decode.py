"""OTLP request messages into rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from watchkeeper.server.otlp.values import (
    attributes,
    body_text,
    plain,
    resource_text,
    scope_text,
    service_of,
)
from watchkeeper.server.store.rows import LogRow, SpanRow

__all__ = ["NOT_NOW", "NO_ID", "log_rows", "span_rows"]

_TIME_NS_MAX = 2**63 - 1


def _time(nanoseconds: int) -> int:
    return min(nanoseconds, _TIME_NS_MAX)


def _id(value: bytes, length: int) -> bytes | None:
    return value if len(value) == length and any(value) else None


def _pairs(source: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in source}


NO_ID = "no valid trace id (16 bytes) and span id (8 bytes)"
NOT_NOW = "the time is too old or lies in the future"


def span_rows(
    request: ExportTraceServiceRequest, window_ns: tuple[int, int]
) -> tuple[list[SpanRow], Counter[str]]:
    """Return the spans of a request, and how many were refused by reason.

    A span that ends before it starts is kept with its end set to its start.

    Args:
        request: The decoded request.
        window_ns: Oldest and newest start that is accepted, Unix nanoseconds.
    """
    rows: list[SpanRow] = []
    refused: Counter[str] = Counter()
    oldest, newest = window_ns
    for group in request.resource_spans:
        resource = resource_text(group.resource, group.schema_url)
        service = service_of(group.resource)
        for scoped in group.scope_spans:
            scope = scope_text(scoped.scope, scoped.schema_url)
            for span in scoped.spans:
                if _id(span.trace_id, 16) is None or _id(span.span_id, 8) is None:
                    refused[NO_ID] += 1
                    continue
                if not oldest <= span.start_time_unix_nano <= newest:
                    refused[NOT_NOW] += 1
                    continue
                rows.append(_span(span, service, resource, scope))
    return rows, refused


def _span(span: Span, service: str, resource: str, scope: str) -> SpanRow:
    start_ns = _time(span.start_time_unix_nano)
    return SpanRow(
        span.trace_id,
        span.span_id,
        _id(span.parent_span_id, 8),
        span.trace_state,
        span.flags,
        span.name,
        span.kind if 0 <= span.kind <= 5 else 0,
        start_ns,
        max(start_ns, _time(span.end_time_unix_nano)),
        span.status.code if 0 <= span.status.code <= 2 else 0,
        span.status.message,
        service,
        attributes(span.attributes),
        _events(span) if span.events else "[]",
        _links(span) if span.links else "[]",
        f"[{span.dropped_attributes_count},{span.dropped_events_count},{span.dropped_links_count}]",
        resource,
        scope,
    )


def _events(span: Span) -> str:
    return orjson.dumps(
        [
            {
                "t": event.time_unix_nano,
                "name": event.name,
                "attributes": _pairs(event.attributes),
                "dropped": event.dropped_attributes_count,
            }
            for event in span.events
        ]
    ).decode()


def _links(span: Span) -> str:
    return orjson.dumps(
        [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "trace_state": link.trace_state,
                "flags": link.flags,
                "attributes": _pairs(link.attributes),
                "dropped": link.dropped_attributes_count,
            }
            for link in span.links
        ]
    ).decode()


def log_rows(
    request: ExportLogsServiceRequest, now_ns: int, window_ns: tuple[int, int]
) -> tuple[list[LogRow], Counter[str]]:
    """Return the log records of a request, and how many were refused by reason.

    Args:
        request: The decoded request.
        now_ns: Unix nanoseconds; the time of records that have none.
        window_ns: Oldest and newest time that is accepted, Unix nanoseconds.
    """
    rows: list[LogRow] = []
    for group in request.resource_logs:
        resource = resource_text(group.resource, group.schema_url)
        service = service_of(group.resource)
        for scoped in group.scope_logs:
            scope = scope_text(scoped.scope, scoped.schema_url)
            rows += [_record(r, now_ns, service, resource, scope) for r in scoped.log_records]
    oldest, newest = window_ns
    timely = [row for row in rows if oldest <= row.time_ns <= newest]
    refused = len(rows) - len(timely)
    return timely, Counter({NOT_NOW: refused} if refused else {})


def _record(record: LogRecord, now_ns: int, service: str, resource: str, scope: str) -> LogRow:
    observed_ns = _time(record.observed_time_unix_nano) or now_ns
    body, structured = body_text(record.body)
    return LogRow(
        _time(record.time_unix_nano) or observed_ns,
        observed_ns,
        min(max(record.severity_number, 0), 24),
        record.severity_text,
        body,
        structured,
        _id(record.trace_id, 16),
        _id(record.span_id, 8),
        record.flags,
        record.event_name,
        service,
        attributes(record.attributes),
        record.dropped_attributes_count,
        resource,
        scope,
    )
