"""OTLP over HTTP: what is kept, what is refused, and how the refusal reads."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.corpora import corpus
from tests.server.sample_rows import NOON_NS

from watchkeeper.server.api import otlp
from watchkeeper.server.series import Matcher, MatchOp
from watchkeeper.server.store import Store, StoreSettings
from watchkeeper.testing.clock import FixedClock
from watchkeeper.vocabulary.limits import limit

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(store: Store, clock: FixedClock) -> Iterator[TestClient]:
    """Yield a client of the three routes."""
    app = Starlette(routes=otlp.routes(store, store.metrics, clock))
    with TestClient(app) as found:
        yield found


def one_span(**fields: Any) -> ExportTraceServiceRequest:
    """Return a request with one span."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    values = {
        "trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "GET /", "kind": 2,
        "start_time_unix_nano": NOON_NS, "end_time_unix_nano": NOON_NS + 5, **fields,
    }  # fmt: skip
    for name, value in values.items():
        setattr(span, name, value)
    return request


def rows(store: Store, signal: str, columns: str) -> list[tuple[Any, ...]]:
    """Return columns of everything stored for a signal."""
    with store.read(signal) as reader:  # type: ignore[arg-type] # one of the three literals
        found: list[tuple[Any, ...]] = reader.execute(
            f"SELECT {columns} FROM {reader.table(signal)} ORDER BY ALL"
        ).fetchall()
    return found


def zstd(body: bytes) -> bytes:
    """Return *body* as a zstd frame."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstd),
        ("gzip", lambda body: gzip.compress(body[:9], mtime=0) + gzip.compress(body[9:])),
    ],
)
def test_a_span_is_kept_whatever_the_compression(
    client: TestClient, store: Store, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """Success is 200 with an empty response message of the same encoding."""
    headers = {**PROTOBUF, "content-encoding": encoding} if encoding else PROTOBUF
    answer = client.post(
        "/v1/traces", content=pack(one_span().SerializeToString()), headers=headers
    )

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-protobuf"
    message = ExportTraceServiceResponse.FromString(answer.content)
    assert not message.HasField("partial_success")
    assert [(b"t" * 16, "GET /", "unknown_service")] == rows(
        store, "spans", "trace_id, name, service"
    )


def test_json_follows_otlp_and_not_protobuf(client: TestClient, store: Store) -> None:
    """Ids are hex of either case, big numbers text or number, unknown fields ignored."""
    body = {
        "resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "api"}}]},
            "surprise": 1,
            "scopeSpans": [{"spans": [{
                "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174",
                "parentSpanId": "", "name": "x", "kind": 2, "unknownField": {"a": []},
                "startTimeUnixNano": str(NOON_NS), "endTimeUnixNano": NOON_NS + 1,
                "attributes": [{"key": "traceId", "value": {"stringValue": "zz"}},
                               {"key": "n", "value": {"intValue": "9007199254740993"}},
                               {"key": "b", "value": {"bytesValue": "AAE="}}],
                "status": {"code": 2},
            }]}],
        }]
    }  # fmt: skip
    answer = client.post(
        "/v1/traces", content=json.dumps(body),
        headers={"content-type": "Application/JSON; charset=utf-8"},
    )  # fmt: skip

    assert answer.status_code == 200, answer.text
    assert answer.json() == {}
    assert answer.headers["content-type"] == "application/json"
    found = rows(store, "spans", "lower(hex(trace_id)), parent_span_id, attributes, status_code")
    assert found[0][:2] == ("5b8efff798038103d269b633813fc60c", None)
    assert orjson.loads(found[0][2]) == {
        "traceId": "zz", "n": 9007199254740993, "b": {"$bytes": "AAE="},
    }  # fmt: skip
    assert found[0][3] == 2


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"kind": "SPAN_KIND_SERVER"}, "kind must be a number"),
        ({"status": {"code": "STATUS_CODE_OK"}}, "code must be a number"),
        ({"traceId": "nothex"}, "hexadecimal"),
        ({"startTimeUnixNano": "soon"}, "soon"),
        ({"attributes": 5}, "attributes"),
    ],
)
def test_wrong_json_is_named(client: TestClient, store: Store, patch: Any, words: str) -> None:
    """A field of the wrong form is answered 400 with a Status that names it; nothing is kept."""
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "x", **patch}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    answer = client.post("/v1/traces", content=json.dumps(body), headers=JSON)

    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert answer.json()["code"] == 3
    assert [] == rows(store, "spans", "name")


def nested(levels: int) -> bytes:
    """Return a log request whose body is a list in a list in a list."""
    request = ExportLogsServiceRequest()
    value = request.resource_logs.add().scope_logs.add().log_records.add().body
    for _ in range(levels):
        value = value.array_value.values.add()
    value.string_value = "deep"
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/traces", PROTOBUF, b"\xff" * 50, 400),
        ("/v1/traces", PROTOBUF, os.urandom(4_000), 400),
        ("/v1/traces", JSON, b"{", 400),
        ("/v1/traces", JSON, b"[]", 400),
        ("/v1/traces", JSON, b'{"resourceSpans":' * 5_000, 400),
        ("/v1/logs", JSON, b"[" * 100_000, 400),
        ("/v1/traces", PROTOBUF | {"content-encoding": "gzip"}, b"not gzip", 400),
        ("/v1/traces", PROTOBUF | {"content-encoding": "gzip"}, gzip.compress(b"a" * 99, mtime=0)[:-9], 400),
        ("/v1/traces", PROTOBUF | {"content-encoding": "zstd"}, b"not zstd", 400),
        ("/v1/traces", PROTOBUF | {"content-encoding": "br"}, b"", 400),
        ("/v1/traces", {"content-type": "text/plain"}, b"", 415),
        ("/v1/traces", {}, b"", 415),
        ("/v1/metrics", PROTOBUF, b"\x0a\x05hello", 400),
    ],
)  # fmt: skip
def test_garbage_is_the_sender_s_fault(
    client: TestClient, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Whatever does not decode is answered 4xx with a Status, and says nothing of our inside."""
    answer = client.post(path, content=body, headers=headers)

    assert answer.status_code == status
    if headers == JSON:
        message = answer.json()["message"]
    else:
        message = Status.FromString(answer.content).message
    assert "Accepted:" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("levels", [90, 10_000])
