"""Tasks of huey: what travels with them, and what is recorded."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from huey import MemoryHuey, RedisHuey, SqliteHuey
from huey.exceptions import CancelExecution
from huey.serializer import SignedSerializer
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.rig import Rig
from tests.services import needed

from watchkeeper.instrument import context
from watchkeeper.instrument.integrations import huey as integration
from watchkeeper.testing import wait_until


@pytest.fixture
def queue(tmp_path: Path) -> Any:
    """Return a queue in a file."""
    return SqliteHuey("mails", filename=str(tmp_path / "queue.db"))


def task(queue: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return huey's decorator, with a type."""
    decorator: Callable[[Callable[..., Any]], Any] = queue.task(**options)
    return decorator


def run_one(queue: Any) -> None:
    """Do what a consumer's worker does once."""
    waiting = queue.dequeue()
    assert waiting is not None
    queue.execute(waiting)


def test_a_task_is_one_trace(instrumented: Rig, queue: Any) -> None:
    """The attempt is a child of the enqueueing, with its wait, request and tenant."""
    seen: list[tuple[str, str]] = []

    @task(queue)
    def send(_: str) -> None:
        seen.append((context.request_id(), context.tenant_id()))
        instrumented.clock.advance(0.25)

    tracer = instrumented.recorder.tracer_provider.get_tracer("t")
    with tracer.start_as_current_span("request"), context.bind(request_id="r1", tenant_id="acme"):
        send("a")
    instrumented.clock.advance(3.0)
    run_one(queue)
    request, produced, run = (
        instrumented.named(name) for name in ("request", "enqueue send", "job send")
    )
    assert (SpanKind.PRODUCER, SpanKind.CONSUMER) == (produced.kind, run.kind)
    assert (request.span_id, produced.span_id) == (produced.parent_id, run.parent_id)
    assert request.trace_id == run.trace_id
    assert {
        "job.name": "send",
        "job.queue": "mails",
        "job.id": produced.attributes["job.id"],
        "job.attempt": 1,
        "job.wait_s": 3.0,
        "job.outcome": "success",
        "request.id": "r1",
        "tenant.id": "acme",
    } == run.attributes
    assert [("r1", "acme")] == seen
    assert {'job_name="send",job_queue="mails",job_outcome="success"': (1, 0.25)} == (
        instrumented.totals("job_run_duration_seconds")
    )
    assert {'job_name="send",job_queue="mails"': (1, 3.0)} == instrumented.totals(
        "job_wait_duration_seconds"
    )


def test_attempts_are_counted_until_one_succeeds(instrumented: Rig, queue: Any) -> None:
    """Every attempt is a span below the same producer; those before the last end as retry."""
    outcomes = iter((True, True, False))

    @task(queue, retries=2)
    def flaky() -> None:
        if next(outcomes):
            raise ConnectionError("down")

    flaky()
    for _ in range(3):
        run_one(queue)
    runs = [span for span in instrumented.spans if span.name == "job flaky"]
    produced = instrumented.named("enqueue flaky")
    assert [(1, "retry"), (2, "retry"), (3, "success")] == [
        (span.attributes["job.attempt"], span.attributes["job.outcome"]) for span in runs
    ]
    assert {produced.span_id} == {span.parent_id for span in runs}
    assert ["ConnectionError", "ConnectionError", None] == [
        span.attributes.get("error.type") for span in runs
    ]


def test_a_failed_task_is_an_error(instrumented: Rig, queue: Any) -> None:
    """The exception is on the span; huey handles it as ever."""

    @task(queue)
    def broken() -> None:
        raise KeyError("k")

    result = broken()
    run_one(queue)
    run = instrumented.named("job broken")
    assert StatusCode.ERROR is run.status_code
    assert ("error", "KeyError") == (run.attributes["job.outcome"], run.attributes["error.type"])
    assert ["exception"] == [event.name for event in run.events]
    with pytest.raises(Exception, match="KeyError"):
        result.get()


def test_the_last_retry_that_fails_is_a_dead_letter(instrumented: Rig, queue: Any) -> None:
    """A task whose retries are used up is dead, one that expired before it ran as well."""

    @task(queue, retries=1)
    def hopeless() -> None:
        raise ConnectionError("down")

    @task(queue, expires=datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None))
    def late() -> None:
        return

    hopeless()
    run_one(queue)
    run_one(queue)
    late()
    run_one(queue)
    runs = [span for span in instrumented.spans if span.name == "job hopeless"]
    assert ["retry", "dead"] == [span.attributes["job.outcome"] for span in runs]
    assert {
        'job_dead_letters_total{job_name="hopeless",job_queue="mails",'
        'reason="retries_exhausted"}': 1,
        'job_dead_letters_total{job_name="late",job_queue="mails",reason="expired"}': 1,
    } == instrumented.samples("job_dead_letters")


