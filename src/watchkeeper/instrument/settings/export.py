"""The settings of the export: where spans and logs go, how, and how much may wait.

Names and defaults of the ``OTEL_`` variables: OpenTelemetry specification 1.x, "OpenTelemetry
Protocol Exporter" and "Environment Variable Specification".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import Any, TypedDict

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.redaction import RedactionSettings
from watchkeeper.instrument.settings.row import limit_row, row

__all__ = ["ExportArguments", "ExportSettings"]

_OFF = False
_NONE: Mapping[str, str] = MappingProxyType({})
_protocol = parse.one_of("http/protobuf", "grpc")
_compression = parse.one_of("auto", "gzip", "none")


def _for(signal: str, default: object, brief: str, parser: Any, name: str, *otel: Any) -> Any:
    return row(
        default,
        f"{brief} Of {signal}; empty is the common one.",
        parser,
        f"WATCHKEEPER_{signal.upper()}_{name.upper()}",
        *otel,
        secret=name == "headers",
    )


@dataclass(frozen=True, slots=True)
class ExportSettings(RedactionSettings):
    """The part of the table that the recorder and its exporters read."""

    endpoint: str = row(
        "http://127.0.0.1:4318",
        "OTLP endpoint without `/v1/…`; empty sends nothing. With gRPC the default port is 4317.",
        parse.endpoint,
        "WATCHKEEPER_ENDPOINT",
        ("OTEL_EXPORTER_OTLP_ENDPOINT", parse.otlp_endpoint),
    )
    protocol: str = row(
        "http/protobuf",
        "`http/protobuf`, or `grpc` with the extra `watchkeeper[grpc]`.",
        _protocol,
        "WATCHKEEPER_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    )
    headers: Mapping[str, str] = row(
        _NONE,
        "Headers (gRPC: metadata) of every export, `name=value,…`, percent-encoded.",
        parse.pairs,
        "WATCHKEEPER_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
        secret=True,
    )
    headers_file: str = row(
        "",
        "File with further headers, one `name: value` a line; `headers` wins.",
        parse.text,
        "WATCHKEEPER_HEADERS_FILE",
    )
    certificate: str = row(
        "",
        "PEM file with the authorities that the endpoint's certificate is checked against.",
        parse.text,
        "WATCHKEEPER_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    )
    client_certificate: str = row(
        "",
        "PEM file with the certificate chain that this client shows; needs `client_key`.",
        parse.text,
        "WATCHKEEPER_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    )
    client_key: str = row(
        "",
        "PEM file with the key of `client_certificate`.",
        parse.text,
        "WATCHKEEPER_CLIENT_KEY",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    )
    insecure: bool = row(
        _OFF,
        "Whether a gRPC endpoint given without a scheme is spoken to without TLS.",
        parse.boolean,
        "WATCHKEEPER_INSECURE",
        "OTEL_EXPORTER_OTLP_INSECURE",
    )
    compression: str = row(
        "auto",
        "`gzip`, `none`, or `auto`: gzip unless the endpoint is on this machine.",
        _compression,
        "WATCHKEEPER_COMPRESSION",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    )
    export_timeout_s: float = row(
        10.0,
        "Seconds that one export request may take.",
        parse.positive,
        "WATCHKEEPER_EXPORT_TIMEOUT_S",
        ("OTEL_EXPORTER_OTLP_TIMEOUT", parse.milliseconds),
    )
    export_interval_s: float = row(
        1.0,
        "Seconds between exports.",
        parse.positive,
        "WATCHKEEPER_EXPORT_INTERVAL_S",
        ("OTEL_BSP_SCHEDULE_DELAY", parse.milliseconds),
        ("OTEL_BLRP_SCHEDULE_DELAY", parse.milliseconds),
    )
    traces_exporter: tuple[str, ...] = row(
        ("otlp",),
        "Where spans go: `otlp`, `console` (a JSON line each on the standard output), both, "
        "or `none`.",
        parse.exporters,
        "WATCHKEEPER_TRACES_EXPORTER",
        "OTEL_TRACES_EXPORTER",
    )
    logs_exporter: tuple[str, ...] = row(
        ("otlp",),
        "Where log records go beside the log stream: `otlp`, or `none`; `console` is the log "
        "stream itself.",
        parse.exporters,
        "WATCHKEEPER_LOGS_EXPORTER",
        "OTEL_LOGS_EXPORTER",
    )
    traces_endpoint: str = _for(
        "traces",
        "",
        "Whole URL, used as it is.",
        parse.signal_endpoint,
        "endpoint",
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", parse.signal_otlp_endpoint),
    )
    logs_endpoint: str = _for(
        "logs",
        "",
        "Whole URL, used as it is.",
        parse.signal_endpoint,
        "endpoint",
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", parse.signal_otlp_endpoint),
    )
    traces_protocol: str = _for(
        "traces", "", "As `protocol`.", _protocol, "protocol", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    )
    logs_protocol: str = _for(
        "logs", "", "As `protocol`.", _protocol, "protocol", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"
    )
    traces_headers: Mapping[str, str] = _for(
        "traces",
        _NONE,
        "As `headers`.",
        parse.pairs,
        "headers",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    )
    logs_headers: Mapping[str, str] = _for(
        "logs", _NONE, "As `headers`.", parse.pairs, "headers", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"
    )
    traces_certificate: str = _for(
        "traces",
        "",
        "As `certificate`.",
        parse.text,
        "certificate",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    )
    logs_certificate: str = _for(
        "logs",
        "",
        "As `certificate`.",
        parse.text,
        "certificate",
        "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
    )
    traces_client_certificate: str = _for(
        "traces",
        "",
        "As `client_certificate`.",
        parse.text,
        "client_certificate",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    )
    logs_client_certificate: str = _for(
        "logs",
        "",
        "As `client_certificate`.",
        parse.text,
        "client_certificate",
        "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
    )
    traces_client_key: str = _for(
        "traces",
        "",
        "As `client_key`.",
        parse.text,
        "client_key",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    )
    logs_client_key: str = _for(
        "logs",
        "",
        "As `client_key`.",
        parse.text,
        "client_key",
        "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
    )
    traces_insecure: bool | None = _for(
        "traces",
        None,
        "As `insecure`.",
        parse.boolean,
        "insecure",
        "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    )
    logs_insecure: bool | None = _for(
        "logs",
        None,
        "As `insecure`.",
        parse.boolean,
        "insecure",
        "OTEL_EXPORTER_OTLP_LOGS_INSECURE",
    )
    traces_compression: str = _for(
        "traces",
        "",
        "As `compression`.",
        _compression,
        "compression",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    )
    logs_compression: str = _for(
        "logs",
        "",
        "As `compression`.",
        _compression,
        "compression",
        "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
    )
    traces_timeout_s: float | None = _for(
        "traces",
        None,
        "As `export_timeout_s`.",
        parse.positive,
        "timeout_s",
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", parse.milliseconds),
        ("OTEL_BSP_EXPORT_TIMEOUT", parse.milliseconds),
    )
    logs_timeout_s: float | None = _for(
        "logs",
        None,
        "As `export_timeout_s`.",
        parse.positive,
        "timeout_s",
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", parse.milliseconds),
        ("OTEL_BLRP_EXPORT_TIMEOUT", parse.milliseconds),
    )
    spool_dir: str = row(
        "",
        "Directory for telemetry that waits for its endpoint; empty is one per user.",
        parse.text,
        "WATCHKEEPER_SPOOL_DIR",
    )
    span_queue_items_max: int = limit_row("span_queue_items_max", "OTEL_BSP_MAX_QUEUE_SIZE")
    log_queue_items_max: int = limit_row("log_queue_items_max", "OTEL_BLRP_MAX_QUEUE_SIZE")
    span_attributes_max: int = limit_row(
        "span_attributes_max", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"
    )
    event_attributes_max: int = limit_row(
        "event_attributes_max", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"
    )
    link_attributes_max: int = limit_row(
        "link_attributes_max", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"
    )
    span_events_max: int = limit_row("span_events_max", "OTEL_SPAN_EVENT_COUNT_LIMIT")
    span_links_max: int = limit_row("span_links_max", "OTEL_SPAN_LINK_COUNT_LIMIT")
    attribute_value_chars_max: int = limit_row(
        "attribute_value_chars_max",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    )
    batch_items_max: int = limit_row(
        "batch_items_max", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"
    )
    batch_bytes_max: int = limit_row("batch_bytes_max")
    backlog_bytes_max: int = limit_row("backlog_bytes_max")
    spool_bytes_max: int = limit_row("spool_bytes_max")
    export_retry_after_s_max: int = limit_row("export_retry_after_s_max")


class ExportArguments(TypedDict, total=False):
    """The same as keyword arguments of `watchkeeper.configure`."""

    endpoint: str
    protocol: str
    headers: Mapping[str, str]
    headers_file: str | PathLike[str]
    certificate: str | PathLike[str]
    client_certificate: str | PathLike[str]
    client_key: str | PathLike[str]
    insecure: bool
    compression: str
    export_timeout_s: float
    export_interval_s: float
    traces_exporter: str | Sequence[str]
    logs_exporter: str | Sequence[str]
    traces_endpoint: str
    logs_endpoint: str
    traces_protocol: str
    logs_protocol: str
    traces_headers: Mapping[str, str]
    logs_headers: Mapping[str, str]
    traces_certificate: str | PathLike[str]
    logs_certificate: str | PathLike[str]
    traces_client_certificate: str | PathLike[str]
    logs_client_certificate: str | PathLike[str]
    traces_client_key: str | PathLike[str]
    logs_client_key: str | PathLike[str]
    traces_insecure: bool
    logs_insecure: bool
    traces_compression: str
    logs_compression: str
    traces_timeout_s: float
    logs_timeout_s: float
    spool_dir: str | PathLike[str]
    span_queue_items_max: int
    log_queue_items_max: int
    span_attributes_max: int
    event_attributes_max: int
    link_attributes_max: int
    span_events_max: int
    span_links_max: int
    attribute_value_chars_max: int
    batch_items_max: int
    batch_bytes_max: int
    backlog_bytes_max: int
    spool_bytes_max: int
    export_retry_after_s_max: int
