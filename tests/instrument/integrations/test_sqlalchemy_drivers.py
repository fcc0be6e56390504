"""SQLAlchemy above real drivers: every statement counts once, in both versions that are supported.

The module runs a second time, in a process of its own, on SQLAlchemy 2.0.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import String, create_engine, insert, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tests.house.rooms import ROOT
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import asyncpg as asyncpg_integration
from watchkeeper.instrument.integrations import psycopg as psycopg_integration
from watchkeeper.instrument.integrations import sqlalchemy as integration

VERSION = os.environ.get("WATCHKEEPER_TEST_SQLALCHEMY", "2.")
OPERATION = "db_client_operation_duration_seconds"


class Base(DeclarativeBase):
    """Tables of these tests."""


class Fruit(Base):
    """A row."""

    __tablename__ = "wk_fruit"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


@pytest.fixture
def everything(rig: Rig) -> Iterator[Rig]:
    """Switch SQLAlchemy and its drivers on."""
    undos = [
        module.instrument(rig) for module in (integration, asyncpg_integration, psycopg_integration)
    ]
    yield rig
    for undo in undos:
        undo()


@pytest.fixture(autouse=True)
def table(database_url: str) -> Iterator[None]:
    """Make the table, unseen."""
    with psycopg.connect(database_url, autocommit=True) as plain:
        plain.execute("CREATE TABLE IF NOT EXISTS wk_fruit (id serial PRIMARY KEY, name text)")
        yield
        plain.execute("DROP TABLE wk_fruit")


def driven(url: str, driver: str) -> str:
    """Return *url* for one driver of SQLAlchemy."""
    return url.replace("postgresql://", f"postgresql+{driver}://")


def counted(rig: Rig) -> list[str]:
    """Return the names of the spans, after comparing their number with the metric's."""
    names = [span.name for span in rig.spans if span.name != "outer"]
    assert len(names) == sum(count for count, _ in rig.totals(OPERATION).values())
    return names


def test_the_version_is_the_one_that_is_meant() -> None:
    """This run is on the version that it says."""
    assert sqlalchemy.__version__.startswith(VERSION)


def test_psycopg_below_sqlalchemy_counts_once(everything: Rig, database_url: str) -> None:
    """Core, ORM, many rows and driver SQL are one span and one observation each."""
    engine = create_engine(driven(database_url, "psycopg"))
    with engine.connect():
        everything.spans.clear()  # what SQLAlchemy asks a new server is counted, once as well
    before = sum(count for count, _ in everything.totals(OPERATION).values())
    with Session(engine) as session:
        session.add(Fruit(name="fig"))
        session.commit()
        assert ["fig"] == [fruit.name for fruit in session.scalars(select(Fruit))]
    with engine.begin() as connection:
        connection.execute(insert(Fruit), [{"name": "a"}, {"name": "b"}])
        connection.exec_driver_sql("SELECT count(*) FROM wk_fruit")
    engine.dispose()
    names = [span.name for span in everything.spans]
    assert [
        *("INSERT wk_fruit", "SELECT wk_fruit", "INSERT wk_fruit", "SELECT wk_fruit"),
    ] == names
    after = sum(count for count, _ in everything.totals(OPERATION).values())
    assert len(names) == after - before


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_asynchronous_drivers_count_once(
    everything: Rig, database_url: str, driver: str
) -> None:
    """The same through asyncio, as children of the span around; nothing of the driver's own."""
    engine = create_async_engine(driven(database_url, driver))
    tracer = everything.recorder.tracer_provider.get_tracer("t")
    async with engine.connect():
        pass
    counted(everything)
    everything.spans.clear()
    with tracer.start_as_current_span("outer"):
        async with AsyncSession(engine) as session:
            session.add(Fruit(name="fig"))
            await session.commit()
            assert ["fig"] == [fruit.name for fruit in await session.scalars(select(Fruit))]
        async with engine.begin() as connection:
            await connection.execute(insert(Fruit), [{"name": "a"}, {"name": "b"}])
            rows = await connection.stream(select(Fruit))
            assert 3 == len([row async for row in rows])
    await engine.dispose()
    outer = everything.named("outer").span_id
    spans = [span for span in everything.spans if span.name != "outer"]
    assert ["INSERT wk_fruit", "SELECT wk_fruit"] * 2 == [span.name for span in spans]
    assert {outer} == {span.parent_id for span in spans}


async def test_a_driver_beside_sqlalchemy_still_counts(everything: Rig, database_url: str) -> None:
    """Only the connections of SQLAlchemy are left to it; the application's own are recorded."""
    engine = create_async_engine(driven(database_url, "asyncpg"))
    async with engine.connect():
        everything.spans.clear()
        own = await asyncpg.connect(database_url)
        await own.fetch("SELECT 1 FROM wk_fruit")
        await own.close()
    await engine.dispose()
    assert ["SELECT wk_fruit"] == [span.name for span in everything.spans]


def test_errors_count_once(everything: Rig, database_url: str) -> None:
    """A refused statement is one failed span, with the driver's error."""
    engine = create_engine(driven(database_url, "psycopg"))
    with engine.connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("SELECT * FROM nowhere"))
    engine.dispose()
    span = everything.named("SELECT nowhere")
    assert "psycopg.errors.UndefinedTable" == span.attributes["error.type"]


async def test_asynchronous_pools_show_who_waits(everything: Rig, database_url: str) -> None:
    """Waiting requests, timeouts and sizes of an asynchronous engine's pool."""
    pool = 'db_client_connection_pool_name="postgresql"'
    engine = create_async_engine(
        driven(database_url, "asyncpg"), pool_size=1, max_overflow=0, pool_timeout=0.2
    )

    async def second() -> None:
        async with engine.connect():
            pass

    async with engine.connect():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.02)
        pending = everything.value(f"db_client_connection_pending_requests{{{pool}}}")
        with pytest.raises(PoolTimeoutError):
            await waiting
    assert 1 == pending
    assert 0 == everything.value(f"db_client_connection_pending_requests{{{pool}}}")
    assert 1 == everything.value(f"db_client_connection_timeouts_total{{{pool}}}")
    assert 1 == everything.value(f"db_client_connection_max{{{pool}}}")
    await engine.dispose()


@pytest.mark.skipif(VERSION != "2.", reason="this is the run on the other version")
def test_the_other_version_keeps_the_same_rules() -> None:
    """This module and the one about engines pass on SQLAlchemy 2.0 as well."""
    side = ROOT / "build" / "side" / "sqlalchemy20"
    modules = ("test_sqlalchemy_drivers.py", "test_sqlalchemy.py")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"),
            *(f"tests/instrument/integrations/{module}" for module in modules),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(side), str(ROOT / "src"))),
            "WATCHKEEPER_TEST_SQLALCHEMY": "2.0.",
        },
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-1000:]