def test_a_task_that_gives_up_is_an_error(instrumented: Rig, queue: Any) -> None:
    """A cancelled execution says why."""

    @task(queue)
    def gives_up() -> None:
        raise CancelExecution

    gives_up()
    run_one(queue)
    assert "error" == instrumented.named("job gives_up").attributes["job.outcome"]


def test_a_scheduled_task_waits_from_when_it_is_due(instrumented: Rig, queue: Any) -> None:
    """Delay is no waiting: time counts from when the scheduler puts the task into the queue."""

    @task(queue)
    def later() -> None:
        return

    later.schedule(delay=60)
    run_one(queue)
    assert ["enqueue later"] == [span.name for span in instrumented.spans]
    instrumented.clock.advance(60)
    (due,) = queue._deserialize_all(queue.storage.scheduled_items())
    due.eta = None
    queue.enqueue(due)
    instrumented.clock.advance(2)
    run_one(queue)
    run = instrumented.named("job later")
    assert 2.0 == run.attributes["job.wait_s"]
    assert instrumented.named("enqueue later").span_id == run.parent_id


def test_follow_up_tasks_go_on_with_the_trace(instrumented: Rig, queue: Any) -> None:
    """A task that a task enqueues is its child."""

    @task(queue)
    def second(n: int) -> int:
        return n + 1

    @task(queue)
    def first() -> int:
        return 1

    queue.enqueue(first.s().then(second))
    run_one(queue)
    run_one(queue)
    assert instrumented.named("job first").span_id == instrumented.named("enqueue second").parent_id


def test_a_consumer_without_us_reads_the_tasks(rig: Rig, queue: Any) -> None:
    """What we append is invisible to a plain huey, and its tasks are readable for us."""
    ran: list[int] = []

    @task(queue)
    def work(n: int) -> None:
        ran.append(n)

    undo = integration.instrument(rig)
    work(1)
    undo()
    run_one(queue)
    work(2)
    undo = integration.instrument(rig)
    run_one(queue)
    undo()
    assert [1, 2] == ran
    run = rig.named("job work")
    assert (0, None) == (run.parent_id, run.attributes.get("job.wait_s"))


def test_signed_messages_stay_untouched(instrumented: Rig) -> None:
    """A signature covers the whole message: nothing is appended, the attempt is still recorded."""
    queue = MemoryHuey("signed", serializer=SignedSerializer(secret="s"))

    @task(queue)
    def work() -> None:
        return

    work()
    run_one(queue)
    assert 0 == instrumented.named("job work").parent_id


def test_the_threaded_consumer_is_covered(instrumented: Rig, queue: Any) -> None:
    """Worker threads of a real consumer record the same; the depth of the queue is a gauge."""
    done = threading.Event()

    @task(queue)
    def work() -> None:
        done.set()

    work()
    assert 1 == instrumented.value('job_queue_depth{job_queue="mails"}')
    consumer = queue.create_consumer(workers=1, initial_delay=0.01, max_delay=0.02)
    consumer.start()
    assert done.wait(10)
    consumer.stop(graceful=True)
    assert instrumented.named("enqueue work").span_id == instrumented.named("job work").parent_id
    assert 0 == instrumented.value('job_queue_depth{job_queue="mails"}')


def test_immediate_mode_nests(instrumented: Rig) -> None:
    """A task that runs in place is a child of its enqueueing."""
    queue = MemoryHuey("now", immediate=True)

    @task(queue)
    def work() -> int:
        return 5

    assert 5 == work().get()
    assert instrumented.named("enqueue work").span_id == instrumented.named("job work").parent_id


def test_undo_takes_the_receivers_back(rig: Rig, queue: Any) -> None:
    """After undo nothing of a known queue is recorded."""

    @task(queue)
    def work() -> None:
        return

    undo = integration.instrument(rig)
    work()
    undo()
    run_one(queue)
    assert ["enqueue work"] == [span.name for span in rig.spans]


@pytest.fixture
def redis_socket(tmp_path: Path) -> Iterator[str]:
    """Run a Redis server on a socket of its own."""
    program = shutil.which("redis-server")
    if program is None:
        needed("redis-server")
    path = str(tmp_path / "redis.sock")
    server = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    assert any("eady to accept connections" in line for line in server.stdout)
    yield path
    server.terminate()
    server.communicate()


def test_tasks_travel_through_redis(instrumented: Rig, redis_socket: str) -> None:
    """The same trace, wait and depth with a queue in Redis."""
    queue = RedisHuey("remote", url=f"unix://{redis_socket}")

    @task(queue)
    def work() -> None:
        return

    work()
    # Asked in the background: a scrape never waits for Redis.
    depth = 'job_queue_depth{job_queue="remote"}'
    assert wait_until(lambda: instrumented.value(depth) is not None, 10)
    instrumented.clock.advance(1.5)
    run_one(queue)
    run = instrumented.named("job work")
    assert instrumented.named("enqueue work").span_id == run.parent_id
    assert (1.5, "success") == (run.attributes["job.wait_s"], run.attributes["job.outcome"])
    queue.storage.pool.disconnect()
