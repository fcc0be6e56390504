"""Jobs of arq: a real worker on a real Redis, on the versions that arq asks for."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.instrument.integrations.workers import (
    arrived,
    attributes,
    environment,
    named,
    said,
    worker,
)
from tests.instrument.recorder.collector import Collector, collecting

from watchkeeper.testing import wait_until


class Seen:
    """What a worker and a sender delivered."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """Return the attributes of the attempts at the job *name*."""
        return [attributes(span) for span in self.spans(f"job {name}")]

    def spans(self, name: str) -> list[Span]:
        """Return the spans called *name*."""
        return named(self.collector, name)

    def letters(self) -> set[tuple[str, str]]:
        """Return name and reason of each dead letter without a span."""
        found = set()
        for log in self.collector.logs():
            if log.event_name == "job.dead_letter":
                told = {pair.key: pair.value.string_value for pair in log.attributes}
                found.add((told["job.name"], told["job.dead_reason"]))
        return found


@pytest.fixture(scope="module")
def seen(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run a worker until it has done what a sender enqueued."""
    tmp_path: Path = tmp_path_factory.mktemp("arq")
    with collecting() as collector:
        found = Seen(collector)
        env = environment(collector, tmp_path, side="arq", REDIS_URL=redis_url)
        subprocess.run(
            [sys.executable, str(tmp_path / "arqapp.py")], env=env, check=True, timeout=120
        )
        with worker(["-m", "arq", "arqapp.WorkerSettings"], env, tmp_path):
            for name, count in (("add", 2), ("broken", 1), ("again", 2), ("endless", 1)):
                arrived(collector, f"job {name}", count)
            assert wait_until(lambda: len(found.letters()) == 2, 20), said(tmp_path)
    return found


def test_a_job_is_one_trace(seen: Seen) -> None:
    """The attempt is a child of the enqueueing; request, user and tenant travel along."""
    first = next(one for one in seen.jobs("add") if one["job.id"] == "sum")
    assert {
        "job.name": "add",
        "job.queue": "wk-arq",
        "job.id": "sum",
        "job.attempt": 1,
        "job.outcome": "success",
        "request.id": "r1",
        "user.id": "u1",
        "tenant.id": "acme",
    } == {name: value for name, value in first.items() if name != "job.wait_s"}
    (outer,) = seen.spans("job outer")
    produced, attempts = seen.spans("enqueue add"), seen.spans("job add")
    assert {outer.span_id} == {span.parent_span_id for span in produced}
    assert {span.span_id for span in produced} == {span.parent_span_id for span in attempts}
    assert {"sum", "later"} == {attributes(span)["job.id"] for span in produced}
    lines = [log for log in seen.collector.logs() if log.body.string_value == "added"]
    assert "r1/u1/acme" in str(lines[0])


def test_a_delay_is_no_waiting(seen: Seen) -> None:
    """A deferred job waits from when it is due."""
    later = next(one for one in seen.jobs("add") if one["job.id"] == "later")
    assert later["job.wait_s"] < 1.4


def test_outcomes_are_told_apart(seen: Seen) -> None:
    """Errors, retries and time limits have their outcome; what nobody runs is a dead letter."""
    assert ["error"] == [one["job.outcome"] for one in seen.jobs("broken")]
    assert ["retry", "retry"] == [one["job.outcome"] for one in seen.jobs("again")]
    assert [1, 2] == [one["job.attempt"] for one in seen.jobs("again")]
    assert ["error"] == [one["job.outcome"] for one in seen.jobs("endless")]
    assert {("again", "retries_exhausted"), ("_unknown", "unknown_task")} == seen.letters()


def test_only_the_applications_own_commands_are_recorded(seen: Seen) -> None:
    """What a job says to Redis is below it; what arq says for its own sake is not recorded."""
    attempts = {span.span_id for span in seen.spans("job add")}
    # At its start and end a worker looks at the server and takes its health key away.
    around = {"INFO", "DBSIZE", "PING", "MULTI", "PIPELINE", "DEL"}
    others = [
        span
        for span in seen.collector.spans()
        if not span.name.startswith(("job ", "enqueue ")) and span.name not in around
    ]
    assert {"SET"} == {span.name for span in others}
    assert attempts == {span.parent_span_id for span in others}
