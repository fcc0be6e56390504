"""The whole server in a thread: real senders, real scrapes, and what it says of itself."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from prometheus_client import CollectorRegistry, Counter, start_http_server

from watchkeeper.clock import SystemClock
from watchkeeper.errors import RuleFileError, SettingError, StartError, WatchkeeperError
from watchkeeper.server.run import bind, build
from watchkeeper.server.settings import ServerSettings
from watchkeeper.testing.processes import wait_until
from watchkeeper.testing.server import EmbeddedServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Yield one server for the tests of this file."""
    with EmbeddedServer(tmp_path_factory.mktemp("server"), scrape_interval_s=0.5) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy stand between the senders and us."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def get(server: EmbeddedServer, path: str, **params: str) -> Any:
    """Return the JSON of an answer."""
    return httpx.get(f"{server.url}{path}", params=params, trust_env=False).json()


def values(server: EmbeddedServer, query: str) -> dict[str, float]:
    """Return an instant query's values by instance."""
    result = get(server, "/api/v1/query", query=query)["data"]["result"]
    return {row["metric"].get("instance", ""): float(row["value"][1]) for row in result}


@pytest.mark.parametrize("compression", list(Compression))
def test_spans_of_the_opentelemetry_sdk_arrive(
    server: EmbeddedServer, compression: Compression
) -> None:
    """The SDK's own exporter is answered so that it is content, and the trace can be read."""
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests", "1")
    with (
        tracer.start_as_current_span("buy", attributes={"n": 7}) as root,
        tracer.start_as_current_span("pay"),
    ):
        root.add_event("paid", {"ok": True})
    provider.shutdown()

    trace = get(server, f"/api/traces/{root.get_span_context().trace_id:032x}")
    spans = [s for b in trace["batches"] for g in b["scopeSpans"] for s in g["spans"]]
    assert {"buy", "pay"} == {span["name"] for span in spans}


def test_metrics_of_the_opentelemetry_sdk_arrive(server: EmbeddedServer) -> None:
    """Cumulative metrics that the SDK sends can be asked for in PromQL."""
    exporter = OTLPMetricExporter(f"{server.url}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1_000_000)
    resource = Resource.create({"service.name": "sdk", "service.instance.id": "one"})
    provider = MeterProvider([reader], resource=resource)
    provider.get_meter("tests").create_counter("orders", "{order}").add(3, {"kind": "x"})
    provider.get_meter("tests").create_histogram("wait", "s").record(0.2)
    provider.shutdown()

    assert {"one": 3.0} == values(server, 'orders_total{job="sdk",kind="x"}')
    assert {"one": 1.0} == values(server, 'wait_seconds_count{job="sdk"}')


def test_a_target_is_scraped_until_it_is_gone(server: EmbeddedServer) -> None:
    """A target of a file_sd file is up, its counter can be asked for; gone, it ends."""
    registry = CollectorRegistry()
    Counter("parcels", "Parcels.", registry=registry).inc(5)
    httpd, thread = start_http_server(0, "127.0.0.1", registry)
    address = f"127.0.0.1:{httpd.server_port}"
    file = server.targets_dir / "one.json"
    server.targets_dir.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([{"targets": [address], "labels": {"job": "post"}}]))
    try:
        assert wait_until(lambda: values(server, 'parcels_total{job="post"}') == {address: 5.0}, 15)
        targets = get(server, "/api/v1/targets")["data"]["activeTargets"]
        assert {"post": "up"}.items() <= {
            target["labels"]["job"]: target["health"] for target in targets
        }.items()
        file.unlink()
        assert wait_until(lambda: values(server, 'up{job="post"}') == {}, 15)
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join(5)


