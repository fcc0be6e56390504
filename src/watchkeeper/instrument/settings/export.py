"""The settings of the export: where spans and logs go, how, and how much may wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.row import limit_row, row

__all__ = ["ExportSettings"]


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """The part of the table that the recorder and its exporters read."""

    endpoint: str = row(
        "http://127.0.0.1:4318",
        "OTLP/HTTP endpoint without `/v1/…`; empty sends nothing.",
        parse.endpoint,
        "WATCHKEEPER_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    headers: Mapping[str, str] = row(
        MappingProxyType({}),
        "HTTP headers of every export, `name=value,…`.",
        parse.pairs,
        "WATCHKEEPER_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
        secret=True,
    )
    spool_dir: str = row(
        "",
        "Directory for telemetry that waits for its endpoint; empty is one per user.",
        parse.text,
        "WATCHKEEPER_SPOOL_DIR",
    )
    export_interval_s: float = row(
        1.0,
        "Seconds between exports.",
        parse.positive,
        "WATCHKEEPER_EXPORT_INTERVAL_S",
    )
    export_timeout_s: float = row(
        10.0,
        "Seconds that one export request may take.",
        parse.positive,
        "WATCHKEEPER_EXPORT_TIMEOUT_S",
    )
    span_queue_items_max: int = limit_row("span_queue_items_max", "OTEL_BSP_MAX_QUEUE_SIZE")
    log_queue_items_max: int = limit_row("log_queue_items_max", "OTEL_BLRP_MAX_QUEUE_SIZE")
    span_attributes_max: int = limit_row("span_attributes_max", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
    span_events_max: int = limit_row("span_events_max", "OTEL_SPAN_EVENT_COUNT_LIMIT")
    span_links_max: int = limit_row("span_links_max", "OTEL_SPAN_LINK_COUNT_LIMIT")
    attribute_value_chars_max: int = limit_row(
        "attribute_value_chars_max", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
    )
    batch_items_max: int = limit_row("batch_items_max", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    spool_bytes_max: int = limit_row("spool_bytes_max")
