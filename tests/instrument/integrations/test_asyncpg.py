"""Operations and pools of asyncpg, against a real PostgreSQL."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import asyncpg as integration

OPERATION = "db_client_operation_duration_seconds"


@pytest.fixture
async def connection(instrumented: Rig, database_url: str) -> AsyncIterator[Any]:
    """Return a connection with an empty table of its own."""
    made = await asyncpg.connect(database_url)
    await made.execute("CREATE TEMP TABLE apg (id int, name text)")
    instrumented.spans.clear()
    yield made
    await made.close()


def names(rig: Rig) -> list[str]:
    """Return the names of the spans so far, and forget them."""
    found = [span.name for span in rig.spans]
    rig.spans.clear()
    return found


async def test_an_operation_is_a_client_span(instrumented: Rig, connection: Any) -> None:
    """Name, sanitised text, table, database and server are on the span; the metric derives."""
    await connection.fetch("SELECT id FROM apg WHERE name = 'ada' AND id > $1", 7)
    span = instrumented.named("SELECT apg")
    assert SpanKind.CLIENT is span.kind
    assert {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "db.operation.name": "SELECT",
        "db.collection.name": "apg",
        "db.query.summary": "SELECT apg",
        "db.query.text": "SELECT id FROM apg WHERE name = ? AND id > $1",
        "server.address": "127.0.0.1",
        "server.port": connection._addr[1],
    } == span.attributes
    labels = 'db_system_name="postgresql",db_operation_name="SELECT",db_collection_name="apg"'
    assert 1 == instrumented.totals(OPERATION)[labels][0]


async def test_every_way_of_asking_is_one_span(instrumented: Rig, connection: Any) -> None:
    """Each method of a connection and of a prepared statement is one span, many rows included."""
    await connection.execute("INSERT INTO apg VALUES (1, 'a')")
    await connection.execute("INSERT INTO apg VALUES ($1, $2)", 2, "b")
    await connection.executemany("INSERT INTO apg VALUES ($1, $2)", [(3, "c"), (4, "d")])
    assert 2 == instrumented.spans[-1].attributes["db.operation.batch.size"]
    assert ["INSERT apg"] * 3 == names(instrumented)
    await connection.fetch("SELECT * FROM apg")
    await connection.fetchrow("SELECT * FROM apg")
    assert 4 == await connection.fetchval("SELECT count(*) FROM apg")
    await connection.fetchmany("SELECT $1::int FROM apg", [(1,), (2,)])
    prepared = await connection.prepare("SELECT name FROM apg WHERE id = $1")
    assert "b" == await prepared.fetchval(2)
    assert 1 == len(await prepared.fetch(1))
    assert None is await prepared.fetchrow(99)
    assert ["SELECT apg"] * 7 == names(instrumented)


async def test_cursors_are_a_span_per_chunk(instrumented: Rig, connection: Any) -> None:
    """Iterating asks the server chunk by chunk; each is an operation of its own."""
    async with connection.transaction():
        rows = [
            row[0]
            async for row in connection.cursor("SELECT * FROM generate_series(1, 5)", prefetch=2)
        ]
    assert [1, 2, 3, 4, 5] == rows
    seen = names(instrumented)
    assert ("BEGIN", "COMMIT") == (seen[0], seen[-1])
    assert ["SELECT generate_series"] * 3 == seen[1:-1]


async def test_copies_are_spans(instrumented: Rig, connection: Any) -> None:
    """COPY in, out and of records names the table; the records' values are nowhere."""
    await connection.copy_records_to_table("apg", records=[(1, "secret"), (2, "x")])
    await connection.copy_to_table("apg", source=io.BytesIO(b"3\tc\n"))
    await connection.copy_from_table("apg", output=io.BytesIO())
    await connection.copy_from_query("SELECT * FROM apg", output=io.BytesIO())
    assert 2 == instrumented.spans[0].attributes["db.operation.batch.size"]
    assert not any("secret" in str(span.attributes) for span in instrumented.spans)
    assert ["COPY apg"] * 4 == names(instrumented)


async def test_a_refused_statement_is_an_error(instrumented: Rig, connection: Any) -> None:
    """The span has PostgreSQL's error by class; the application gets the same exception."""
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.fetch("SELECT * FROM nowhere")
    span = instrumented.named("SELECT nowhere")
    assert StatusCode.ERROR is span.status_code
    assert "asyncpg.exceptions.UndefinedTableError" == span.attributes["error.type"]


async def test_a_cancelled_statement_ends_its_span(instrumented: Rig, connection: Any) -> None:
    """Cancelling the task ends the span as failed, and the cancellation goes on."""
    task = asyncio.create_task(connection.execute("SELECT pg_sleep(20)"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "CancelledError" in str(instrumented.named("SELECT").attributes["error.type"])


async def test_a_misused_statement_fails_as_ever(instrumented: Rig, database_url: str) -> None:
    """Asyncpg's own complaint reaches the caller, and the span ends as failed."""
    closed = await asyncpg.connect(database_url)
    prepared = await closed.prepare("SELECT 1")
    await closed.close()
    with pytest.raises(asyncpg.InterfaceError):
        await prepared.fetch()
    assert StatusCode.ERROR is instrumented.named("SELECT").status_code


async def test_pools_show_their_connections(instrumented: Rig, database_url: str) -> None:
    """Sizes by state, the most allowed, waits, uses, timeouts; the reset of a return is no span."""
    pool = 'db_client_connection_pool_name="asyncpg"'
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as made:
        async with made.acquire() as connection:
            assert 1 == await connection.fetchval("SELECT 1")
            instrumented.clock.advance(2.0)
            states = instrumented.samples("db_client_connection_count")
            with pytest.raises(asyncio.TimeoutError):
                await made.acquire(timeout=0.01)
            waiting = asyncio.create_task(made.fetchval("SELECT 2"))
            await asyncio.sleep(0)
            assert 1 == instrumented.value(f"db_client_connection_pending_requests{{{pool}}}")
        assert 2 == await waiting
        assert 1 == instrumented.value(f"db_client_connection_max{{{pool}}}")
    assert {
        f'db_client_connection_count{{{pool},db_client_connection_state="used"}}': 1,
        f'db_client_connection_count{{{pool},db_client_connection_state="idle"}}': 0,
    } == states
    assert 1 == instrumented.value(f"db_client_connection_timeouts_total{{{pool}}}")
    assert (2, 2.0) == instrumented.totals("db_client_connection_use_time_seconds")[pool]
    assert 2 == instrumented.totals("db_client_connection_wait_time_seconds")[pool][0]
    assert ["SELECT", "SELECT"] == names(instrumented)


async def test_a_server_that_cannot_be_reached_is_counted(instrumented: Rig) -> None:
    """A connection that cannot be opened is counted, and the error passes."""
    with pytest.raises(OSError, match="Connect"):
        await asyncpg.create_pool("postgresql://x@127.0.0.1:1/x", min_size=1)
    assert [1] == list(instrumented.samples("connection_pool_create_failures_total").values())


async def test_undo_leaves_nothing(rig: Rig, database_url: str) -> None:
    """After undo no operation is recorded."""
    before = asyncpg.Connection.fetch
    integration.instrument(rig)()
    assert before is asyncpg.Connection.fetch
    connection = await asyncpg.connect(database_url)
    await connection.fetch("SELECT 1")
    await connection.close()
    assert [] == rig.spans
