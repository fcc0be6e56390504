"""Debian's promtool asks a real server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from tests.server.api.prometheus_app import NOON_S, application, fill
from tests.services import needed

from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock


@pytest.fixture
def url(store: Store, clock: FixedClock) -> Iterator[str]:
    """Yield the address of a server over a filled store."""
    fill(store)
    config = uvicorn.Config(application(store, clock), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()


def _promtool(*args: str) -> str:
    program = shutil.which("promtool")
    if program is None:
        needed("promtool")
    done = subprocess.run([program, *args], capture_output=True, text=True, timeout=80, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_promtool_reads_every_kind_of_answer(url: str) -> None:
    """Instant and range queries, series, labels."""
    query = 'up{instance="a:1"}'
    instant = _promtool("query", "instant", url, query, f"--time={NOON_S}")
    assert f'up{{instance="a:1", job="api"}} => 1 @[{NOON_S}]\n' == instant
    bounds = [f"--start={NOON_S - 30}", f"--end={NOON_S}"]
    ranged = _promtool("query", "range", url, "sum(up)", "--step=15s", *bounds)
    assert f"{{}} =>\n2 @[{NOON_S - 30}]\n2 @[{NOON_S - 15}]\n2 @[{NOON_S}]\n" == ranged
    assert 2 == len(_promtool("query", "series", url, "--match=up", *bounds).splitlines())
    assert "api\n" == _promtool("query", "labels", url, "job", *bounds)
