"""Prometheus' HTTP API: parameters, shapes, codes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from tests.server.api.openapi import problems
from tests.server.api.prometheus_app import NOON_S, application, client, fill

from watchkeeper.server.api.prometheus import routes
from watchkeeper.server.api.prometheus_params import unescaped_label
from watchkeeper.server.promql import Engine
from watchkeeper.server.promql.memory import MemoryQueryable
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock

NOON = "2026-01-01T12:00:00Z"


@pytest.fixture
async def api(store: Store, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the API over a store with some series."""
    fill(store)
    async with client(application(store, clock)) as opened:
        yield opened


async def _get(api: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await api.get(f"/api/v1/{path}", params=params)
    return orjson.loads(answer.content)


@pytest.mark.parametrize("time", [str(NOON_S), f"{NOON_S}.000", NOON, "2026-01-01T13:00:00+01:00"])
async def test_every_way_to_write_a_moment_is_read(api: httpx.AsyncClient, time: str) -> None:
    """Unix seconds with and without fraction, RFC 3339 with any offset."""
    answer = await _get(api, "query", query='up{instance="a:1"}', time=time)
    sample = {"metric": {"__name__": "up", "instance": "a:1", "job": "api"}, "value": [NOON_S, "1"]}
    assert {"resultType": "vector", "result": [sample]} == answer["data"]


async def test_without_a_time_the_present_counts(api: httpx.AsyncClient) -> None:
    """The clock is asked."""
    assert NOON_S == (await _get(api, "query", query="time()"))["data"]["result"][0]


async def test_get_and_form_bodies_are_the_same(api: httpx.AsyncClient) -> None:
    """Clients post long queries as forms."""
    params = {
        "query": "sum(up) * 2",
        "start": str(NOON_S - 120),
        "end": NOON,
        "step": "1m",
    }
    by_get = await api.get("/api/v1/query_range", params=params)
    by_post = await api.post("/api/v1/query_range", data=params)
    assert by_get.content == by_post.content
    found = orjson.loads(by_get.content)["data"]["result"]
    expected = [[NOON_S - 120, "4"], [NOON_S - 60, "4"], [NOON_S, "4"]]
    assert [{"metric": {}, "values": expected}] == found


@pytest.mark.parametrize(
    ("path", "params", "code", "kind"),
    [
        ("query", {"query": "sum("}, 400, "bad_data"),
        ("query", {"query": ""}, 400, "bad_data"),
        ("query", {"query": "up", "time": "noon"}, 400, "bad_data"),
        ("query", {"query": "up", "time": "NaN"}, 400, "bad_data"),
        ("query", {"query": "up", "limit": "-1"}, 400, "bad_data"),
        ("query", {"query": "up", "timeout": "x"}, 400, "bad_data"),
        ("query", {"query": "info(up)"}, 400, "bad_data"),
        ("query", {"query": "+".join(["1"] * 1000)}, 400, "bad_data"),
        ("query", {"query": "up + on() up"}, 422, "execution"),
        ("query", {"query": "topk(NaN, up)"}, 422, "execution"),
        ("query_range", {"query": "up"}, 400, "bad_data"),
        ("query_range", {"query": "up", "start": "0", "end": "1", "step": "0"}, 400, "bad_data"),
        (
            "query_range",
            {"query": "up", "start": "0", "end": "11000", "step": "1"},
            400,
            "bad_data",
        ),
        ("query_range", {"query": "up", "start": "1", "end": "0", "step": "1"}, 400, "bad_data"),
        ("series", {}, 400, "bad_data"),
        ("series", {"match[]": "rate(up[5m])"}, 400, "bad_data"),
        ("series", {"match[]": "{}"}, 400, "bad_data"),
        ("rules", {"type": "odd"}, 400, "bad_data"),
    ],
)
async def test_mistakes_are_answered_with_prometheus_codes(
    api: httpx.AsyncClient, path: str, params: dict[str, str], code: int, kind: str
) -> None:
    """400 for the request, 422 for the data it meets; always the error's JSON."""
    answer = await api.get(f"/api/v1/{path}", params=params)
    body = orjson.loads(answer.content)
    assert (code, "error", kind) == (answer.status_code, body["status"], body["errorType"])
    assert [] == problems(body, "Error")


async def test_too_many_samples_are_an_execution_error(store: Store, clock: FixedClock) -> None:
    """The limit is crossed while evaluating, not by the request."""
    fill(store)
    async with client(application(store, clock, samples_max=10)) as api:
        answer = await api.get("/api/v1/query", params={"query": "up[10m]"})
    assert (422, "execution") == (answer.status_code, orjson.loads(answer.content)["errorType"])


@pytest.mark.parametrize(
    ("path", "params", "schema"),
    [
        ("query", {"query": "up"}, "QueryOutputBody"),
        ("query", {"query": "1", "stats": "all"}, "QueryOutputBody"),
        ("query", {"query": "up[1m]"}, "QueryOutputBody"),
        ("query", {"query": "rate(up[5m])"}, "QueryOutputBody"),
        ("query", {"query": "quantile(2, up)", "limit": "1"}, "QueryOutputBody"),
        (
            "query_range",
            {"query": "up", "start": NOON, "end": NOON, "step": "15"},
            "QueryRangeOutputBody",
        ),
        ("query_exemplars", {"query": "rate(req_total[5m])"}, "QueryExemplarsOutputBody"),
        ("labels", {}, "LabelsOutputBody"),
        ("label/job/values", {}, "LabelValuesOutputBody"),
        ("series", {"match[]": "up"}, "SeriesOutputBody"),
        ("metadata", {}, "MetadataOutputBody"),
        ("rules", {}, "RulesOutputBody"),
        ("alerts", {}, "AlertsOutputBody"),
        ("targets", {}, "TargetsOutputBody"),
        ("alertmanagers", {}, "AlertmanagersOutputBody"),
        ("status/buildinfo", {}, "StatusBuildInfoOutputBody"),
        ("status/flags", {}, "StatusFlagsOutputBody"),
        ("status/runtimeinfo", {}, "StatusRuntimeInfoOutputBody"),
        ("status/tsdb", {}, "StatusTSDBOutputBody"),
    ],
)
async def test_answers_have_the_described_shape(
    api: httpx.AsyncClient, path: str, params: dict[str, str], schema: str
) -> None:
    """Every endpoint fits Prometheus' OpenAPI description."""
    body = await _get(api, path, **params)
    assert ("success", []) == (body["status"], problems(body, schema))


async def test_labels_series_and_metadata_are_listed(api: httpx.AsyncClient) -> None:
    """Names, values and label sets, filtered by selectors and cut to a limit."""
    assert ["__name__", "instance", "job"] == (await _get(api, "labels"))["data"]
    selected = {"match[]": 'up{instance="a:1"}'}
    assert ["a:1"] == (await _get(api, "label/instance/values", **selected))["data"]
    assert ["a:1", "b:1"] == (await _get(api, "label/U__instance/values"))["data"]
    cut = await _get(api, "label/instance/values", limit="1")
    assert (["a:1"], ["results truncated due to limit"]) == (cut["data"], cut["warnings"])
    found = (await _get(api, "series", **{"match[]": "up", "start": "0", "end": NOON}))["data"]
    assert ["a:1", "b:1"] == sorted(one["instance"] for one in found)
    metadata = (await _get(api, "metadata", metric="req"))["data"]
    assert {"req": [{"type": "counter", "help": "Requests.", "unit": ""}]} == metadata


async def test_exemplars_point_to_traces(api: httpx.AsyncClient) -> None:
    """Every selector of the query is looked up."""
    found = (await _get(api, "query_exemplars", query="sum(rate(req_total[5m]))"))["data"]
    assert {"span_id": "cd", "trace_id": "ab"} == found[0]["exemplars"][0]["labels"]
    assert ("2.5", NOON_S) == (
        found[0]["exemplars"][0]["value"],
        found[0]["exemplars"][0]["timestamp"],
    )


async def test_annotations_come_with_the_answer(api: httpx.AsyncClient) -> None:
    """Warnings and infos are lists beside the data."""
    warned = await _get(api, "query", query="quantile(2, up)")
    assert ["PromQL warning: quantile value should be between 0 and 1, got 2"] == warned["warnings"]
    informed = await _get(api, "query", query="rate(up[5m])")
    assert "might not be a counter" in informed["infos"][0]


async def test_rules_are_filtered_and_alerts_collected(api: httpx.AsyncClient) -> None:
    """By type, group and file; alerts can be left out."""

    async def seen(**params: str) -> list[tuple[str, list[str]]]:
        groups = (await _get(api, "rules", **params))["data"]["groups"]
        return [(group["name"], [rule["name"] for rule in group["rules"]]) for group in groups]

    assert [("a", ["Down", "job:up:sum"]), ("b", ["job:up:sum"])] == await seen()
    assert [("a", ["Down"])] == await seen(type="alert")
    assert [("b", ["job:up:sum"])] == await seen(**{"file[]": "b.yml"})
    assert [("b", ["job:up:sum"])] == await seen(**{"rule_group[]": "b"})
    bare = (await _get(api, "rules", type="alert", exclude_alerts="true"))["data"]["groups"]
    assert [] == bare[0]["rules"][0]["alerts"]
    assert ["Down"] == [
        a["labels"]["alertname"] for a in (await _get(api, "alerts"))["data"]["alerts"]
    ]


async def test_a_target_says_when_it_was_scraped(api: httpx.AsyncClient) -> None:
    """The last scrape is written as a moment."""
    target = (await _get(api, "targets"))["data"]["activeTargets"][0]
    assert "2026-01-01T12:00:00.000Z" == target["lastScrape"]


class _Stuck(MemoryQueryable):
    """A source that answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.release = threading.Event(), threading.Event()

    def select(self, *_: object) -> list[Any]:
        """Wait."""
        self.asked.set()
        self.release.wait(10)
        return []


async def test_only_so_many_queries_run_at_once(store: Store, clock: FixedClock) -> None:
    """One more waits for a place, and is told so when the timeout has passed."""
    source = _Stuck()
    engine = Engine(source, clock=clock, timeout_s=0.2)
    app = application(store, clock)
    app.router.routes[:] = routes(engine, store, clock=clock, concurrency=1)
    async with client(app) as api:
        first = asyncio.create_task(api.get("/api/v1/query", params={"query": "up"}))
        await asyncio.to_thread(source.asked.wait, 10)
        second = await api.get("/api/v1/query", params={"query": "up"})
        source.release.set()
        assert (503, "timeout") == (second.status_code, orjson.loads(second.content)["errorType"])
        assert 200 == (await first).status_code


async def test_a_query_nobody_waits_for_is_stopped(store: Store, clock: FixedClock) -> None:
    """When the client leaves, the query ends at its next step."""
    source = _Stuck()
    app = application(store, clock)
    app.router.routes[:] = routes(Engine(source, clock=clock), store, clock=clock)
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        if len(messages) == 1:
            await asyncio.to_thread(source.asked.wait, 10)
            asyncio.get_running_loop().call_later(0.1, source.release.set)
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/api/v1/query", "headers": []}
    await app({**scope, "query_string": b"query=up%2Bup"}, receive, send)
    assert (503, "canceled") == (sent[0]["status"], orjson.loads(sent[1]["body"])["errorType"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("job", "job"),
        ("U__http_2e_status", "http.status"),
        ("U__a__b", "a_b"),
        ("U__broken_", "U__broken_"),
        ("U__bad_ffffff_", "U__bad_ffffff_"),
    ],
)
def test_escaped_label_names_are_read(path: str, name: str) -> None:
    """Prometheus 3 escapes what a URL or an old client cannot carry."""
    assert name == unescaped_label(path)