def test_a_target_that_refuses_is_down(server: EmbeddedServer) -> None:
    """Nobody listens there: up is 0, and the reason can be read."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        server.targets_dir.mkdir(parents=True, exist_ok=True)
        file = server.targets_dir / "down.yml"
        file.write_text(f"- targets: ['{address}']\n  labels: {{job: down}}\n")
        assert wait_until(lambda: values(server, 'up{job="down"}') == {address: 0.0}, 15)
        targets = get(server, "/api/v1/targets")["data"]["activeTargets"]
        file.unlink()

    assert [True] == [bool(t["lastError"]) for t in targets if t["labels"]["job"] == "down"]


def test_the_server_watches_itself(server: EmbeddedServer) -> None:
    """Its own metrics are scraped in process, under job watchkeeper."""
    assert wait_until(lambda: 1.0 in values(server, 'up{job="watchkeeper"}').values(), 15)
    query = 'sum by (instance) (watchkeeper_server_ingested_total{signal="metrics"})'
    assert wait_until(lambda: sum(values(server, query).values()) > 0, 15)


def test_health_status_and_page(server: EmbeddedServer) -> None:
    """Health, readiness, status and the page answer; unknown paths of APIs are 404."""
    codes = {
        path: httpx.get(f"{server.url}{path}", trust_env=False).status_code
        for path in ("/-/healthy", "/-/ready", "/metrics", "/api/nothing")
    }

    assert codes == {"/-/healthy": 200, "/-/ready": 200, "/metrics": 200, "/api/nothing": 404}
    status = get(server, "/api/watchkeeper/v1/status")
    assert {"version", "started_ms", "store"} <= set(status)
    assert httpx.get(f"{server.url}/", trust_env=False).status_code in (200, 503)


def test_a_port_in_use_is_named_with_its_holder() -> None:
    """The message has the port, our own pid as the holder, and what to do."""
    with bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} .*process {os.getpid()}.*Next:"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", ""])  # noqa: S104 - refused
def test_only_loopback(tmp_path: Path, host: str) -> None:
    """Without authentication no other host than loopback is accepted."""
    with pytest.raises(SettingError, match="loopback"):
        ServerSettings(data_dir=tmp_path, targets_dir=tmp_path, host=host)


@pytest.mark.parametrize(
    "url",
    [
        "watch.example",
        "ftp://watch.example",
        "https://u:p@watch.example",
        "https://watch.example?a=1",
    ],
)
def test_an_address_for_links_is_a_whole_address(tmp_path: Path, url: str) -> None:
    """What cannot be put before a path is refused."""
    with pytest.raises(SettingError, match="external_url"):
        ServerSettings(data_dir=tmp_path, targets_dir=tmp_path, external_url=url)


def test_links_lead_to_where_people_reach_the_server(tmp_path: Path) -> None:
    """The given address stands in messages, without it this machine's own."""
    for given, wanted in (
        ("https://w.example/x/", "https://w.example/x"),
        ("", "http://127.0.0.1:8400"),
    ):
        settings = ServerSettings(
            data_dir=tmp_path / "data", targets_dir=tmp_path / "targets", external_url=given
        )
        server = build(settings, clock=SystemClock())
        server.store.close()
        assert wanted == server.url


def test_a_sender_that_cannot_be_made_lets_the_directory_go(tmp_path: Path) -> None:
    """A template that fails in an ``alertmanager.yml`` ends the start, and holds nothing."""
    routes = tmp_path / "alertmanager.yml"
    slack = "slack_configs: [{api_url: 'http://127.0.0.1:9/x', text: '{{ nothing }}'}]"
    text = f"route: {{receiver: a}}\nreceivers: [{{name: a, {slack}}}]\n"
    routes.write_text(text)
    settings = ServerSettings(
        data_dir=tmp_path / "data", targets_dir=tmp_path / "targets", alertmanager_config=routes
    )
    with pytest.raises(WatchkeeperError, match="nothing"):
        build(settings, clock=SystemClock())
    routes.write_text(text.replace("{{ nothing }}", "{{ .Status }}"))
    build(settings, clock=SystemClock()).store.close()


def test_a_bad_rule_file_lets_the_directory_go(tmp_path: Path) -> None:
    """A start that fails holds nothing: the next one succeeds."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: 5")
    settings = ServerSettings(
        data_dir=tmp_path / "data", targets_dir=tmp_path / "targets", rule_files=(rules,)
    )
    with pytest.raises(RuleFileError):
        build(settings, clock=SystemClock())
    rules.write_text("groups: []")
    build(settings, clock=SystemClock()).store.close()
