"""The demo keeps its promises, with the server killed in between, and ends cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from watchkeeper.testing import free_port, wait_until

pytestmark = pytest.mark.timeout(1680)


def test_every_promise_holds_when_the_server_is_killed(tmp_path: Path) -> None:
    """A killed server loses nothing acknowledged, what waited arrives, and an alert is delivered."""
    report = tmp_path / "check.json"
    ended = subprocess.run(
        [sys.executable, "-m", "watchkeeper.cli", "demo", "--check", "--kill-server",
         "--duration", "45", "--port", str(free_port()), "--json", str(report)],
        capture_output=True, text=True, timeout=1600, check=False,
    )  # fmt: skip
    found = json.loads(report.read_text(encoding="utf-8"))
    figures = found["figures"]

    assert [] == [promise for promise in found["promises"] if not promise["held"]], ended.stderr
    assert 0 == ended.returncode
    assert figures["spans_emitted"] == figures["spans_stored"] > 500
    assert figures["logs_emitted"] == figures["logs_stored"] > 300
    assert figures["traces"] > 100
    assert figures["while_server_down"]["requests"] > 0


def test_an_interrupt_ends_every_process(tmp_path: Path) -> None:
    """After Ctrl-C nothing that the demo started is alive, and its folder is gone."""
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            [sys.executable, "-m", "watchkeeper.cli", "demo", "--no-browser", "--port",
             str(free_port())],
            stdout=output, stderr=output,
        )  # fmt: skip
    assert wait_until(lambda: "is live" in log.read_text() or demo.poll() is not None, 90)
    children = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)

    assert 0 == demo.wait(60)
    assert len(children) >= 5
    assert wait_until(lambda: not any(child.is_running() for child in children), 10)
