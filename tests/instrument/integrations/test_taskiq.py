"""Tasks of taskiq: in memory, and with a real worker on a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from taskiq import InMemoryBroker, SimpleRetryMiddleware
from taskiq.receiver import Receiver
from taskiq_redis import ListQueueBroker, RedisStreamBroker
from tests.instrument.integrations.workers import (
    arrived,
    attributes,
    environment,
    named,
    said,
    worker,
)
from tests.instrument.recorder.collector import collecting
from tests.instrument.rig import Rig

from watchkeeper.instrument import context
from watchkeeper.instrument.integrations import redis as redis_integration
from watchkeeper.instrument.integrations import taskiq as integration


@pytest.fixture
async def open_again() -> AsyncIterator[list[Any]]:
    """Return a list of brokers, which are shut down whatever happens."""
    brokers: list[Any] = []
    yield brokers
    for broker in brokers:
        await broker.shutdown()


async def test_a_task_is_one_trace(instrumented: Rig) -> None:
    """The attempt is a child of the kick, with its wait, request, user and tenant."""
    broker = InMemoryBroker()
    seen: list[str] = []

    @broker.task(task_name="send")
    async def send() -> None:
        seen.append(f"{context.request_id()}/{context.user_id()}/{context.tenant_id()}")
        instrumented.clock.advance(0.25)
        await asyncio.sleep(0)

    with context.bind(request_id="r1", user_id="u1", tenant_id="acme"):
        task = await send.kiq()
    await task.wait_result(timeout=5)
    produced, run = instrumented.named("enqueue send"), instrumented.named("job send")
    assert (SpanKind.PRODUCER, SpanKind.CONSUMER) == (produced.kind, run.kind)
    assert (produced.span_id, produced.trace_id) == (run.parent_id, run.trace_id)
    assert {
        "job.name": "send",
        "job.queue": "default",
        "job.id": task.task_id,
        "job.attempt": 1,
        "job.wait_s": 0.0,
        "job.outcome": "success",
        "request.id": "r1",
        "user.id": "u1",
        "tenant.id": "acme",
    } == run.attributes
    assert task.task_id == produced.attributes["job.id"]
    assert ["r1/u1/acme"] == seen
    await broker.shutdown()


async def test_attempts_are_counted_until_the_last(instrumented: Rig) -> None:
    """Retries end as retry with their own error; the last failure of a task that retries is dead."""
    broker = InMemoryBroker(await_inplace=True).with_middlewares(
        SimpleRetryMiddleware(default_retry_count=3)
    )

    @broker.task(task_name="flaky", retry_on_error=True)
    async def flaky() -> None:
        raise ConnectionError("down")

    @broker.task(task_name="broken")
    async def broken() -> None:
        raise KeyError("k")

    await flaky.kiq()
    await broken.kiq()
    runs = sorted(
        (span for span in instrumented.spans if span.name == "job flaky"),
        key=lambda span: int(str(span.attributes["job.attempt"])),
    )
    assert [(1, "retry"), (2, "retry"), (3, "dead")] == [
        (span.attributes["job.attempt"], span.attributes["job.outcome"]) for span in runs
    ]
    assert {"ConnectionError"} == {span.attributes["error.type"] for span in runs}
    assert "error" == instrumented.named("job broken").attributes["job.outcome"]
    labels = 'job_name="flaky",job_queue="default"'
    assert 2 == instrumented.value(f"job_retries_total{{{labels}}}")
    assert 1 == instrumented.value(f'job_dead_letters_total{{{labels},reason="retries_exhausted"}}')
    await broker.shutdown()


@pytest.mark.parametrize("kind", [ListQueueBroker, RedisStreamBroker])
async def test_workers_show_how_many_tasks_wait(
    instrumented: Rig,
    redis_url: str,
    open_again: list[Any],
    kind: type[ListQueueBroker | RedisStreamBroker],
) -> None:
    """The depth is that of the worker's queue, asked again when it is old, and makes no span."""
    undo_redis = redis_integration.instrument(instrumented)
    broker = kind(redis_url, queue_name=f"wk-depth-{kind.__name__}")
    open_again.append(broker)
    depth = f'job_queue_depth{{job_queue="{broker.queue_name}"}}'

    @broker.task(task_name="add")
    async def add() -> None:
        pass

    try:
        Receiver(broker)
        await broker.startup()
        for _ in range(3):
            await add.kiq()

        async def shown() -> float | None:
            instrumented.clock.advance(11)
            found = instrumented.value(depth)
            await asyncio.sleep(0.02)
            return found

        async with asyncio.timeout(20):
            while await shown() != 3:
                pass
        listening = broker.listen()
        await anext(listening)
        await listening.aclose()
        async with asyncio.timeout(20):
            while await shown() == 3:
                pass
    finally:
        undo_redis()
    assert {"enqueue add"} == {span.name for span in instrumented.spans}


async def test_brokers_that_cannot_tell_show_nothing(instrumented: Rig) -> None:
    """Without a queue that can be asked there is no depth."""
    broker = InMemoryBroker()
    Receiver(broker)
    assert {} == instrumented.samples("job_queue_depth")
    await broker.shutdown()


async def test_a_real_worker_is_covered(
    instrumented: Rig, tmp_path: Path, redis_url: str, open_again: list[Any]
) -> None:
    """Attempts in a worker's process, its threads included, go on with the trace."""
    undo_redis = redis_integration.instrument(instrumented)
    broker = ListQueueBroker(redis_url, queue_name="wk-taskiq")

    @broker.task(task_name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @broker.task(task_name="plain")
    def plain() -> int:
        return 1

    @broker.task(task_name="flaky", retry_on_error=True)
    async def flaky() -> None:
        """Fail on the other side."""

    open_again.append(broker)
    arguments = ["-m", "taskiq", "worker", "taskiqapp:broker", "--workers", "1"]
    with collecting() as collector:
        env = environment(collector, tmp_path, REDIS_URL=redis_url)
        with worker(arguments, env, tmp_path):
            with context.bind(request_id="r1", user_id="u1", tenant_id="acme"):
                await add.kiq(1, 2)
                await plain.kiq()
                await flaky.kiq()
            for name, count in (("add", 1), ("plain", 1), ("flaky", 2)):
                await asyncio.to_thread(arrived, collector, f"job {name}", count, 20.0)
        everything = {span.name for span in collector.spans()}
        lines = [str(log) for log in collector.logs() if log.body.string_value == "added"]
        for name in ("add", "plain"):
            (run,) = named(collector, f"job {name}")
            produced = instrumented.named(f"enqueue {name}")
            assert f"{produced.span_id:016x}" == run.parent_span_id.hex(), said(tmp_path)
            assert "acme" == attributes(run)["tenant.id"]
        tries = [attributes(span)["job.outcome"] for span in named(collector, "job flaky")]
    assert ["retry", "dead"] == tries
    assert "r1/u1/acme" in lines[0]
    # Neither side records what the broker says to Redis.
    assert {"job add", "job plain", "job flaky", "enqueue flaky"} == everything
    assert {"enqueue add", "enqueue plain", "enqueue flaky"} == {
        span.name for span in instrumented.spans
    }
    undo_redis()


async def test_undo_leaves_nothing(rig: Rig) -> None:
    """After undo tasks run unseen."""
    integration.instrument(rig)()
    broker = InMemoryBroker(await_inplace=True)

    @broker.task(task_name="unseen")
    async def unseen() -> None:
        """Do nothing."""

    await unseen.kiq()
    assert [] == rig.spans
    await broker.shutdown()
