"""The side listener answers scrapes, and announces itself as long as it lives."""

from __future__ import annotations

import http.client
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchkeeper.errors import StartError
from watchkeeper.instrument.metrics.listener import MetricsListener
from watchkeeper.instrument.metrics.targets import Crew
from watchkeeper.instrument.runtime import build
from watchkeeper.instrument.settings import load
from watchkeeper.testing import FixedClock, wait_until


def scrape(accept: str) -> tuple[bytes, str]:
    """Answer with what was asked for."""
    return f"accept {accept}\n".encode(), "text/plain"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[MetricsListener]:
    """Return a running listener."""
    made = MetricsListener(scrape, service="shop api", targets_dir=tmp_path / "targets")
    made.start()
    yield made
    made.stop()


def get(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, bytes]:
    """Return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, headers={"Accept": "text/plain"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_a_scrape_is_answered(listener: MetricsListener) -> None:
    """GET and HEAD of the path are answered, anything else is not found."""
    assert get(listener.port) == (200, b"accept text/plain\n")
    assert get(listener.port, "/metrics?x=1")[0] == 200
    assert get(listener.port, method="HEAD") == (200, b"")
    assert get(listener.port, "/other")[0] == 404


def test_scrapes_run_at_once(listener: MetricsListener) -> None:
    """A connection that is kept open does not keep others waiting."""
    kept = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=5)
    kept.request("GET", "/metrics")
    kept.getresponse().read()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(get(listener.port)[0])) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    kept.close()

    assert [200] * 5 == answers


def test_connections_are_bounded() -> None:
    """More connections than the limit are answered 503 instead of piling up threads, and counted."""
    runtime = build(
        load({"endpoint": "", "metrics_port": 0, "scrape_connections_max": 2}, {}),
        clock=FixedClock(),
    )
    listener = runtime.listener
    assert listener is not None
    listener.start()
    kept = []
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=5)
        connection.request("GET", "/metrics")
        connection.getresponse().read()
        kept.append(connection)
    status = get(listener.port)[0]
    for connection in kept:
        connection.close()
    listener.stop()

    assert status == 503
    text = runtime.metrics.exposition().decode()
    counted = (
        'watchkeeper_telemetry_dropped_total{signal="metrics",reason="scrape_connections"} 1.0'
    )
    assert counted in text


def test_it_announces_itself(listener: MetricsListener, tmp_path: Path) -> None:
    """The file is in Prometheus' file_sd format, named by service and process."""
    file = tmp_path / "targets" / f"shop_api-{os.getpid()}.json"

    assert [
        {"targets": [f"127.0.0.1:{listener.port}"], "labels": {"job": "shop api"}}
    ] == json.loads(file.read_text())
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [file] == list(file.parent.iterdir())


def test_it_withdraws_and_can_announce_again(listener: MetricsListener, tmp_path: Path) -> None:
    """The announcement goes and comes back while scrapes go on; stopping removes it for good."""
    folder = tmp_path / "targets"
    listener.withdraw()
    assert list(folder.iterdir()) == []
    assert get(listener.port)[0] == 200
    listener.announce()
    assert len(list(folder.iterdir())) == 1
    port = listener.port
    listener.stop()
    listener.stop()
    assert list(folder.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        get(port)


def test_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    """Files of this service whose process is gone are removed; those of others are not."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    dead = tmp_path / f"shop-{child}.json"
    other = tmp_path / f"shop-two-{child}.json"
    alive = tmp_path / f"shop-{os.getppid()}.json"
    for file in (dead, other, alive):
        file.write_text("[]")
    listener = MetricsListener(scrape, service="shop", targets_dir=tmp_path)
    listener.start()
    left = {file.name for file in tmp_path.iterdir()}
    listener.stop()

    assert {other.name, alive.name, f"shop-{os.getpid()}.json"} == left


def test_a_taken_port_is_explained(listener: MetricsListener) -> None:
    """A fixed port in use is an error that says what to do."""
    with pytest.raises(StartError, match="metrics_port=0"):
        MetricsListener(scrape, service="x", port=listener.port).start()


def test_an_unwritable_directory_is_no_error(tmp_path: Path) -> None:
    """Scrapes are answered even where the announcement cannot be written."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    listener = MetricsListener(scrape, service="x", targets_dir=blocked / "targets")
    listener.start()
    status = get(listener.port)[0]
    listener.stop()

    assert status == 200


def test_a_failing_scrape_is_answered_500() -> None:
    """The scraper hears of a failure; the listener goes on."""

    def broken(accept: str) -> tuple[bytes, str]:
        raise RuntimeError(accept)

    listener = MetricsListener(broken, service="x")
    listener.start()
    statuses = [get(listener.port)[0], get(listener.port)[0]]
    listener.stop()

    assert [500, 500] == statuses


def _two(folder: Path) -> tuple[MetricsListener, MetricsListener]:
    """Return two workers of one group: the first has the post, the second waits for it."""
    (folder / "group").mkdir()
    made = []
    for _ in range(2):
        listener = MetricsListener(scrape, service="shop", targets_dir=folder / "targets")
        listener.start(Crew(folder / "group"))
        made.append(listener)
    return made[0], made[1]


def _announced(folder: Path) -> list[Path]:
    return list((folder / "targets").glob("*.json"))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["holder first", "waiter first"])
def test_the_last_worker_to_leave_takes_the_announcement_along(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    """Whichever order workers leave in, the target stands until the last one goes."""
    workers = _two(tmp_path)
    workers[order[0]].stop()
    assert wait_until(lambda: workers[order[1]].port > 0, 10)
    assert 1 == len(_announced(tmp_path))
    workers[order[1]].stop()
    assert [] == _announced(tmp_path)


def test_workers_that_leave_at_once_leave_no_target(tmp_path: Path) -> None:
    """However the leaving of two workers interleaves, nobody relies on the other in vain."""
    for attempt in range(40):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        threads = [threading.Thread(target=worker.stop) for worker in _two(folder)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [] == _announced(folder), attempt
