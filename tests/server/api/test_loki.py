"""Loki's HTTP API over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from tests.server.sample_rows import NOON_NS, SECOND_NS, record

from watchkeeper.server.api.loki import routes
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store
from watchkeeper.testing import FixedClock

API = "/loki/api/v1"
MINUTE = {"start": str(NOON_NS), "end": str(NOON_NS + 60 * SECOND_NS)}


@pytest.fixture
async def client(store: Store, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the routes over a store with three lines."""
    store.ingest(
        Batch(
            logs=[
                record("one", at_s=1, http__route="/a"),
                record("two", at_s=2, severity=17, trace=7),
                record("three", at_s=3, service="worker"),
            ]
        )
    ).result(10)
    transport = httpx.ASGITransport(app=Starlette(routes=routes(store, clock)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


async def test_lines_come_as_streams_newest_first(client: httpx.AsyncClient) -> None:
    """Metadata is merged into the labels unless the client can tell them apart."""
    query = {"query": '{service_name="api"}', **MINUTE}
    merged = (await client.get(f"{API}/query_range", params=query)).json()["data"]
    apart = (
        await client.get(
            f"{API}/query_range", params=query,
            headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"},
        )
    ).json()["data"]  # fmt: skip

    assert "streams" == merged["resultType"]
    assert ["two", "one"] == [stream["values"][0][1] for stream in merged["result"]]
    assert f"{7:032x}" == merged["result"][0]["stream"]["trace_id"]
    assert {"level": "error", "service_name": "api"} == apart["result"][0]["stream"]
    assert f"{7:032x}" == apart["result"][0]["values"][0][2]["structuredMetadata"]["trace_id"]


async def test_the_limit_and_the_direction_are_kept(client: httpx.AsyncClient) -> None:
    """``limit`` cuts, ``direction=forward`` begins with the oldest."""
    query = {"query": '{service_name=~".+"}', "limit": "1", "direction": "forward", **MINUTE}
    data = (await client.post(f"{API}/query_range", data=query)).json()["data"]

    assert ["one"] == [stream["values"][0][1] for stream in data["result"]]


async def test_metric_queries_give_a_matrix_and_a_vector(client: httpx.AsyncClient) -> None:
    """Range queries have a value for each step, instant ones a single value."""
    query = {"query": 'sum by (level) (count_over_time({service_name="api"}[1m]))'}
    matrix = await client.get(f"{API}/query_range", params={**query, **MINUTE, "step": "30s"})
    vector = await client.get(
        f"{API}/query", params={**query, "time": str(NOON_NS + 10 * SECOND_NS)}
    )
    noon = NOON_NS // SECOND_NS

    assert {
        "metric": {"level": "info"},
        "values": [[noon + 30.0, "1"], [noon + 60.0, "1"]],
    } in matrix.json()["data"]["result"]
    assert {"metric": {"level": "error"}, "value": [noon + 10.0, "1"]} in vector.json()["data"][
        "result"
    ]


async def test_labels_values_and_series_are_listed(client: httpx.AsyncClient) -> None:
    """Stream labels are discoverable."""
    names = (await client.get(f"{API}/labels", params=MINUTE)).json()["data"]
    values = (await client.get(f"{API}/label/service_name/values", params=MINUTE)).json()["data"]
    series = (
        await client.get(f"{API}/series", params={"match[]": '{level="error"}', **MINUTE})
    ).json()["data"]

    assert ["level", "service_name"] == names
    assert ["api", "worker"] == values
    assert [{"level": "error", "service_name": "api"}] == series


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({"query": "{"}, 400, "offset 1"),
        ({"query": '{a="b"} | line_format "x"'}, 400, "not supported"),
        ({"query": '{service_name=~".*"}'}, 400, "matches everything"),
        ({"query": '{a="b"}', "start": "10", "end": "5"}, 400, "start lies after end"),
        ({"query": 'rate({a="b"}[1m])', "step": "-5"}, 400, "Accepted"),
        ({"query": 'rate({a="b"}[1m])', "step": "0.001", **MINUTE}, 422, "too many points"),
    ],
)
async def test_bad_requests_are_explained(
    client: httpx.AsyncClient, params: dict[str, str], status: int, text: str
) -> None:
    """Each refusal has its status and says what is wrong."""
    answer = await client.get(f"{API}/query_range", params=params)

    assert status == answer.status_code
    assert text in answer.text