def test_deep_nesting_is_refused(client: TestClient, levels: int) -> None:
    """Values nested beyond what a decoder can bear are answered 400, and the server lives on."""
    answers = [
        client.post("/v1/logs", content=nested(count), headers=PROTOBUF).status_code
        for count in (levels, 3)
    ]

    assert [400, 200] == answers


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", ""])
def test_a_bomb_stops_at_the_limit(client: TestClient, encoding: str) -> None:
    """A body is measured after decompression and answered 413."""
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd, "": bytes,
    }  # fmt: skip
    body = packers[encoding](b"\0" * (limit("request_body_bytes_max") + 1))
    headers = {**PROTOBUF, "content-encoding": encoding} if encoding else PROTOBUF

    answer = client.post("/v1/traces", content=body, headers=headers)

    assert answer.status_code == 413
    assert Status.FromString(answer.content).code == 8


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post(client: TestClient, method: str) -> None:
    """Other methods are answered 405 with the accepted one."""
    answer = client.request(method, "/v1/logs", headers=JSON)

    assert (405, "POST") == (answer.status_code, answer.headers["allow"])
    assert answer.json()["code"] == 12


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
def test_nothing_to_keep_is_a_success(client: TestClient, path: str) -> None:
    """An empty request is fine, in both encodings."""
    codes = [
        client.post(path, content=b"", headers=PROTOBUF).status_code,
        client.post(path, content=b"{}", headers=JSON).status_code,
    ]

    assert [200, 200] == codes


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "trace id"),
        ({"trace_id": bytes(16)}, "trace id"),
        ({"span_id": b"short"}, "span id"),
        ({"start_time_unix_nano": 0}, "too old"),
        ({"start_time_unix_nano": NOON_NS + 86_400 * 10**9}, "future"),
        ({"start_time_unix_nano": 2**64 - 1}, "future"),
    ],
)
def test_single_spans_are_refused_by_reason(
    client: TestClient, store: Store, fields: dict[str, Any], reason: str
) -> None:
    """Impossible spans are refused alone: 200 with a partial success; the others are kept."""
    request = one_span(**fields)
    request.MergeFrom(one_span())
    answer = client.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)

    message = ExportTraceServiceResponse.FromString(answer.content)
    assert answer.status_code == 200
    assert message.partial_success.rejected_spans == 1
    assert reason in message.partial_success.error_message
    assert len(rows(store, "spans", "name")) == 1


