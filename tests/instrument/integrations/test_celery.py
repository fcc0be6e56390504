"""Tasks of Celery: real workers of every pool, on a real Redis."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from tests.instrument.integrations.workers import (
    arrived,
    attributes,
    environment,
    named,
    said,
    worker,
)
from tests.instrument.recorder.collector import Answer, Collector, collecting, spans_of
from tests.instrument.rig import Rig

from watchkeeper.instrument import context
from watchkeeper.instrument.integrations import celery as integration
from watchkeeper.testing import wait_until

POOLS = {
    "prefork": ["--pool", "prefork", "--concurrency", "2"],
    "solo": ["--pool", "solo"],
    "threads": ["--pool", "threads", "--concurrency", "2"],
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Return a running collector."""
    with collecting() as made:
        yield made


def sender(redis_url: str, queue: str) -> Any:
    """Return an application that only publishes."""
    app = Celery("sender", broker=redis_url, backend=redis_url)
    app.conf.update(task_default_queue=queue)
    return app


def task(app: Any, name: str) -> Callable[[Callable[[], int]], Any]:
    """Return Celery's decorator, with a type."""
    decorator: Callable[[Callable[[], int]], Any] = app.task(name=name)
    return decorator


def run(
    collector: Collector, tmp_path: Path, redis_url: str, queue: str, options: list[str]
) -> Any:
    """Run a worker for the length of a ``with`` block."""
    env = environment(collector, tmp_path, REDIS_URL=redis_url, WATCHKEEPER_TEST_QUEUE=queue)
    arguments = ["-m", "celery", "-A", "celeryapp", "worker", "--loglevel", "warning"]
    return worker(
        [*arguments, "--without-gossip", "--without-mingle", "--without-heartbeat", *options],
        env,
        tmp_path,
    )


@pytest.mark.parametrize("pool", list(POOLS))
def test_a_task_is_one_trace_in_every_pool(
    instrumented: Rig, collector: Collector, tmp_path: Path, redis_url: str, pool: str
) -> None:
    """The attempt is a child of the publishing; request, user, tenant and baggage travel along."""
    app = sender(redis_url, f"wk-{pool}")
    token = attach(baggage.set_baggage("plan", "gold"))
    with (
        run(collector, tmp_path, redis_url, f"wk-{pool}", POOLS[pool]),
        context.bind(request_id="r1", user_id="u1", tenant_id="acme"),
    ):
        app.send_task("celeryapp.add", (1, 2))
        (attempt,) = arrived(collector, "job celeryapp.add", 1)
    detach(token)
    produced = instrumented.named("enqueue celeryapp.add")
    assert f"{produced.span_id:016x}" == attempt.parent_span_id.hex()
    assert f"{produced.trace_id:032x}" == attempt.trace_id.hex()
    said = attributes(attempt)
    assert {
        "job.name": "celeryapp.add",
        "job.queue": f"wk-{pool}",
        "job.id": produced.attributes["job.id"],
        "job.attempt": 1,
        "job.outcome": "success",
        "request.id": "r1",
        "user.id": "u1",
        "tenant.id": "acme",
    } == {name: value for name, value in said.items() if name != "job.wait_s"}
    assert f"wk-{pool}" == produced.attributes["job.queue"]
    lines = [log for log in collector.logs() if log.body.string_value == "added"]
    assert [attempt.trace_id] == [line.trace_id for line in lines]
    assert "r1/u1/acme" in str(lines[0])


def test_a_worker_logs_as_everything_else_does(
    collector: Collector, tmp_path: Path, redis_url: str
) -> None:
    """What Celery, its tasks and `print` say are lines of ours, though it sets up logging itself."""
    app = sender(redis_url, "wk-logs")
    options = ["--pool", "prefork", "--concurrency", "1", "--loglevel", "info"]
    with run(collector, tmp_path, redis_url, "wk-logs", options):
        assert wait_until(lambda: " ready." in said(tmp_path), 30.0), said(tmp_path)
        app.send_task("celeryapp.add", (1, 2))
        arrived(collector, "job celeryapp.add", 1)
    text = (tmp_path / "worker.log").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    found = {(line["logger"], line["event"]) for line in lines}
    assert {
        ("celeryapp", "added"),
        ("celeryapp.plain", "adding 1 and 2"),
        ("celery.redirected", "printed"),
    } <= found
    assert [line["event"] for line in lines if line["logger"] == "celery.apps.worker"]
    assert "/MainProcess]" not in text
    assert "/ForkPoolWorker" not in text
    assert "the hook" not in text
    arrived_events = {log.body.string_value for log in collector.logs()}
    assert {"added", "adding 1 and 2", "printed"} <= arrived_events


