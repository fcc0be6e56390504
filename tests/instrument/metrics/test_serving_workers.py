"""Real servers with four workers under load, while workers are killed and recycled."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.house.rooms import ROOT

from watchkeeper.testing import free_port, wait_until

ASGI = """
import os
import watchkeeper
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

watchkeeper.configure(service="shop", endpoint="", log_level="error")


async def item(request):
    return PlainTextResponse(str(os.getpid()))


app = Starlette(routes=[Route("/items/{id}", item)])
"""
WSGI = """
import os
import watchkeeper
from flask import Flask

watchkeeper.configure(service="shop", endpoint="", log_level="error")
app = Flask("shop")


@app.get("/items/<id>")
def item(id):
    return str(os.getpid())
"""
GUNICORN = ("-m", "gunicorn", "--workers", "4", "--log-level", "error", "--graceful-timeout", "5")
SERVERS = {
    "uvicorn": (ASGI, ("-m", "uvicorn", "--workers", "4", "--log-level", "error"), "uvicorn"),
    "gunicorn-asgi": (ASGI, (*GUNICORN, "-k", "asgi"), "gunicorn"),
    "gunicorn-asgi-preload": (ASGI, (*GUNICORN, "-k", "asgi", "--preload"), "gunicorn"),
    "gunicorn-sync-recycled": (WSGI, (*GUNICORN, "--max-requests", "40"), "gunicorn"),
    "gunicorn-sync-preload": (WSGI, (*GUNICORN, "--preload"), "gunicorn"),
    "gunicorn-gthread": (WSGI, (*GUNICORN, "-k", "gthread", "--threads", "2"), "gunicorn"),
}
COUNT = "http_server_request_duration_seconds_count"


class Service:
    """A server with workers, on one port of the loopback interface."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.targets = folder / "targets"
        self.run = folder / "run"

    def get(self, path: str, timeout: float = 10) -> str:
        """Return a whole answer of status 200, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status} {body}")
        return body

    def answers(self) -> bool:
        """Tell whether a worker serves."""
        try:
            return bool(self.get("/items/1"))
        except (OSError, http.client.HTTPException):
            return False

    def page(self) -> dict[str, float]:
        """Return every sample of the page of metrics that some worker answers with."""
        return samples(self.get("/metrics"))


def samples(text: str) -> dict[str, float]:
    """Return the samples of a page."""
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs if series}


def requests(page: dict[str, float]) -> float:
    """Return how many requests a page has counted for our route."""
    return sum(value for key, value in page.items() if key.startswith(COUNT) and "/items/" in key)


def counters(page: dict[str, float]) -> dict[str, float]:
    """Return the samples that may never become smaller."""
    names = ("_total", "_count", "_sum", "_bucket")
    gauges = ("process_thread_count", "process_unix_file_descriptor_count")
    return {
        key: value
        for key, value in page.items()
        if key.partition("{")[0].endswith(names) and not key.startswith(gauges)
    }


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Service]:
    """Start one of the servers with four workers."""
    code, command, name = SERVERS[kind]
    (folder / "shop_app.py").write_text(code, encoding="utf-8")
    service = Service(free_port(), folder)
    service.run.mkdir(mode=0o700)
    address = (
        ("--port", str(service.port))
        if name == "uvicorn"
        else ("--bind", f"127.0.0.1:{service.port}")
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")]),
        "XDG_RUNTIME_DIR": str(service.run),
        "WATCHKEEPER_TARGETS_DIR": str(service.targets),
        "WATCHKEEPER_SPOOL_DIR": str(folder / "spool"),
        "HOME": str(folder),
    }
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, *command, *address, "shop_app:app"],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        assert wait_until(service.answers, 40), (folder / "log").read_text()
        yield service
    finally:
        process.terminate()
        process.wait(80)
        log.close()


class Load:
    """Clients that count what they were answered in full, and what failed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._end = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self.failed = 0
        self.pids: dict[int, int] = {}
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                pid = int(self._service.get("/items/1"))
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.failed += 1
                self._end.wait(0.02)
                continue
            with self._lock:
                self.done += 1
                self.pids[pid] = self.pids.get(pid, 0) + 1

    def stop(self) -> None:
        """Stop and wait for the last answers."""
        self._end.set()
        for thread in self._threads:
            thread.join(20)


@pytest.mark.parametrize("kind", SERVERS)
def test_counters_survive_killed_and_recycled_workers(kind: str, tmp_path: Path) -> None:
    """No counter ever falls, the total is what clients were answered, and no file is left over."""
    chance = random.Random(7)  # noqa: S311 - a choice, not a secret
    with serving(kind, tmp_path) as service:
        before = requests(service.page())
        load = Load(service)
        fallen: list[str] = []
        last: dict[str, float] = {}
        scrapes = 0
        killed: set[int] = set()
        while scrapes < 60 or (len(load.pids) - len(killed) < 2 and scrapes < 300):
            try:
                now = counters(service.page())
            except (OSError, http.client.HTTPException):
                continue
            fallen += [
                f"{key} {last[key]} {now.get(key)}"
                for key in last
                if now.get(key, -1.0) < last[key]
            ]
            last = now
            scrapes += 1
            if scrapes % 12 == 0:
                pid = chance.choice(sorted(load.pids.keys() - killed) or [0])
                if pid:
                    killed.add(pid)
                    kill(pid)
        load.stop()
        assert wait_until(service.answers, 20)
        after = service.page()
        counted = requests(after) - before - 1
        group = next((service.run / f"watchkeeper-{os.getuid()}" / "metrics").iterdir())
        living = int(after["watchkeeper_metrics_processes"])
        names = {path.name.partition(".")[0] for path in group.glob("*-*.values")}

    assert [] == fallen
    assert len(killed) >= 3
    assert load.done <= counted <= load.done + load.failed
    assert living <= len(names) <= living + 2
    assert len(load.pids) > 4


def kill(pid: int) -> None:
    """Kill a worker that answered, unless it was recycled meanwhile."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn-gthread"])
def test_one_target_is_announced_and_taken_over(kind: str, tmp_path: Path) -> None:
    """The side listener of a killed worker is taken over on the same port, with one file throughout."""
    with serving(kind, tmp_path) as service:
        (file,) = service.targets.iterdir()
        (target,) = json.loads(file.read_text())
        port = int(target["targets"][0].rpartition(":")[2])
        side = Service(port, tmp_path)
        assert requests(side.page()) >= 1
        owner = owner_of(port)
        os.kill(owner, signal.SIGKILL)
        files = []

        def taken_over() -> bool:
            files.append([path.name for path in service.targets.iterdir()])
            try:
                return bool(side.get("/metrics")) and owner_of(port) != owner
            except (OSError, http.client.HTTPException):
                return False

        assert wait_until(taken_over, 20)
        assert json.loads(file.read_text()) == [target]
        assert all([file.name] == names for names in files)


def owner_of(port: int) -> int:
    """Return the process that listens on a port of the loopback interface."""
    wanted = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inode = next(
        fields[9]
        for fields in (line.split() for line in lines)
        if fields[1] == wanted and fields[3] == "0A"
    )
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                links = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
            except OSError:
                continue
            if f"socket:[{inode}]" in links:
                return int(process.name)
    raise LookupError(port)
