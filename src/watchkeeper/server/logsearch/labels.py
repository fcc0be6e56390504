"""Which part of a log record is a stream label, and which is structured metadata.

Follows what Loki does with OTLP: some resource attributes become stream labels, everything else
stays beside the line (Grafana Loki documentation, "Ingesting logs to Loki using OpenTelemetry").
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from watchkeeper.vocabulary.model import label_name

__all__ = ["Line", "severity_level", "stream_labels", "structured_metadata"]

_STREAM_ATTRIBUTES = (
    "service.namespace",
    "service.instance.id",
    "deployment.environment.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "cloud.region",
)
_LEVELS = ("unknown", "trace", "debug", "info", "warn", "error", "fatal")


class Line(NamedTuple):
    """A stored record as a log query sees it."""

    time_ns: int
    body: str
    service: str
    severity_number: int
    severity_text: str
    resource: str
    scope: str
    attributes: str
    trace_id: str
    """Hexadecimal, empty if none."""
    span_id: str
    event_name: str


def severity_level(number: int) -> str:
    """Return the level of an OTLP severity number: 9 to 12 are ``info``."""
    return _LEVELS[min(6, (number + 3) // 4)] if number > 0 else "unknown"


@lru_cache(maxsize=4096)
def _resource_labels(resource: str) -> tuple[dict[str, str], dict[str, str]]:
    attributes = orjson.loads(resource).get("attributes", {})
    stream: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for name, value in attributes.items():
        if name == "service.name":
            continue
        target = stream if name in _STREAM_ATTRIBUTES else metadata
        target[label_name(name)] = _text(value)
    return stream, metadata


@lru_cache(maxsize=16384)
def stream_labels(service: str, severity_number: int, resource: str) -> dict[str, str]:
    """Return the labels of the stream that a record belongs to; do not change the result."""
    stream, _ = _resource_labels(resource)
    return {"service_name": service, "level": severity_level(severity_number), **stream}


def structured_metadata(line: Line) -> dict[str, str]:
    """Return everything of a record that is neither its line nor a stream label."""
    _, metadata = _resource_labels(line.resource)
    found = dict(metadata)
    scope = orjson.loads(line.scope)
    if scope.get("name"):
        found["scope_name"] = scope["name"]
    if line.severity_text:
        found["severity_text"] = line.severity_text
    if line.severity_number:
        found["severity_number"] = str(line.severity_number)
    if line.event_name:
        found["event_name"] = line.event_name
    for name, value in orjson.loads(line.attributes).items():
        found[label_name(name)] = _text(value)
    if line.trace_id:
        found["trace_id"] = line.trace_id
    if line.span_id:
        found["span_id"] = line.span_id
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
