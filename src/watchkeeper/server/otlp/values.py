"""OTLP values as JSON text, the form in which attributes are kept."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from watchkeeper.errors import PayloadError
from watchkeeper.vocabulary.limits import limit

__all__ = [
    "attributes",
    "body_text",
    "label_text",
    "plain",
    "resource_text",
    "scope_text",
    "service_of",
]

_DEPTH_MAX = limit("nesting_depth_max")


def plain(value: AnyValue, depth: int = 0) -> Any:
    """Return a value as JSON can hold it; bytes become ``{"$bytes": base64}``.

    Raises:
        PayloadError: Values are nested deeper than ``nesting_depth_max``.
    """
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return value.int_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        number = value.double_value
        return number if number - number == 0 else str(number)
    if kind is None:
        return None
    if depth >= _DEPTH_MAX:
        raise PayloadError(
            f"values are nested too deeply: got more than {_DEPTH_MAX} levels. "
            f"Accepted: up to {_DEPTH_MAX}. Next: flatten the attribute."
        )
    if kind == "array_value":
        return [plain(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return {"$bytes": base64.b64encode(value.bytes_value).decode()}


def _dump(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, orjson.JSONEncodeError):
        return orjson.dumps(str(value)).decode()


def attributes(pairs: Iterable[KeyValue]) -> str:
    """Return attributes as a JSON object with sorted names."""
    return _dump({pair.key: plain(pair.value) for pair in pairs})


def body_text(body: AnyValue) -> tuple[str, bool]:
    """Return a log body as text, and whether the text is JSON made from a structured body."""
    if body.WhichOneof("value") in (None, "string_value"):
        return body.string_value, False
    value = plain(body)
    return (_dump(value), True) if isinstance(value, (dict, list)) else (_text(value), False)


def _text(value: object) -> str:
    return _dump(value).strip('"')


def label_text(value: AnyValue) -> str:
    """Return a value as the text of a Prometheus label; structured values as JSON."""
    found = plain(value)
    if isinstance(found, str):
        return found
    return "" if found is None else _dump(found)


def service_of(resource: Resource) -> str:
    """Return ``service.name``, or ``unknown_service`` as the conventions say."""
    for pair in resource.attributes:
        if pair.key == "service.name" and pair.value.string_value:
            return pair.value.string_value
    return "unknown_service"


def resource_text(resource: Resource, schema_url: str) -> str:
    """Return a resource as stored."""
    return _dump(
        {
            "attributes": {pair.key: plain(pair.value) for pair in resource.attributes},
            "dropped": resource.dropped_attributes_count,
            "schema_url": schema_url,
        }
    )


def scope_text(scope: InstrumentationScope, schema_url: str) -> str:
    """Return an instrumentation scope as stored."""
    return _dump(
        {
            "name": scope.name,
            "version": scope.version,
            "attributes": {pair.key: plain(pair.value) for pair in scope.attributes},
            "dropped": scope.dropped_attributes_count,
            "schema_url": schema_url,
        }
    )
