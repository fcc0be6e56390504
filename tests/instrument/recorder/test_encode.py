"""Encoding: what opentelemetry-proto decodes is what went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.util.types import AnyValue as Value

from watchkeeper.instrument.recorder import LogFields, LogRecord
from watchkeeper.instrument.recorder.encode import BatchEncoder, LogEncoder
from watchkeeper.instrument.recorder.read import rejected_items
from watchkeeper.instrument.recorder.wire import KeyValues, any_value, varint

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.binary(max_size=200),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


def plain(value: AnyValue) -> object:
    """Turn a decoded value back into Python's."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)


def log_encoder(items_max: int = 100, bytes_max: int = 1 << 20) -> BatchEncoder[LogFields]:
    """Return a new encoder."""
    return BatchEncoder(
        LogEncoder(), {"service.name": "s"}, items_max=items_max, bytes_max=bytes_max
    )


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_every_value_survives(value: Value) -> None:
    """A value decodes to itself, with its type."""
    decoded = plain(AnyValue.FromString(any_value(value)))
    assert value == decoded
    assert type(value) is type(decoded)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=6), max_size=6))
def test_remembered_attributes_equal_fresh_ones(series: list[Mapping[str, Value]]) -> None:
    """What the memory for repeated attributes returns is what a new encoder makes."""
    remembering = KeyValues(b"\x4a")
    for attributes in [*series, *series]:
        body = remembering.encode(attributes)
        assert KeyValues(b"\x4a").encode(attributes) == body
        pairs = ProtoSpan.FromString(body).attributes
        assert attributes == {pair.key: plain(pair.value) for pair in pairs}


def test_equal_numbers_of_different_types_stay_apart() -> None:
    """1, 1.0 and True are equal in Python and different in OTLP."""
    encoder = KeyValues(b"\x4a")
    for value in (1, 1.0, True, "1", 0, 0.0, False):
        (pair,) = ProtoSpan.FromString(encoder.encode({"k": value})).attributes
        assert type(value) is type(plain(pair.value))


def test_the_memory_for_attributes_is_bounded() -> None:
    """A million different keys and values do not stay in memory."""
    encoder = KeyValues(b"\x4a")
    for number in range(5_000):
        encoder.encode({f"key {number}": "v", "same": f"value {number}", "n": number})
    assert len(encoder._keys) <= 1_024
    assert all(len(k.texts) <= 256 and len(k.numbers) <= 256 for k in encoder._keys.values())


def test_log_records_keep_every_field() -> None:
    """Time, severity, body, attributes, ids, flags, event name and logger arrive."""
    record = LogRecord(
        1_700_000_000_000_000_001, 17, "error", "it broke", {"a": 1, "odd": cast("str", object())},
        0xABCD << 100, 0x1234, 1, "job.failed", "shop.jobs",
    )  # fmt: skip
    (batch,), failed = log_encoder().encode([record, record._replace(logger="other", trace_id=0)])
    assert (0, 2, "logs") == (failed, batch.items, batch.signal)
    (resource,) = ExportLogsServiceRequest.FromString(batch.body).resource_logs
    assert "s" == resource.resource.attributes[0].value.string_value
    assert ["shop.jobs", "other"] == [scope.scope.name for scope in resource.scope_logs]
    (log,) = resource.scope_logs[0].log_records
    assert 1_700_000_000_000_000_001 == log.time_unix_nano == log.observed_time_unix_nano
    assert (17, "error", "it broke") == (
        log.severity_number,
        log.severity_text,
        log.body.string_value,
    )
    assert (0xABCD << 100).to_bytes(16, "big") == log.trace_id
    assert (0x1234).to_bytes(8, "big") == log.span_id
    assert (1, "job.failed") == (log.flags, log.event_name)
    assert {"a": 1, "odd": None} == {pair.key: plain(pair.value) for pair in log.attributes}
    assert b"" == resource.scope_logs[1].log_records[0].trace_id


def test_one_bad_item_costs_only_itself() -> None:
    """An item that cannot be encoded is counted, and the others are exported."""
    good = LogRecord(1, 9, "info", "good", {})
    bad = good._replace(span_id=cast("int", "not a number"))
    (batch,), failed = log_encoder().encode([good, bad, good])
    assert (1, 2) == (failed, batch.items)


def test_requests_are_closed_by_count_and_by_size() -> None:
    """No request holds more than the limits say, unless a single item does."""
    record = LogRecord(1, 9, "info", "x" * 1_000, {})
    by_count, _ = log_encoder(items_max=4).encode([record] * 10)
    assert [4, 4, 2] == [batch.items for batch in by_count]
    by_size, _ = log_encoder(bytes_max=2_500).encode([record] * 7)
    assert [2, 2, 2, 1] == [batch.items for batch in by_size]
    assert all(len(batch.body) <= 2_500 for batch in by_size)
    alone, _ = log_encoder(bytes_max=500).encode([record] * 2)
    assert [1, 1] == [batch.items for batch in alone]
    assert ([], 0) == log_encoder().encode([])


def test_varints_at_their_borders() -> None:
    """Known encodings from the protobuf documentation and the 64-bit maximum."""
    assert b"\x00" == varint(0)
    assert b"\x7f" == varint(127)
    assert b"\x80\x01" == varint(128)
    assert b"\x96\x01" == varint(150)
    assert b"\xff" * 9 + b"\x01" == varint(2**64 - 1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_any_answer_of_an_endpoint_is_readable(body: bytes) -> None:
    """Random bytes as a response give a count, never an error."""
    assert rejected_items(body) >= 0