def test_outcomes_are_told_apart(
    instrumented: Rig, collector: Collector, tmp_path: Path, redis_url: str
) -> None:
    """Retries, errors, exhausted retries, rejects, ignored and unknown tasks each have their word."""
    app = sender(redis_url, "wk-outcomes")
    with run(collector, tmp_path, redis_url, "wk-outcomes", POOLS["threads"]):
        for name in ("broken", "poison", "ignored", "nowhere"):
            app.send_task(f"celeryapp.{name}")
        app.send_task("celeryapp.add", (1, 2), expires=-1)
        app.send_task("celeryapp.flaky", (3,), task_id="recovers")
        app.send_task("celeryapp.flaky", (9,), task_id="dies")
        flaky = arrived(collector, "job celeryapp.flaky", 6)
        ends = {
            name: attributes(arrived(collector, f"job celeryapp.{name}", 1)[0])
            for name in ("broken", "poison", "ignored")
        }
    tries = [attributes(span) for span in flaky]
    for task_id, last in (("recovers", "success"), ("dies", "dead")):
        mine = [one for one in tries if one["job.id"] == task_id]
        assert [1, 2, 3] == [one["job.attempt"] for one in mine]
        assert ["retry", "retry", last] == [one["job.outcome"] for one in mine]
    assert {"broken": "error", "poison": "dead", "ignored": "success"} == {
        name: said["job.outcome"] for name, said in ends.items()
    }
    assert "rejected" == ends["poison"]["job.dead_reason"]
    assert "KeyError" == ends["broken"]["error.type"]
    letters = [log for log in collector.logs() if log.event_name == "job.dead_letter"]
    reasons = {
        pair.value.string_value
        for log in letters
        for pair in log.attributes
        if pair.key == "job.dead_reason"
    }
    assert {"unknown_task", "expired"} == reasons
    assert 7 == len([span for span in instrumented.spans if span.name.startswith("enqueue")])


def test_a_countdown_is_no_waiting(
    instrumented: Rig, collector: Collector, tmp_path: Path, redis_url: str
) -> None:
    """A task waits from when it is due, not from when it was published."""
    app = sender(redis_url, "wk-eta")
    instrumented.clock.ns = time.time_ns()
    with run(collector, tmp_path, redis_url, "wk-eta", POOLS["threads"]):
        arrived_later = app.send_task("celeryapp.add", (1, 2), countdown=3)
        (attempt,) = arrived(collector, "job celeryapp.add", 1)
    said = attributes(attempt)
    assert arrived_later.id == said["job.id"]
    assert said["job.wait_s"] < 2.5


def test_a_chord_is_one_trace(collector: Collector, tmp_path: Path, redis_url: str) -> None:
    """The members of a group and the chord's body go on with the trace of the one that made them."""
    env = environment(collector, tmp_path, REDIS_URL=redis_url, WATCHKEEPER_TEST_QUEUE="wk-chord")
    with run(collector, tmp_path, redis_url, "wk-chord", POOLS["prefork"]):
        code = (
            "import celeryapp, watchkeeper\n"
            "with watchkeeper.job('outer'): celeryapp.both()\n"
            "watchkeeper.shutdown()\n"
        )
        subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)
        (body,) = arrived(collector, "job celeryapp.total", 1)
        members = arrived(collector, "job celeryapp.add", 2)
    (outer,) = named(collector, "job outer")
    assert {outer.trace_id} == {span.trace_id for span in (body, *members)}
    assert "success" == attributes(body)["job.outcome"]


