"""Rules that are evaluated on a Prometheus elsewhere: Debian's own, scraping a real target."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from tests.services import needed

from watchkeeper.errors import SettingError
from watchkeeper.server.rules.loader import load_text
from watchkeeper.server.rules.remote import unreadable
from watchkeeper.server.settings import ServerSettings
from watchkeeper.testing import free_port, wait_until
from watchkeeper.testing.server import EmbeddedServer

RULES = """
groups:
- name: there
  interval: 1s
  rules:
  - {record: 'job:depth:max', expr: max by (job) (depth)}
  - alert: Deep
    expr: max by (job) (depth) > 10
    annotations: {summary: '{{ $labels.job }} holds {{ $value }}'}
"""


def get(url: str, path: str, **params: str) -> Any:
    """Return the JSON of an answer."""
    return httpx.get(f"{url}{path}", params=params, trust_env=False).json()


@pytest.fixture
def depth() -> Iterator[tuple[Gauge, str]]:
    """Yield a gauge and the address at which it can be scraped."""
    registry = CollectorRegistry()
    gauge = Gauge("depth", "Depth.", registry=registry)
    httpd, thread = start_http_server(0, "127.0.0.1", registry)
    yield gauge, f"127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join(5)


@pytest.fixture
def prometheus(tmp_path: Path, depth: tuple[Gauge, str]) -> Iterator[str]:
    """Yield the address of Debian's Prometheus, which scrapes the gauge each second."""
    if shutil.which("prometheus") is None:
        needed("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: queue\n"
        f"  static_configs: [{{targets: ['{depth[1]}']}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address={address}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://{address}"

    def scraped() -> bool:
        try:
            return bool(get(url, "/api/v1/query", query="depth")["data"]["result"])
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    try:
        assert wait_until(scraped, 30)
        yield url
    finally:
        process.terminate()
        process.wait(80)


def test_rules_run_on_a_prometheus_elsewhere(
    tmp_path: Path, depth: tuple[Gauge, str], prometheus: str
) -> None:
    """Alerts follow what the other server scrapes; what rules write is kept here."""
    rules = tmp_path / "r.yml"
    rules.write_text(RULES)
    depth[0].set(42)
    with EmbeddedServer(
        tmp_path / "server", rule_files=(rules,), prometheus_url=prometheus
    ) as server:

        def alerts() -> list[tuple[str, str]]:
            found = get(server.url, "/api/v1/alerts")["data"]["alerts"]
            return [(one["state"], one["annotations"]["summary"]) for one in found]

        def value(query: str) -> list[str]:
            found = get(server.url, "/api/v1/query", query=query)["data"]["result"]
            return [one["value"][1] for one in found]

        assert wait_until(lambda: alerts() == [("firing", "queue holds 42")], 20)
        assert wait_until(lambda: value("job:depth:max") == ["42"], 20)
        assert ["1"] == value('ALERTS{alertname="Deep",job="queue"}')
        assert [] == value("depth")
        assert [] == get(prometheus, "/api/v1/query", query="ALERTS")["data"]["result"]
        depth[0].set(1)
        assert wait_until(lambda: alerts() == [], 20)


def test_a_server_that_cannot_be_reached_is_no_all_clear(tmp_path: Path) -> None:
    """While nobody answers, each rule says so and keeps its state."""
    rules = tmp_path / "r.yml"
    rules.write_text(RULES)
    url = f"http://user:pass1word@127.0.0.1:{free_port()}"
    with EmbeddedServer(tmp_path / "server", rule_files=(rules,), prometheus_url=url) as server:

        def errors() -> list[str]:
            groups = get(server.url, "/api/v1/rules")["data"]["groups"]
            return [rule.get("lastError", "") for group in groups for rule in group["rules"]]

        assert wait_until(lambda: all(errors()), 20)
        assert all("the query was not answered" in error for error in errors())
        assert "pass1word" not in str(errors())


@pytest.mark.parametrize("expr", ["sum(job:depth:max)", "ALERTS", "up and on() job:depth:max"])
def test_a_rule_over_what_rules_write_is_refused(expr: str) -> None:
    """The other server does not see it, so the alert would never fire; told with file and line."""
    text = f"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: '{expr}'\n"
    files = {"a.yml": load_text(text, "a.yml"), "r.yml": load_text(RULES, "r.yml")}
    found = unreadable(files)
    assert ["a.yml"] == list(found)
    assert found["a.yml"].startswith("a.yml:4: A reads ")
    assert {} == unreadable({"r.yml": files["r.yml"]})


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://host", "http://", "/metrics"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    """The setting takes addresses of HTTP only, and shows no password that was in it."""
    with pytest.raises(SettingError, match="prometheus_url is no address"):
        ServerSettings(data_dir=tmp_path, targets_dir=tmp_path, prometheus_url=url)
    settings = ServerSettings(
        data_dir=tmp_path, targets_dir=tmp_path, prometheus_url="http://user:pass1word@host:9090"
    )
    assert "pass1word" not in repr(settings)
