"""Stored spans back into the OpenTelemetry trace messages they came from."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
    TracesData,
)

from watchkeeper.server.store.rows import SpanRow

__all__ = ["fold", "traces_data"]


def fold(rows: Iterable[Sequence[Any]]) -> list[SpanRow]:
    """Return one row for each span id, in order of start; the first of equal spans stays."""
    kept: dict[tuple[bytes, bytes], SpanRow] = {}
    for row in rows:
        span = SpanRow(*row)
        kept.setdefault((span.trace_id, span.span_id), span)
    return sorted(kept.values(), key=lambda span: (span.start_ns, span.span_id))


def traces_data(spans: Iterable[SpanRow]) -> TracesData:
    """Return *spans* as one message, grouped by resource and scope as they were sent."""
    data = TracesData()
    resources: dict[str, ResourceSpans] = {}
    scopes: dict[tuple[str, str], ScopeSpans] = {}
    for row in spans:
        if row.resource not in resources:
            resources[row.resource] = data.resource_spans.add()
            _fill_resource(resources[row.resource], row.resource)
        key = (row.resource, row.scope)
        if key not in scopes:
            scopes[key] = resources[row.resource].scope_spans.add()
            _fill_scope(scopes[key], row.scope)
        scopes[key].spans.append(_span(row))
    return data


def _fill_resource(target: ResourceSpans, text: str) -> None:
    source = orjson.loads(text)
    target.resource.CopyFrom(
        Resource(
            attributes=_attributes(source.get("attributes", {})),
            dropped_attributes_count=source.get("dropped", 0),
        )
    )
    target.schema_url = source.get("schema_url", "")


def _fill_scope(target: ScopeSpans, text: str) -> None:
    source = orjson.loads(text)
    target.scope.CopyFrom(
        InstrumentationScope(
            name=source.get("name", ""),
            version=source.get("version", ""),
            attributes=_attributes(source.get("attributes", {})),
            dropped_attributes_count=source.get("dropped", 0),
        )
    )
    target.schema_url = source.get("schema_url", "")


def _span(row: SpanRow) -> Span:
    dropped = orjson.loads(row.dropped)
    return Span(
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_span_id=row.parent_span_id or b"",
        trace_state=row.trace_state,
        flags=row.flags,
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type] # an enum is a number on the wire
        start_time_unix_nano=row.start_ns,
        end_time_unix_nano=row.end_ns,
        attributes=_attributes(orjson.loads(row.attributes)),
        dropped_attributes_count=dropped[0],
        dropped_events_count=dropped[1],
        dropped_links_count=dropped[2],
        events=[
            Span.Event(
                time_unix_nano=event["t"],
                name=event["name"],
                attributes=_attributes(event["attributes"]),
                dropped_attributes_count=event["dropped"],
            )
            for event in orjson.loads(row.events)
        ],
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link["trace_id"]),
                span_id=bytes.fromhex(link["span_id"]),
                trace_state=link["trace_state"],
                flags=link["flags"],
                attributes=_attributes(link["attributes"]),
                dropped_attributes_count=link["dropped"],
            )
            for link in orjson.loads(row.links)
        ],
        status=Status(code=row.status_code, message=row.status_message),  # type: ignore[arg-type] # likewise
    )


def _attributes(source: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in source.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    result = AnyValue()
    if isinstance(value, list):
        result.array_value.values.extend(_value(item) for item in value)
        result.array_value.SetInParent()
    elif isinstance(value, dict) and set(value) == {"$bytes"}:
        result.bytes_value = base64.b64decode(value["$bytes"])
    elif isinstance(value, dict):
        result.kvlist_value.values.extend(_attributes(value))
        result.kvlist_value.SetInParent()
    return result