def test_children_that_are_replaced_lose_nothing(
    instrumented: Rig, collector: Collector, tmp_path: Path, redis_url: str
) -> None:
    """With one task per child, every attempt's span arrives, and the depth of the queue is known."""
    app = sender(redis_url, "wk-recycle")
    options = ["--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "1"]
    with run(collector, tmp_path, redis_url, "wk-recycle", options):
        for number in range(12):
            app.send_task("celeryapp.add", (number, 1))
        arrived(collector, "job celeryapp.add", 12)
    produced = {
        f"{span.span_id:016x}" for span in instrumented.spans if span.name.startswith("enqueue")
    }
    attempts = named(collector, "job celeryapp.add")
    assert sorted(produced) == sorted(span.parent_span_id.hex() for span in attempts)


def test_killed_children_are_reported_by_their_parent(
    instrumented: Rig, collector: Collector, tmp_path: Path, redis_url: str
) -> None:
    """A time limit and a kill leave a failed attempt behind, in the task's trace."""
    app = sender(redis_url, "wk-killed")
    with run(collector, tmp_path, redis_url, "wk-killed", POOLS["prefork"]):
        app.send_task("celeryapp.suicide")
        app.send_task("celeryapp.endless")
        (killed,) = arrived(collector, "job celeryapp.suicide", 1)
        (endless,) = arrived(collector, "job celeryapp.endless", 1)
    for span, name, error in (
        (killed, "suicide", "WorkerLostError"),
        (endless, "endless", "TimeLimitExceeded"),
    ):
        produced = instrumented.named(f"enqueue celeryapp.{name}")
        assert f"{produced.span_id:016x}" == span.parent_span_id.hex()
        assert str(attributes(span).get("error.type")).endswith(error), attributes(span)
        assert "error" == attributes(span)["job.outcome"]
    assert endless.end_time_unix_nano - endless.start_time_unix_nano > 500_000_000


def test_publishing_that_fails_is_an_error(instrumented: Rig) -> None:
    """A broker that cannot be reached fails the producer span, and the application hears of it."""
    app = sender("redis://127.0.0.1:1/0", "q")
    app.conf.task_publish_retry = False
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1|onnect"):
        app.send_task("t")
    assert "ERROR" == instrumented.named("enqueue t").status_code.name


def test_eager_tasks_are_jobs_too(instrumented: Rig) -> None:
    """`apply` runs a task here: an attempt without a producer, below the current span."""
    app = Celery("eager", broker="memory://", set_as_current=False)

    @task(app, "here")
    def here() -> int:
        return 1

    assert 1 == here.apply().get()
    assert ["job here"] == [span.name for span in instrumented.spans]
    assert "success" == instrumented.spans[0].attributes["job.outcome"]


def test_undo_leaves_nothing(rig: Rig) -> None:
    """After undo tasks run unseen."""
    before = Celery.send_task
    integration.instrument(rig)()
    assert before is Celery.send_task
    app = Celery("undone", broker="memory://", set_as_current=False)

    @task(app, "unseen")
    def unseen() -> int:
        return 1

    unseen.apply()
    assert [] == rig.spans


def test_a_child_that_leaves_spools_what_hangs(
    collector: Collector, tmp_path: Path, redis_url: str
) -> None:
    """A recycled child ends in time though the endpoint never answers, and its span is on disk."""
    never = threading.Event()
    collector.script.extend(Answer(503, wait=never) for _ in range(100))
    app = sender(redis_url, "wk-hanging")
    options = ["--pool", "prefork", "--concurrency", "1", "--max-tasks-per-child", "1"]

    def waiting() -> list[str]:
        return [
            span.name
            for path in (tmp_path / "spool").rglob("*-traces-*.otlp")
            for span in spans_of(path.read_bytes())
        ]

    with run(collector, tmp_path, redis_url, "wk-hanging", options):
        for _ in range(2):
            app.send_task("celeryapp.add", (1, 2))
        assert wait_until(lambda: waiting().count("job celeryapp.add") == 2, 40), said(tmp_path)
    never.set()
