"""Commands and pools of redis, against a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import redis as integration


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """Return a client."""
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
async def later(redis_url: str) -> AsyncIterator[Any]:
    """Return an asynchronous client."""
    made = redis.asyncio.Redis.from_url(redis_url)
    yield made
    await made.aclose()


def names(rig: Rig) -> list[str]:
    """Return the names of the spans so far, and forget them."""
    found = [span.name for span in rig.spans]
    rig.spans.clear()
    return found


def test_a_command_is_a_client_span(instrumented: Rig, client: Any) -> None:
    """Name, text without key and value, database and server are on the span; the metric derives."""
    client.set("wk:secret-key", "secret-value")
    span = instrumented.named("SET")
    assert SpanKind.CLIENT is span.kind
    assert {
        "db.system.name": "redis",
        "db.namespace": "0",
        "db.operation.name": "SET",
        "db.query.text": "SET ? ?",
        "server.address": "127.0.0.1",
        "server.port": client.connection_pool.connection_kwargs["port"],
    } == span.attributes
    assert ['db_system_name="redis",db_operation_name="SET"'] == list(
        instrumented.totals("db_client_operation_duration_seconds")
    )


def test_a_pipeline_is_one_span(instrumented: Rig, client: Any) -> None:
    """A pipeline and a transaction say how many commands they had, and which."""
    with client.pipeline(transaction=False) as pipe:
        pipe.set("wk:a", 1).incr("wk:a").execute()
    with client.pipeline() as pipe:
        for _ in range(25):
            pipe.incr("wk:a")
        pipe.execute()
    plain, transaction = instrumented.spans
    assert ("PIPELINE", "MULTI") == (plain.name, transaction.name)
    assert (2, 25) == tuple(
        span.attributes["db.operation.batch.size"] for span in instrumented.spans
    )
    assert "SET ? ?; INCRBY ? ?" == plain.attributes["db.query.text"]
    assert str(transaction.attributes["db.query.text"]).endswith("INCRBY ? ?; …")


def test_watched_keys_scripts_and_odd_commands(instrumented: Rig, client: Any) -> None:
    """WATCH and reads before MULTI are commands; scripts and unknown words show no content."""
    with client.pipeline() as pipe:
        pipe.watch("wk:a")
        pipe.get("wk:a")
        pipe.multi()
        pipe.set("wk:a", 5)
        pipe.execute()
    assert ["WATCH", "GET", "MULTI"] == [name for name in names(instrumented) if name != "UNWATCH"]
    script = client.register_script("return redis.call('GET', KEYS[1])")
    assert b"5" == script(keys=["wk:a"])
    assert not any("redis.call" in str(span.attributes) for span in instrumented.spans)
    assert "EVALSHA" in names(instrumented)
    with pytest.raises(redis.ResponseError):
        client.execute_command("s3cr3t/" + "x" * 40)
    assert "_OTHER" == instrumented.named("_OTHER").attributes["db.operation.name"]


def test_a_refused_command_is_an_error(instrumented: Rig, client: Any) -> None:
    """The span has the server's error by class; the application gets the same exception."""
    client.set("wk:text", "x")
    with pytest.raises(redis.ResponseError):
        client.incr("wk:text")
    span = instrumented.named("INCRBY")
    assert StatusCode.ERROR is span.status_code
    assert "redis.exceptions.ResponseError" == span.attributes["error.type"]


def test_subscriptions_are_left_alone(instrumented: Rig, client: Any) -> None:
    """Waiting for messages is no operation."""
    with client.pubsub() as subscription:
        subscription.subscribe("wk:channel")
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
    assert [] == names(instrumented)


async def test_asynchronous_clients_count_too(instrumented: Rig, later: Any) -> None:
    """Commands and pipelines of asyncio clients are spans below the current one."""
    tracer = instrumented.recorder.tracer_provider.get_tracer("t")
    with tracer.start_as_current_span("outer"):
        await later.set("wk:b", 1)
        async with later.pipeline() as pipe:
            await pipe.incr("wk:b").get("wk:b").execute()
        with pytest.raises(redis.ResponseError):
            await later.hget("wk:b", "x")
    outer = instrumented.named("outer").span_id
    assert [outer] * 3 == [instrumented.named(name).parent_id for name in ("SET", "MULTI", "HGET")]


async def test_a_blocking_command_ends_when_cancelled(instrumented: Rig, later: Any) -> None:
    """A wait that the application gives up is a span that ended."""
    task = asyncio.create_task(later.blpop("wk:nothing", timeout=30))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert StatusCode.ERROR is instrumented.named("BLPOP").status_code


def test_pools_show_their_connections(instrumented: Rig, redis_url: str) -> None:
    """Sizes by state, the most allowed, waits, and waits that found every connection taken."""
    pool: Any = redis.BlockingConnectionPool.from_url(redis_url, max_connections=1, timeout=0.01)
    name = 'db_client_connection_pool_name="redis"'
    with redis.Redis(connection_pool=pool) as client:
        client.ping()
        taken = pool.get_connection()
        states = instrumented.samples("db_client_connection_count")
        with pytest.raises(redis.ConnectionError):
            client.ping()
        pool.release(taken)
    assert {
        f'db_client_connection_count{{{name},db_client_connection_state="used"}}': 1,
        f'db_client_connection_count{{{name},db_client_connection_state="idle"}}': 0,
    } == states
    assert 1 == instrumented.value(f"db_client_connection_max{{{name}}}")
    assert 1 == instrumented.value(f"db_client_connection_timeouts_total{{{name}}}")
    assert 2 == instrumented.totals("db_client_connection_wait_time_seconds")[name][0]
    pool.disconnect()


def test_a_server_that_cannot_be_reached_is_counted(instrumented: Rig) -> None:
    """A connection that cannot be opened is counted, and the error passes."""
    with redis.Redis(port=1) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert [1] == list(instrumented.samples("connection_pool_create_failures_total").values())


def test_threads_share_a_client(instrumented: Rig, client: Any) -> None:
    """Every command of every thread is one span."""

    def work() -> None:
        for _ in range(50):
            client.incr("wk:threads")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 == len(names(instrumented))


def test_undo_leaves_nothing(rig: Rig, redis_url: str) -> None:
    """After undo no command is recorded."""
    before = redis.Redis.execute_command
    integration.instrument(rig)()
    assert before is redis.Redis.execute_command
    with redis.Redis.from_url(redis_url) as client:
        client.ping()
    assert [] == rig.spans
