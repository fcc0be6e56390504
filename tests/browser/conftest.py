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
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.house.rooms import ROOT

from watchkeeper.server.web.files import STATIC
from watchkeeper.testing import free_port, wait_until

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
        process.wait(60)
