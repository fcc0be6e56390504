"""A running demo and a real browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.house.rooms import ROOT

from watchkeeper.server.web.files import STATIC
from watchkeeper.testing import FakeWebhook, ProcessSpec, Supervisor, free_port, wait_until

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def need(what: str | None, message: str) -> str:
    """Return *what*; if it is missing, fail CI and skip elsewhere."""
    if what:
        return what
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Return the folder of screenshots, made anew."""
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield Debian's Chromium, driven by Playwright.

    For one module: Playwright keeps an event loop running, beside which asyncio tests cannot run.
    """
    program = need(shutil.which("chromium"), "chromium is not installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


def _firing(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=5) as answer:  # noqa: S310 - our own server
            alerts = json.load(answer)["data"]["alerts"]
    except (OSError, urllib.error.URLError):
        return False
    return any(
        alert["labels"]["alertname"] == "ApiErrorRate" and alert["state"] == "firing"
        for alert in alerts
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a running demo whose error alert is firing."""
    need("built" if (STATIC / "index.html").exists() else None, "the UI is not built: make ui")
    port = free_port()
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "watchkeeper.cli", "demo", "--no-browser", "--port", str(port),
             "--duration", "400"],
            stdout=output, stderr=output,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        fired = wait_until(lambda: _firing(url) or process.poll() is not None, 120)
        assert fired, log.read_text()
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(240)


RULES = """
groups:
  - name: test
    interval: 1s
    rules:
      - alert: QueueDepth
        expr: >
          label_replace(vector(1500), "queue", "emails", "", "")
          or label_replace(vector(2300), "queue", "thumbnails", "", "")
        labels: {severity: ticket, service: worker}
        annotations:
          summary: "The queue {{ $labels.queue }} holds {{ $value | humanize }} jobs"
          runbook_url: https://example.org/runbooks/queue
      - alert: DatabaseDown
        expr: vector(1)
        labels: {severity: page, service: db}
        annotations: {summary: "db does not accept connections"}
      - alert: SlowQueries
        expr: vector(2.5)
        labels: {severity: ticket, service: db}
        annotations: {summary: "Queries of db are slow"}
      - alert: DiskFull
        expr: vector(0.97)
        labels: {severity: page, host: a}
        annotations: {summary: "97 % of the disk is used"}
      - alert: Watchdog
        expr: vector(1)
        labels: {severity: none}
"""
_ROUTES = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
inhibit_rules:
  - source_matchers: [alertname="DatabaseDown"]
    target_matchers: [alertname="SlowQueries"]
    equal: [service]
receivers:
  - name: team
    webhook_configs: [{url: "%s"}]
"""


@dataclass(frozen=True)
class Alerting:
    """A running server."""

    url: str
    rules: Path

    def ask(self, path: str) -> list[dict[str, object]]:
        """Return the JSON that the server answers."""
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310 - our own server
            found: list[dict[str, object]] = json.load(answer)
            return found


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    """Yield a server whose alerts fire and whose receiver has been told."""
    need("built" if (STATIC / "index.html").exists() else None, "the UI is not built: make ui")
    folder = tmp_path_factory.mktemp("alerting")
    port = free_port()
    with FakeWebhook() as receiver, Supervisor(folder / "logs") as running:
        found = Alerting(f"http://127.0.0.1:{port}", folder / "rules.yml")
        found.rules.write_text(RULES)
        (folder / "alertmanager.yml").write_text(_ROUTES % receiver.url)
        argv = [
            sys.executable, "-m", "watchkeeper.cli", "serve", "--port", str(port),
            "--otlp-port", "0", "--data-dir", str(folder / "data"), "--rules", str(found.rules),
            "--alertmanager-config", str(folder / "alertmanager.yml"),
        ]  # fmt: skip
        running.start(ProcessSpec("server", argv, ready_url=f"{found.url}/-/ready"))
        running.wait_ready("server")
        assert wait_until(lambda: len(receiver.notifications) >= 3, 30)
        yield found
