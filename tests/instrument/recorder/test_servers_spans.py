"""Real servers with four workers: no span is lost when workers end or are recycled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
from tests.instrument.recorder.collector import collecting

from watchkeeper.testing import free_port, wait_until

APPS = Path(__file__).parent / "apps"
GUNICORN = ["gunicorn", "--workers=4", "--graceful-timeout=10", "--log-level=error"]
SERVERS = {
    "uvicorn": ["uvicorn", "asgiapp:app", "--workers=4", "--log-level=error"],
    "uvicorn recycled": [
        *("uvicorn", "asgiapp:app", "--workers=4", "--log-level=error"),
        *("--limit-max-requests=40", "--limit-max-requests-jitter=40"),
    ],
    "gunicorn preload": [*GUNICORN, "--preload", "wsgiapp:app"],
    "gunicorn threads recycled": [
        *(*GUNICORN, "--worker-class=gthread", "--threads=4"),
        *("--max-requests=40", "--max-requests-jitter=40", "wsgiapp:app"),
    ],
    "gunicorn asgi": [*GUNICORN, "--worker-class=asgi", "asgiapp:app"],
}


def answers(url: str) -> bool:
    """Ask on a connection of its own, so that the workers share the load."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        # A worker that is recycled may close a connection unanswered.
        return False


def load(base: str, clients: int = 8, requests: int = 40) -> Counter[str]:
    """Send requests from several clients at once; return the paths that were answered with 200."""
    answered: Counter[str] = Counter()

    def work(client: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        for number in range(requests):
            path = f"/items/{client * 1_000 + number}"
            seen[path] += answers(base + path)
        return seen

    with ThreadPoolExecutor(clients) as pool:
        for seen in pool.map(work, range(clients)):
            answered += seen
    return answered


@pytest.mark.parametrize("name", SERVERS)
def test_no_span_of_a_worker_that_exits_is_lost(name: str, tmp_path: Path) -> None:
    """Each request that a client saw answered has its span, though no export was due before."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    kind = ["--bind", f"127.0.0.1:{port}"] if "gunicorn" in name else ["--port", str(port)]
    with collecting() as collector:
        with subprocess.Popen(
            [sys.executable, "-m", *SERVERS[name], *kind],
            cwd=APPS,
            env={
                **os.environ,
                "WATCHKEEPER_ENDPOINT": collector.url,
                "WATCHKEEPER_SPOOL_DIR": str(tmp_path / "spool"),
                "WATCHKEEPER_EXPORT_INTERVAL_S": "600",
                "WATCHKEEPER_LOG_LEVEL": "error",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as server:
            try:
                assert wait_until(lambda: answers(f"{base}/items/999999"), 20)
                answered = load(base)
            finally:
                server.send_signal(signal.SIGTERM)
                output = server.communicate(timeout=120)[0]
        seen: Counter[str] = Counter()
        for span in collector.spans():
            for pair in span.attributes:
                if pair.key == "url.path":
                    seen[pair.value.string_value] += 1
    del seen["/items/999999"]

    assert sum(answered.values()) > 250, output
    assert {} == dict(answered - seen), output
    assert 1 == max(seen.values())
