"""Statements and pools of SQLAlchemy engines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import sqlalchemy as integration

META = MetaData()
USERS = Table("users", META, Column("id", Integer, primary_key=True), Column("name", String))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine that was made before or after, on a file with a table."""
    made = create_engine(
        f"sqlite:///{tmp_path}/a.db", pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    META.create_all(made)
    yield made
    made.dispose()


def test_a_statement_is_a_client_span(instrumented: Rig, engine: Engine) -> None:
    """Name, sanitised text, operation, table and database are on the span; the metric derives."""
    instrumented.spans.clear()
    parent = instrumented.recorder.start("parent")
    with engine.begin() as connection:
        connection.execute(text("SELECT id FROM users WHERE name = 'ada' AND id > 7"))
    parent.end()
    span = instrumented.spans[0]
    assert ("SELECT users", SpanKind.CLIENT) == (span.name, span.kind)
    assert {
        "db.system.name": "sqlite",
        "db.namespace": engine.url.database,
        "db.operation.name": "SELECT",
        "db.collection.name": "users",
        "db.query.summary": "SELECT users",
        "db.query.text": "SELECT id FROM users WHERE name = ? AND id > ?",
    } == span.attributes
    assert (
        'db_system_name="sqlite",db_operation_name="SELECT",db_collection_name="users"'
        in instrumented.totals("db_client_operation_duration_seconds")
    )


def test_many_rows_are_one_span(instrumented: Rig, engine: Engine) -> None:
    """An executemany is one operation."""
    instrumented.spans.clear()
    with engine.begin() as connection:
        connection.execute(insert(USERS), [{"name": "a"}, {"name": "b"}, {"name": "c"}])
    assert ["INSERT users"] == [span.name for span in instrumented.spans]


def test_a_refused_statement_is_an_error(instrumented: Rig, engine: Engine) -> None:
    """The span has the driver's error; the application gets SQLAlchemy's, unchanged."""
    with engine.connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("SELECT * FROM nowhere"))
    span = instrumented.named("SELECT nowhere")
    assert StatusCode.ERROR is span.status_code
    assert "sqlite3.OperationalError" == span.attributes["error.type"]


async def test_asynchronous_engines_count_too(instrumented: Rig, tmp_path: Path) -> None:
    """No special call for an AsyncEngine: its spans are children of the current one."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/b.db")
    tracer = instrumented.recorder.tracer_provider.get_tracer("t")
    try:
        with tracer.start_as_current_span("outer"):
            async with engine.begin() as connection:
                await connection.run_sync(META.create_all)
                await connection.execute(insert(USERS), {"name": "a"})
                assert 1 == len((await connection.execute(select(USERS))).all())
    finally:
        await engine.dispose()
    outer = instrumented.named("outer")
    assert outer.span_id == instrumented.named("SELECT users").parent_id
    assert outer.span_id == instrumented.named("INSERT users").parent_id


def test_pools_show_their_connections(instrumented: Rig, engine: Engine) -> None:
    """Counts by state, the most allowed, waits, uses and timeouts; dispose keeps the name."""
    pool = 'db_client_connection_pool_name="sqlite"'
    assert isinstance(engine.pool, QueuePool)
    with engine.connect():
        instrumented.clock.advance(2.0)
        states = instrumented.samples("db_client_connection_count")
        with pytest.raises(PoolTimeoutError):
            engine.connect()
    assert {
        f'db_client_connection_count{{{pool},db_client_connection_state="used"}}': 1,
        f'db_client_connection_count{{{pool},db_client_connection_state="idle"}}': 0,
    } == states
    assert 1 == instrumented.value(f"db_client_connection_max{{{pool}}}")
    assert 1 == instrumented.value(f"db_client_connection_timeouts_total{{{pool}}}")
    count, total = instrumented.totals("db_client_connection_use_time_seconds")[pool]
    assert (2, 2.0) == (count, total)
    assert 2 == instrumented.totals("db_client_connection_wait_time_seconds")[pool][0]
    engine.dispose()
    with engine.connect():
        pass
    assert {pool} == set(instrumented.totals("db_client_connection_wait_time_seconds"))


def test_two_pools_have_two_names(instrumented: Rig, engine: Engine, tmp_path: Path) -> None:
    """A second database of the same kind gets a number, or its own logging name."""
    second = create_engine(f"sqlite:///{tmp_path}/c.db", poolclass=QueuePool)
    third = create_engine(f"sqlite:///{tmp_path}/d.db", pool_logging_name="archive")
    for one in (engine, second, third):
        with one.connect():
            pass
    names = instrumented.totals("db_client_connection_wait_time_seconds")
    assert {
        'db_client_connection_pool_name="sqlite"',
        'db_client_connection_pool_name="sqlite-2"',
        'db_client_connection_pool_name="archive"',
    } == set(names)
    second.dispose()
    third.dispose()


def test_a_database_that_cannot_be_reached_is_counted(instrumented: Rig, tmp_path: Path) -> None:
    """Connections that cannot be opened are counted, and the error passes."""
    engine = create_engine(f"sqlite:///{tmp_path}/no/such/dir/x.db")
    with pytest.raises(OperationalError):
        engine.connect()
    assert [1] == list(instrumented.samples("connection_pool_create_failures_total").values())


def test_undo_leaves_nothing(rig: Rig, engine: Engine) -> None:
    """After undo no statement is recorded and no listener of ours is left."""
    integration.instrument(rig)()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert [] == rig.spans
    assert {} == rig.samples("db_client")


def test_the_applications_own_listeners_still_run(instrumented: Rig, engine: Engine) -> None:
    """A listener of the application that runs statements itself keeps doing so, under our span."""
    seen: list[str] = []

    def observe(*arguments: Any) -> None:
        seen.append(f"observed {arguments[1]}")

    def replace(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        seen.append(f"replaced {statement}")
        context.dialect.do_execute(cursor, "SELECT 7", parameters, context)
        return True

    event.listen(engine, "before_cursor_execute", observe)
    event.listen(engine, "do_execute", replace)
    instrumented.spans.clear()
    with engine.connect() as connection:
        assert 7 == connection.execute(text("SELECT 1")).scalar_one()
    assert 1 == seen.count("replaced SELECT 1")
    assert ["SELECT"] == [span.name for span in instrumented.spans]


def test_dispose_and_options_change_nothing(instrumented: Rig, engine: Engine) -> None:
    """Engines derived by execution options count once per statement."""
    instrumented.spans.clear()
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(select(USERS)).all()
        connection.exec_driver_sql("SELECT 1")
    assert ["SELECT users", "SELECT"] == [span.name for span in instrumented.spans]
