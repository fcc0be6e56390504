"""Pools of psycopg_pool, against a real PostgreSQL."""

from __future__ import annotations

import contextlib
from inspect import iscoroutinefunction

import psycopg
import pytest
from psycopg_pool import (
    AsyncConnectionPool,
    AsyncNullConnectionPool,
    ConnectionPool,
    NullConnectionPool,
    PoolTimeout,
)
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import psycopg as statements
from watchkeeper.instrument.integrations import psycopg_pool as integration
from watchkeeper.testing import free_port, wait_until

COUNT = "db_client_connection_count"
USED = 'db_client_connection_count{db_client_connection_pool_name="%s",db_client_connection_state="used"}'
IDLE = 'db_client_connection_count{db_client_connection_pool_name="%s",db_client_connection_state="idle"}'


def state(rig: Rig, name: str) -> tuple[float | None, float | None]:
    """Return the used and the idle connections of a pool."""
    return rig.value(USED % name), rig.value(IDLE % name)


def test_a_pool_shows_its_state(instrumented: Rig, database_url: str) -> None:
    """Used, idle, limit, waits and times of use are there under the pool's name, until it is closed."""
    with ConnectionPool(database_url, min_size=1, max_size=2, name="shop") as pool:
        pool.wait(10)
        assert (0, 1) == state(instrumented, "shop")
        with pool.connection() as connection:
            connection.execute("SELECT 1")
            assert (1, 0) == state(instrumented, "shop")
            instrumented.clock.advance(2)
        assert wait_until(lambda: (0, 1) == state(instrumented, "shop"), 10)
        label = 'db_client_connection_pool_name="shop"'
        assert 2 == instrumented.value(f"db_client_connection_max{{{label}}}")
        assert {label: (1, 0)} == instrumented.totals("db_client_connection_wait_time_seconds")
        assert {label: (1, 2)} == instrumented.totals("db_client_connection_use_time_seconds")
    assert {} == instrumented.samples(COUNT)


def test_who_waits_too_long_is_counted(instrumented: Rig, database_url: str) -> None:
    """A request that waits is pending; one that gives up is a timeout, and no borrowing."""
    seen = []
    with ConnectionPool(database_url, min_size=1, max_size=1, name="small") as pool:
        with pool.connection():
            pending = (
                'db_client_connection_pending_requests{db_client_connection_pool_name="small"}'
            )

            def scrape(connection: psycopg.Connection) -> None:
                seen.append((connection, instrumented.value(pending)))

            with pytest.raises(PoolTimeout):
                pool.getconn(timeout=0.05)
            assert (1, 0) == state(instrumented, "small")
            assert 0 == instrumented.value(pending)
        pool._check = scrape  # called while its connection is asked for
        with pool.connection():
            assert [1.0] == [waiting for _, waiting in seen]
    timeouts = 'db_client_connection_timeouts_total{db_client_connection_pool_name="small"}'
    assert 1 == instrumented.value(timeouts)


def test_connections_that_cannot_be_opened_are_counted(instrumented: Rig) -> None:
    """A server that does not answer is a failure of the pool, also where only workers try."""
    url = f"postgresql://desk@127.0.0.1:{free_port()}/postgres"
    with ConnectionPool(url, min_size=1, name="lost", reconnect_timeout=0.1):
        failures = 'connection_pool_create_failures_total{db_client_connection_pool_name="lost"}'
        assert wait_until(lambda: bool(instrumented.value(failures)), 10)
        assert (0, 0) == state(instrumented, "lost")


def test_pools_without_a_name_share_none(instrumented: Rig, database_url: str) -> None:
    """Unnamed pools are told apart by small numbers, however many were made before."""
    with (
        ConnectionPool(database_url, min_size=1, open=True) as one,
        NullConnectionPool(database_url, open=True) as two,
        one.connection(),
        two.connection(),
    ):
        assert (1, 0) == state(instrumented, "psycopg")
        assert (1, 0) == state(instrumented, "psycopg-2")


@pytest.mark.parametrize("kind", [AsyncConnectionPool, AsyncNullConnectionPool])
async def test_asynchronous_pools_count_too(
    instrumented: Rig,
    database_url: str,
    kind: type[AsyncConnectionPool],
) -> None:
    """The same for asyncio, null pools included."""
    async with kind(database_url, max_size=1, min_size=0, name="later", open=False) as pool:
        async with pool.connection() as connection:
            await connection.execute("SELECT 1")
            assert (1, 0) == state(instrumented, "later")
            instrumented.clock.advance(3)
            with pytest.raises(PoolTimeout):
                await pool.getconn(timeout=0.05)
        assert 0 == state(instrumented, "later")[0]
    label = 'db_client_connection_pool_name="later"'
    assert {label: (1, 3)} == instrumented.totals("db_client_connection_use_time_seconds")
    assert 1 == instrumented.value(f"db_client_connection_timeouts_total{{{label}}}")


def test_asking_whether_a_connection_is_alive_is_no_query(
    instrumented: Rig, database_url: str
) -> None:
    """What a pool asks before it hands a connection out makes no span."""
    undo = statements.instrument(instrumented)
    try:
        check = ConnectionPool.check_connection
        with (
            ConnectionPool(database_url, min_size=1, check=check, name="checked") as pool,
            pool.connection() as connection,
        ):
            connection.execute("SELECT 1")
    finally:
        undo()
    assert ["SELECT"] == [span.name for span in instrumented.spans]


async def test_undo_leaves_nothing(rig: Rig, database_url: str) -> None:
    """After undo no pool is shown, and methods are what they were, coroutine functions too."""
    before = (ConnectionPool.getconn, ConnectionPool.putconn, AsyncConnectionPool._connect)
    undo = integration.instrument(rig)
    assert all(
        iscoroutinefunction(getattr(AsyncConnectionPool, name))
        for name in ("getconn", "putconn", "_connect")
    )
    with ConnectionPool(database_url, min_size=1, name="gone") as pool:
        with pool.connection():
            undo()
        assert before == (
            ConnectionPool.getconn,
            ConnectionPool.putconn,
            AsyncConnectionPool._connect,
        )
        with contextlib.suppress(PoolTimeout), pool.connection(timeout=5):
            pass
        assert {} == rig.samples(COUNT)
