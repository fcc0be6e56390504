"""What is handed to the store for keeping. Field order equals column order in `schema`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from watchkeeper.server.series import Exemplar, Labels

__all__ = ["Batch", "Family", "LogRow", "Sample", "SpanRow"]


class SpanRow(NamedTuple):
    """One span. JSON columns hold compact JSON text with sorted keys."""

    trace_id: bytes
    """16 bytes."""
    span_id: bytes
    """8 bytes."""
    parent_span_id: bytes | None
    """8 bytes, or None for a root."""
    trace_state: str
    flags: int
    name: str
    kind: int
    """OTLP SpanKind: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer."""
    start_ns: int
    """Unix nanoseconds; decides which day's segment keeps the span."""
    end_ns: int
    status_code: int
    """OTLP StatusCode: 0 unset, 1 ok, 2 error."""
    status_message: str
    service: str
    """``service.name`` of the resource, or ``unknown_service``."""
    attributes: str
    """JSON object: attribute name to string, number, boolean, array or object; bytes as base64."""
    events: str
    """JSON array of ``{"t": unix ns, "name", "attributes", "dropped"}``; ``[]`` if none."""
    links: str
    """JSON array of ``{"trace_id": hex, "span_id": hex, "trace_state", "flags", "attributes", "dropped"}``."""
    dropped: str
    """JSON array ``[attributes, events, links]`` of the sender's drop counts."""
    resource: str
    """JSON object ``{"attributes": {…}, "dropped": n, "schema_url": …}``."""
    scope: str
    """JSON object ``{"name", "version", "attributes", "dropped", "schema_url"}``."""


class LogRow(NamedTuple):
    """One log record."""

    time_ns: int
    """Unix nanoseconds; the observed time if the record has none. Decides the segment."""
    observed_ns: int
    severity_number: int
    """OTLP SeverityNumber, 0 to 24."""
    severity_text: str
    body: str
    """Text of the body; JSON if the body is not a string."""
    body_json: bool
    """Whether *body* is JSON made from a structured body."""
    trace_id: bytes | None
    span_id: bytes | None
    flags: int
    event_name: str
    service: str
    attributes: str
    dropped: int
    resource: str
    scope: str


class Sample(NamedTuple):
    """One sample of one series."""

    labels: Labels
    t_ms: int
    value: float


class Family(NamedTuple):
    """Metadata of a metric family, as exposed."""

    name: str
    type: str
    """``counter``, ``gauge``, ``histogram``, ``summary``, ``info``, ``stateset`` or ``unknown``."""
    help: str
    unit: str


@dataclass(slots=True)
class Batch:
    """What one request or one scrape brought: kept whole or not at all."""

    digest: bytes = b""
    """BLAKE2b (16 bytes) of the decompressed request body; a batch whose digest was committed
    before is acknowledged and not stored again. Empty: never folded (scrapes)."""
    spans: list[SpanRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)
    size_bytes: int = 0
    """Decoded size, counted against ``ingest_queue_bytes_max``."""
