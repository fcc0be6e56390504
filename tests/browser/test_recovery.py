"""The page survives its server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.conftest import need

from watchkeeper.server.web.files import STATIC
from watchkeeper.testing import ProcessSpec, Supervisor, free_port

pytestmark = pytest.mark.timeout(480)

_WAIT_MS = 30_000


def test_the_page_comes_back_with_its_server(browser: Browser, tmp_path: Path) -> None:
    """A killed server is said on the page; once it is back the page goes on without a reload."""
    need("built" if (STATIC / "index.html").exists() else None, "the UI is not built: make ui")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    spec = ProcessSpec(
        "server",
        [sys.executable, "-m", "watchkeeper.cli", "serve", "--port", str(port), "--otlp-port", "0",
         "--data-dir", str(tmp_path / "data"), "--scrape-interval", "1"],
        ready_url=f"{url}/-/ready",
    )  # fmt: skip
    with Supervisor(tmp_path / "logs") as running:
        running.start(spec)
        running.wait_ready("server")
        page = browser.new_page()
        page.goto(f"{url}/#/d/overview")
        panel = page.locator('[data-testid^="panel-"]').first
        expect(panel).to_have_attribute("data-state", "data", timeout=_WAIT_MS)
        running.kill("server")
        expect(page.get_by_test_id("banner-down")).to_be_visible(timeout=_WAIT_MS)
        running.restart("server")
        running.wait_ready("server")
        expect(page.get_by_test_id("banner-down")).to_be_hidden(timeout=_WAIT_MS)
        expect(panel).to_have_attribute("data-state", "data", timeout=_WAIT_MS)
        page.close()
