"""The plain values that go through the recorder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from opentelemetry.util.types import AnyValue

from watchkeeper.vocabulary.limits import limit

__all__ = ["Batch", "LogFields", "LogRecord", "RecorderLimits", "RecorderStats", "Signal"]

Signal = Literal["traces", "logs"]


class LogRecord(NamedTuple):
    """One log record on its way to OTLP."""

    time_ns: int
    """Nanoseconds since the epoch."""
    severity_number: int
    """1 to 24 as OpenTelemetry numbers them: 9 INFO, 13 WARN, 17 ERROR; 0 unknown."""
    severity_text: str
    """The level's own name, ``warning`` for example."""
    body: str
    attributes: Mapping[str, AnyValue]
    """Attributes by name; values of other types than the API's are turned into text."""
    trace_id: int = 0
    """Trace that the record belongs to, 0 for none."""
    span_id: int = 0
    trace_flags: int = 0
    event_name: str = ""
    """Name of the event if the record is one."""
    logger: str = ""
    """Name of the logger: the instrumentation scope."""


LogFields = tuple[int, int, str, str, Mapping[str, AnyValue], int, int, int, str, str]
"""What a `LogRecord` consists of: a plain tuple takes half the time to make, and is no burden for the
garbage collector while it waits."""


class Batch(NamedTuple):
    """One encoded export request."""

    signal: Signal
    body: bytes
    """The protobuf message; sent again unchanged at each retry."""
    items: int
    """Spans or log records in it."""


@dataclass(frozen=True, slots=True)
class RecorderLimits:
    """The recorder's limits; defaults and meaning are in `watchkeeper.vocabulary.limits`."""

    span_queue_items_max: int = limit("span_queue_items_max")
    log_queue_items_max: int = limit("log_queue_items_max")
    span_attributes_max: int = limit("span_attributes_max")
    event_attributes_max: int = limit("event_attributes_max")
    link_attributes_max: int = limit("link_attributes_max")
    span_events_max: int = limit("span_events_max")
    span_links_max: int = limit("span_links_max")
    attribute_value_chars_max: int = limit("attribute_value_chars_max")
    batch_items_max: int = limit("batch_items_max")
    batch_bytes_max: int = limit("batch_bytes_max")
    backlog_bytes_max: int = limit("backlog_bytes_max")
    spool_bytes_max: int = limit("spool_bytes_max")


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """What became of everything recorded in this process since it started or was forked.

    Reasons of a drop that is wanted: ``sampled`` (by the ratio), ``tail`` (by the decision at the
    end), ``excluded`` (by its path), ``quota`` (past the traces per second that the decision at the
    end may keep), ``unfinished`` (its local root did not end in time). Reasons of a loss:
    ``held_full`` and ``trace_size`` (past the limits of the decision at the end), ``queue_full``, ``shutdown`` (ended or
    left over after it), ``encode`` (not encodable), ``spool_full``, ``backlog_full``, ``spool_read``
    (a spool file that cannot be read), ``refused`` (the endpoint's answer forbids a retry),
    ``rejected`` (left out by the endpoint with a partial success).
    """

    spans_started: int = 0
    spans_ended: int = 0
    spans_exported: int = 0
    spans_dropped: Mapping[str, int] = field(default_factory=dict)
    traces_kept: Mapping[str, int] = field(default_factory=dict)
    """Traces that the decision at the end kept, by reason."""
    names_refused: int = 0
    """Names that the decision at the end did not remember as seen."""
    logs_created: int = 0
    logs_exported: int = 0
    logs_dropped: Mapping[str, int] = field(default_factory=dict)
    span_queue: int = 0
    """Spans waiting in memory to be encoded."""
    log_queue: int = 0
    """Log records waiting in memory to be encoded."""
    spool_bytes: int = 0
    """Encoded batches waiting on disk."""
    backlog_bytes: int = 0
    """Encoded batches waiting in memory."""
