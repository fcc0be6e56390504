"""Levels that are changed over HTTP reach every worker of a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from watchkeeper.cli.main import main
from watchkeeper.testing import free_port, wait_until

APP = """
import os
import watchkeeper
from fastapi import FastAPI

watchkeeper.configure(service="levels-of-workers", endpoint="")
log = watchkeeper.get_logger("shop.db")
app = FastAPI()


@app.get("/")
async def root() -> dict[str, int]:
    log.debug("detail", pid=os.getpid())
    return {"pid": os.getpid()}
"""


def test_every_worker_of_uvicorn_follows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A change that one worker takes is in force in both, and over in both when it ends."""
    (tmp_path / "shop_app.py").write_text(APP, encoding="utf-8")
    (tmp_path / "token").write_text("let-me-in", encoding="utf-8")
    port, log = free_port(), tmp_path / "logs" / "shop.log"
    env = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "WATCHKEEPER_ADMIN_TOKEN_FILE": str(tmp_path / "token"),
        "WATCHKEEPER_LOG_FILE": str(log),
        "WATCHKEEPER_LOG_STDOUT": "false",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "shop_app:app", "--port", str(port), "--workers", "2"],
        cwd=tmp_path, env=env, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    asked: set[int] = set()

    def ask() -> bool:
        # A new connection each time, so that both workers get some.
        try:
            asked.add(httpx.get(url, timeout=5).json()["pid"])
        except httpx.TransportError:
            return False
        return len(asked) == 2

    def detailed() -> set[int]:
        ask()
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        return {line["pid"] for line in lines if line["event"] == "detail"}

    try:
        up = wait_until(ask, 30)
        before = detailed()
        token = ["--token-file", str(tmp_path / "token")]
        code = main(["log-level", url, "shop.db=debug", "--for", "10m", *token])
        followed = wait_until(lambda: detailed() == asked, 20)
        main(["log-level", url, "--reset", *token])

        def is_quiet() -> bool:
            size = log.read_text("utf-8").count('"detail"')
            return [ask() for _ in range(20)] != [] and size == log.read_text("utf-8").count(
                '"detail"'
            )

        quiet = wait_until(is_quiet, 20)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(80)

    assert (True, set(), 0, True, True) == (up, before, code, followed, quiet)
    assert 2 == len(asked)
    assert "changed: shop.db: debug (for 600 s more)" in capfd.readouterr().out
