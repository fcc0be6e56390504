"""Statements of psycopg 3, against a real PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from psycopg import sql
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import psycopg as integration


@pytest.fixture
def connection(instrumented: Rig, database_url: str) -> Iterator[Any]:
    """Return a connection with an empty table of its own."""
    with psycopg.connect(database_url) as made:
        made.execute("CREATE TEMP TABLE pg3 (id int, name text)")
        instrumented.spans.clear()
        yield made


@pytest.fixture
async def later(instrumented: Rig, database_url: str) -> AsyncIterator[Any]:
    """Return an asynchronous connection with an empty table of its own."""
    async with await psycopg.AsyncConnection.connect(database_url) as made:
        await made.execute("CREATE TEMP TABLE pg3 (id int, name text)")
        instrumented.spans.clear()
        yield made


def names(rig: Rig) -> list[str]:
    """Return the names of the spans so far, and forget them."""
    found = [span.name for span in rig.spans]
    rig.spans.clear()
    return found


def test_a_statement_is_a_client_span(instrumented: Rig, connection: Any) -> None:
    """Name, sanitised text, table, database and server are on the span; the metric derives."""
    connection.execute("SELECT id FROM pg3 WHERE name = 'ada' AND id > %s", (7,))
    span = instrumented.named("SELECT pg3")
    assert SpanKind.CLIENT is span.kind
    assert {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "db.operation.name": "SELECT",
        "db.collection.name": "pg3",
        "db.query.summary": "SELECT pg3",
        "db.query.text": "SELECT id FROM pg3 WHERE name = ? AND id > %s",
        "server.address": "127.0.0.1",
        "server.port": connection.info.port,
    } == span.attributes
    labels = 'db_system_name="postgresql",db_operation_name="SELECT",db_collection_name="pg3"'
    assert 1 == instrumented.totals("db_client_operation_duration_seconds")[labels][0]


def test_every_way_of_asking_is_one_span(instrumented: Rig, connection: Any) -> None:
    """Cursors of each kind, many rows, streams, copies and composed statements are one span each."""
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO pg3 VALUES (%s, %s)", [(1, "a"), (2, "b")])
        assert 2 == instrumented.spans[-1].attributes["db.operation.batch.size"]
        cursor.execute(b"SELECT * FROM pg3")
        assert 2 == len(list(cursor.stream("SELECT * FROM pg3")))
        with cursor.copy("COPY pg3 FROM STDIN") as copy:
            copy.write_row((3, "secret"))
        composed = sql.SQL("SELECT {} FROM {}").format(sql.Literal("s3"), sql.Identifier("pg3"))
        cursor.execute(composed)
    with psycopg.ClientCursor(connection) as client:
        client.execute("SELECT * FROM pg3 WHERE id = %s", (1,))
    with connection.cursor("named") as server:
        server.execute("SELECT * FROM pg3")
        assert 3 == len(server.fetchall())
    assert not any("s3" in str(span.attributes) for span in instrumented.spans)
    assert ["INSERT pg3", "SELECT pg3", "SELECT pg3", "COPY pg3"] + ["SELECT pg3"] * 3 == (
        names(instrumented)
    )


def test_a_pipeline_is_one_span(instrumented: Rig, connection: Any) -> None:
    """What is queued in a pipeline's block is one span with the number of statements."""
    with connection.pipeline(), connection.pipeline():
        for number in range(3):
            connection.execute("INSERT INTO pg3 VALUES (%s, 'x')", (number,))
    span = instrumented.named("PIPELINE")
    assert 3 == span.attributes["db.operation.batch.size"]
    assert 1 == len(names(instrumented))
    connection.execute("SELECT 1")
    assert ["SELECT"] == names(instrumented)


def test_a_failed_pipeline_is_an_error(instrumented: Rig, connection: Any) -> None:
    """An error that only the end of the block shows marks the block's span."""

    def work() -> None:
        with connection.pipeline():
            connection.execute("SELECT * FROM nowhere")

    with pytest.raises(psycopg.errors.UndefinedTable):
        work()
    span = instrumented.named("PIPELINE")
    assert "psycopg.errors.UndefinedTable" == span.attributes["error.type"]


def test_a_refused_statement_is_an_error(instrumented: Rig, connection: Any) -> None:
    """The span has PostgreSQL's error by class; the application gets the same exception."""
    with pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM nowhere")
    span = instrumented.named("SELECT nowhere")
    assert StatusCode.ERROR is span.status_code
    assert "psycopg.errors.UndefinedTable" == span.attributes["error.type"]


def test_a_stream_that_is_left_ends(instrumented: Rig, connection: Any) -> None:
    """Closing a stream early ends its span, and the server's query with it."""
    with connection.cursor() as cursor:
        rows = cursor.stream("SELECT * FROM generate_series(1, 100000)")
        next(rows)
        rows.close()
    assert ["SELECT generate_series"] == names(instrumented)


async def test_asynchronous_connections_count_too(instrumented: Rig, later: Any) -> None:
    """The same for asyncio: spans below the current one, one per operation."""
    tracer = instrumented.recorder.tracer_provider.get_tracer("t")
    with tracer.start_as_current_span("outer"):
        async with later.cursor() as cursor:
            await cursor.executemany("INSERT INTO pg3 VALUES (%s, %s)", [(1, "a"), (2, "b")])
            assert 2 == len([row async for row in cursor.stream("SELECT * FROM pg3")])
            async with cursor.copy("COPY pg3 TO STDOUT") as copy:
                assert 2 == len([row async for row in copy.rows()])
        async with later.cursor("named") as server:
            await server.execute("SELECT * FROM pg3")
        async with later.pipeline():
            await later.execute("DELETE FROM pg3")
        with pytest.raises(psycopg.errors.UndefinedTable):
            await later.execute("SELECT * FROM nowhere")
    outer = instrumented.named("outer")
    spans = [span for span in instrumented.spans if span is not outer]
    assert {outer.span_id} == {span.parent_id for span in spans}
    assert [
        *("INSERT pg3", "SELECT pg3", "COPY pg3", "SELECT pg3", "PIPELINE", "SELECT nowhere"),
    ] == [span.name for span in spans]


def test_undo_leaves_nothing(rig: Rig, database_url: str) -> None:
    """After undo no statement is recorded."""
    before = psycopg.Cursor.execute
    integration.instrument(rig)()
    assert before is psycopg.Cursor.execute
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT 1")
    assert [] == rig.spans
