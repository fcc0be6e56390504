"""PostgreSQL and Redis, Debian's own, started for the tests that talk to them."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis

from watchkeeper.testing import free_port, wait_until

__all__ = ["database_url", "needed", "redis_url"]


def needed(program: str) -> NoReturn:
    """Fail in CI and skip elsewhere, since *program* is not installed."""
    message = (
        f"{program} is not installed; `make debian` installs it where apt and root are at hand"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A PostgreSQL of its own in a temporary folder; it refuses to run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        needed("postgresql")
    binaries = found[-1]
    root = getpass.getuser() == "root"
    as_owner = ["runuser", "-u", "postgres", "--"] if root else []
    base = Path(tempfile.mkdtemp(prefix="watchkeeper-postgres-"))
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
        server.wait(40)
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
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
        server.wait(40)
