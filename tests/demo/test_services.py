"""AgentDesk on PostgreSQL and Redis, Debian's own, started for these tests."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from tests.demo.desk import Desk, needed, running

from watchkeeper.testing import free_port
from watchkeeper.testing.processes import wait_until


def _postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        needed("postgresql")
    return found[-1]


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A PostgreSQL of its own in a temporary folder; it refuses to run as root."""
    binaries = _postgres_binaries()
    root = getpass.getuser() == "root"
    as_owner = ["runuser", "-u", "postgres", "--"] if root else []
    base = Path(tempfile.mkdtemp(prefix="agentdesk-postgres-"))
    if root:
        shutil.chown(base, "postgres", "postgres")
    data, port = base / "data", free_port()
    subprocess.run(
        [*as_owner, binaries / "initdb", "-D", data, "-U", "desk", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    server = subprocess.Popen(
        [
            *(*as_owner, str(binaries / "postgres"), "-D", str(data)),
            *("-p", str(port), "-k", str(base)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    url = f"postgresql://desk@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
            return True
        return False

    try:
        assert wait_until(answers, 20)
        yield url
    finally:
        subprocess.run(
            [*as_owner, binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"],
            check=False,
            capture_output=True,
            cwd="/",
        )
        server.wait(10)
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of its own."""
    binary = shutil.which("redis-server")
    if binary is None:
        needed("redis-server")
    port = free_port()
    server = subprocess.Popen(
        [
            *(str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(tmp_path_factory.mktemp("redis"))),
        ],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url) as client:
            return bool(client.ping())
        return False

    try:
        assert wait_until(answers, 10)
        yield url
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, redis_url: str
) -> Iterator[Desk]:
    """AgentDesk on both."""
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with running(Path(tmp_path_factory.mktemp("services")), env=env) as started:
        yield started


def test_a_document_goes_through_redis_into_postgresql(desk: Desk, database_url: str) -> None:
    """Upload, queue, ingestion and search work, and the rows are where they should be."""
    owner = desk.person()
    body = {"title": "terms", "body": "The zebra clause applies."}

    number = desk.api.post("/documents", json=body, headers=owner).json()["id"]

    assert wait_until(lambda: desk.document(number, owner)["status"] == "indexed", 20)
    found = desk.api.get("/search", params={"q": "zebra"}, headers=owner).json()
    assert ["The zebra clause applies."] == found["results"]
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT title, status FROM documents").fetchone()
    assert ("terms", "indexed") == row


def test_no_sqlite_file_is_made(desk: Desk) -> None:
    """With both services AgentDesk keeps no database of its own beside them."""
    assert [] == [path.name for path in desk.settings.base_dir.glob("*.db*")]


def test_an_agent_runs_on_postgresql(desk: Desk) -> None:
    """A run uses its tools and leaves its tokens in the tenant's usage."""
    person = desk.person("globex")
    body = {"question": "Which customer asked for a refund?"}

    codes = {
        desk.api.post("/agents/research/run", json=body, headers=person).status_code
        for _ in range(6)
    }

    assert {200, 503} >= codes
    assert desk.api.get("/usage", headers=person).json()["research"] > 0


def test_the_database_fault_works_on_postgresql(desk: Desk) -> None:
    """The switch refuses connections there too, and gives all of them back."""
    person = desk.person()
    desk.faults.set("database_down", 1.0)
    down = {desk.api.get("/me", headers=person).status_code for _ in range(20)}
    desk.faults.clear("database_down")

    up = {desk.api.get("/me", headers=person).status_code for _ in range(20)}

    assert ({503}, {200}) == (down, up)
