"""AgentDesk on PostgreSQL and Redis, Debian's own, started for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.demo.desk import Desk, running

from watchkeeper.testing import wait_until


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
