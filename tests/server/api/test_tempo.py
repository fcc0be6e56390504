"""Tempo's HTTP API over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from starlette.applications import Starlette
from tests.server.sample_rows import NOON_NS, SECOND_NS, span

from watchkeeper.server.api.tempo import routes
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store

TRACE = f"{1:032x}"


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the routes over a store with two traces."""
    store.ingest(
        Batch(
            spans=[
                span(1, 11, name="GET /a", http__route="/a", duration_s=1.5),
                span(1, 12, parent=11, name="SELECT", kind=3, status=2),
                span(2, 21, service="worker", name="job", start_s=60),
            ]
        )
    ).result(10)
    transport = httpx.ASGITransport(app=Starlette(routes=routes(store)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


async def test_a_search_lists_traces_as_tempo_does(client: httpx.AsyncClient) -> None:
    """Root, start, duration and figures by service are in Tempo's fields."""
    answer = await client.get("/api/search", params={"q": '{ name = "SELECT" }', "limit": 5})
    (found,) = answer.json()["traces"]

    assert (TRACE, "api", "GET /a", 1500) == (
        found["traceID"], found["rootServiceName"], found["rootTraceName"], found["durationMs"],
    )  # fmt: skip
    assert str(NOON_NS) == found["startTimeUnixNano"]
    assert {"api": {"spanCount": 2, "errorCount": 1}} == found["serviceStats"]


async def test_a_search_takes_times_in_seconds(client: httpx.AsyncClient) -> None:
    """``start`` and ``end`` bound when a span started."""
    noon = NOON_NS // SECOND_NS
    answer = await client.get("/api/search", params={"start": noon + 30, "end": noon + 90})

    assert ["worker"] == [trace["rootServiceName"] for trace in answer.json()["traces"]]


async def test_the_older_search_by_tags_and_duration_is_answered(client: httpx.AsyncClient) -> None:
    """``tags``, ``minDuration`` and ``maxDuration`` are understood."""
    answer = await client.get(
        "/api/search", params={"tags": "http.route=/a", "minDuration": "1s", "maxDuration": "2s"}
    )

    assert [TRACE] == [trace["traceID"] for trace in answer.json()["traces"]]


async def test_a_trace_is_given_as_json_and_protobuf(client: httpx.AsyncClient) -> None:
    """Both versions of the route, in both encodings, hold the same spans."""
    first = (await client.get(f"/api/traces/{TRACE}")).json()["batches"]
    second = (await client.get(f"/api/v2/traces/{TRACE.lstrip('0')}")).json()["trace"]
    binary = await client.get(f"/api/traces/{TRACE}", headers={"Accept": "application/protobuf"})
    spans = TracesData.FromString(binary.content).resource_spans[0].scope_spans[0].spans

    assert first == second["resourceSpans"]
    assert ["GET /a", "SELECT"] == [span["name"] for span in first[0]["scopeSpans"][0]["spans"]]
    assert ["GET /a", "SELECT"] == [span.name for span in spans]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        (f"/api/traces/{99:032x}", 404, "trace not found"),
        ("/api/traces/not-hex", 400, "not a trace id"),
        ("/api/search?q={", 400, "offset 1"),
        ("/api/search?q={} | count() > 1", 400, "not supported"),
        ("/api/search?start=yesterday", 400, "start is not a time"),
        ("/api/search?limit=-1", 400, "limit is not a whole number"),
    ],
)
async def test_bad_requests_are_explained(
    client: httpx.AsyncClient, path: str, status: int, text: str
) -> None:
    """Each refusal has its status and says what is wrong."""
    answer = await client.get(path)

    assert status == answer.status_code
    assert text in answer.text


async def test_tags_and_values_are_listed(client: httpx.AsyncClient) -> None:
    """Tags come by scope, values with their type."""
    scopes = (await client.get("/api/v2/search/tags")).json()["scopes"]
    values = (await client.get("/api/v2/search/tag/resource.service.name/values")).json()

    assert {"span", "resource", "intrinsic"} == {scope["name"] for scope in scopes}
    assert [
        {"type": "string", "value": "api"},
        {"type": "string", "value": "worker"},
    ] == values["tagValues"]
