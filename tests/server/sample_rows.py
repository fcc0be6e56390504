"""Spans and log records for tests, with everything not under test filled in."""

from __future__ import annotations

from typing import Any

import orjson

from watchkeeper.server.store.rows import LogRow, SpanRow

NOON_NS = 1_767_268_800_000_000_000
"""2026-01-01T12:00:00Z."""
SECOND_NS = 1_000_000_000
_SCOPE = '{"attributes":{},"dropped":0,"name":"tests","schema_url":"","version":"1"}'


def _resource(service: str, attributes: dict[str, Any]) -> str:
    value = {
        "attributes": {"service.name": service, **attributes},
        "dropped": 0,
        "schema_url": "",
    }
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def span(
    trace: int,
    number: int,
    *,
    parent: int | None = None,
    service: str = "api",
    name: str = "GET /",
    kind: int = 2,
    start_s: float = 0.0,
    duration_s: float = 0.1,
    status: int = 0,
    resource: dict[str, Any] | None = None,
    events: list[dict[str, Any]] | None = None,
    **attributes: Any,
) -> SpanRow:
    """Return a span; ``__`` in an attribute's name stands for a dot, times count from noon."""
    start_ns = NOON_NS + round(start_s * SECOND_NS)
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return SpanRow(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=None if parent is None else parent.to_bytes(8, "big"),
        trace_state="",
        flags=1,
        name=name,
        kind=kind,
        start_ns=start_ns,
        end_ns=start_ns + round(duration_s * SECOND_NS),
        status_code=status,
        status_message="",
        service=service,
        attributes=orjson.dumps(named).decode(),
        events=orjson.dumps(events or []).decode(),
        links="[]",
        dropped="[0,0,0]",
        resource=_resource(service, resource or {}),
        scope=_SCOPE,
    )


def record(
    body: str,
    *,
    at_s: float = 0.0,
    service: str = "api",
    severity: int = 9,
    trace: int | None = None,
    resource: dict[str, Any] | None = None,
    **attributes: Any,
) -> LogRow:
    """Return a log record; ``__`` in an attribute's name stands for a dot."""
    time_ns = NOON_NS + round(at_s * SECOND_NS)
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return LogRow(
        time_ns=time_ns,
        observed_ns=time_ns,
        severity_number=severity,
        severity_text="",
        body=body,
        body_json=False,
        trace_id=None if trace is None else trace.to_bytes(16, "big"),
        span_id=None,
        flags=0,
        event_name="",
        service=service,
        attributes=orjson.dumps(named).decode(),
        dropped=0,
        resource=_resource(service, resource or {}),
        scope=_SCOPE,
    )