def test_odd_spans_are_put_right(client: TestClient, store: Store) -> None:
    """An end before the start, an unknown kind, a NUL in a name: kept in a sane form."""
    odd = one_span(end_time_unix_nano=1, kind=77, name="a\0b")
    answer = client.post("/v1/traces", content=odd.SerializeToString(), headers=PROTOBUF)

    assert answer.status_code == 200
    assert [(NOON_NS, 0, "a\0b")] == rows(store, "spans", "end_ns, kind, name")


def test_the_same_body_is_stored_once(client: TestClient, store: Store) -> None:
    """A retry with the same bytes, compressed or not, is acknowledged and not stored again."""
    body = one_span().SerializeToString()
    client.post("/v1/traces", content=body, headers=PROTOBUF)
    packed = {**PROTOBUF, "content-encoding": "gzip"}
    again = client.post("/v1/traces", content=gzip.compress(body, mtime=0), headers=packed)

    assert again.status_code == 200
    assert len(rows(store, "spans", "name")) == 1


def test_overload_asks_to_come_back(
    tmp_path_factory: pytest.TempPathFactory, clock: FixedClock
) -> None:
    """Without room the answer is 503 with Retry-After and a Status."""
    directory = tmp_path_factory.mktemp("full") / "data"
    full = StoreSettings(disk_free_bytes_min=2**62)
    with Store.open(directory, clock=clock, settings=full) as opened:
        app = Starlette(routes=otlp.routes(opened, opened.metrics, clock))
        with TestClient(app) as client:
            body = one_span().SerializeToString()
            answer = client.post("/v1/traces", content=body, headers=PROTOBUF)

    assert (503, "30") == (answer.status_code, answer.headers["retry-after"])
    assert "disk is nearly full" in Status.FromString(answer.content).message


@pytest.mark.parametrize("name", ["trace", "logs", "events", "metrics"])
def test_the_specification_s_examples_are_taken(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """The examples of the OTLP repository are accepted; unsupported points are named."""
    body = (corpus("otlp-examples") / f"{name}.json").read_bytes()
    clock = FixedClock(1_544_712_660_000_000_000)
    directory = tmp_path_factory.mktemp("examples") / "data"
    path = {"trace": "/v1/traces", "metrics": "/v1/metrics"}.get(name, "/v1/logs")
    with Store.open(directory, clock=clock) as opened:
        app = Starlette(routes=otlp.routes(opened, opened.metrics, clock))
        with TestClient(app) as client:
            answer = client.post(path, content=body, headers=JSON)
        kept = len(rows(opened, "spans", "name")) + len(rows(opened, "logs", "body"))
        series = {dict(labels)["__name__"] for labels in opened.series([()])}

    assert answer.status_code == 200, answer.text
    if name == "metrics":
        refused = answer.json()["partialSuccess"]
        assert series == {"my_gauge_ratio"}
        assert refused["rejectedDataPoints"] == "3"
        assert "2 because only cumulative" in refused["errorMessage"]
        assert "1 because exponential" in refused["errorMessage"]
    else:
        assert kept == 1
        assert answer.json() == {}


def test_the_traces_of_jaeger_s_suite_are_kept(tmp_path: Path) -> None:
    """Every span of every fixture is stored, duplicates and odd values included."""
    files = sorted((corpus("jaeger") / "traces").glob("*.json"))
    sent = 0
    clock = FixedClock(1_800_000_000_000_000_000)
    settings = StoreSettings(retention_days=36_500)
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        app = Starlette(routes=otlp.routes(opened, opened.metrics, clock))
        with TestClient(app) as client:
            for file in files:
                body = file.read_bytes()
                answer = client.post("/v1/traces", content=body, headers=JSON)
                assert (200, {}) == (answer.status_code, answer.json()), file.name
                groups = orjson.loads(body)["resourceSpans"]
                sent += sum(
                    len(scope["spans"]) for group in groups for scope in group["scopeSpans"]
                )
        kept = len(rows(opened, "spans", "name"))

    assert len(files) > 30
    assert sent == kept


def test_logs_keep_structure_and_time(client: TestClient, store: Store) -> None:
    """A structured body becomes JSON; a record without any time gets the server's."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    plain, structured = records.add(), records.add()
    plain.body.string_value = "hello"
    plain.time_unix_nano = NOON_NS - 5
    pair = structured.body.kvlist_value.values.add()
    pair.key, pair.value.int_value = "a", 1
    answer = client.post("/v1/logs", content=request.SerializeToString(), headers=PROTOBUF)

    assert answer.status_code == 200
    assert ExportLogsServiceResponse.FromString(answer.content) == ExportLogsServiceResponse()
    assert [(NOON_NS - 5, "hello", False), (NOON_NS, '{"a":1}', True)] == rows(
        store, "logs", "time_ns, body, body_json"
    )


def test_metrics_become_samples(client: TestClient, store: Store) -> None:
    """A histogram becomes cumulative buckets, count and sum with job and instance."""
    point = {
        "timeUnixNano": str(NOON_NS), "count": "6", "sum": 12.5, "bucketCounts": ["1", "2", "3"],
        "explicitBounds": [0.5, 1], "attributes": [
            {"key": "http.route", "value": {"stringValue": "/x"}}],
        "exemplars": [{"timeUnixNano": str(NOON_NS), "asDouble": 0.7, "traceId": "ab" * 16,
                       "spanId": "cd" * 8}],
    }  # fmt: skip
    delta = {"name": "d", "sum": {"aggregationTemporality": 1, "dataPoints": [{}, {}]}}
    metric = {
        "name": "http.server.duration", "unit": "s", "description": "Durations.",
        "histogram": {"aggregationTemporality": 2, "dataPoints": [point]},
    }  # fmt: skip
    names = {"service.name": "api", "service.namespace": "shop", "service.instance.id": "i1"}
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in names.items()]
    body = {"resourceMetrics": [{
        "resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": [metric, delta]}],
    }]}  # fmt: skip
    answer = client.post("/v1/metrics", content=json.dumps(body), headers=JSON)

    everything = store.select([Matcher("job", MatchOp.EQUAL, "shop/api")], 0, 2**60)
    found = {
        (labels["__name__"], labels.get("le", "")): series.values.tolist()
        for series in everything
        for labels in [dict(series.labels)]
        if labels["instance"] == "i1" and labels["http_route"] == "/x"
    }
    name = "http_server_duration_seconds"
    assert found == {
        (f"{name}_bucket", "0.5"): [1.0], (f"{name}_bucket", "1.0"): [3.0],
        (f"{name}_bucket", "+Inf"): [6.0], (f"{name}_count", ""): [6.0], (f"{name}_sum", ""): [12.5],
    }  # fmt: skip
    refused = answer.json()["partialSuccess"]
    assert refused["rejectedDataPoints"] == "2"
    assert "cumulative" in refused["errorMessage"]
    pointed = store.exemplars([Matcher("le", MatchOp.EQUAL, "1.0")], 0, 2**60)
    assert [(("span_id", "cd" * 8), ("trace_id", "ab" * 16))] == [e.labels for e in pointed]
    assert [(name, "histogram", "Durations.", "s")] == [tuple(f) for f in store.families()]


@pytest.mark.parametrize(
    "attributes",
    [
        [{"key": "user", "value": {"stringValue": "x" * 2_049}}],
        [{"key": f"a{n}", "value": {"intValue": n}} for n in range(65)],
    ],
)
def test_points_with_too_much_label_are_refused(
    client: TestClient, store: Store, attributes: list[dict[str, Any]]
) -> None:
    """A label explosion by size is refused point by point, counted, and the others are kept."""
    points = [
        {"timeUnixNano": str(NOON_NS), "asDouble": 1, "attributes": a} for a in (attributes, [])
    ]
    metric = {"name": "m", "gauge": {"dataPoints": points}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    answer = client.post("/v1/metrics", content=json.dumps(body), headers=JSON)

    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
    assert len(store.series([()])) == 1
    counted = store.metrics.render().decode()
    assert 'refused_total{reason="label_limit",signal="metrics"} 1.0' in counted
