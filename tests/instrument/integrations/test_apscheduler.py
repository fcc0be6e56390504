"""Runs of APScheduler's jobs: those that happened, and those that did not."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from opentelemetry.trace import SpanKind
from tests.instrument.rig import Rig

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.integrations import apscheduler as integration
from watchkeeper.testing import wait_until

STARTED = threading.Event()
GO_ON = threading.Event()


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integration on; APScheduler reads the host's clock, so the rig does too."""
    rig.clock = SystemClock()  # type: ignore[assignment] # as said
    undo = integration.instrument(rig)
    STARTED.clear()
    GO_ON.clear()
    yield rig
    GO_ON.set()
    undo()


@pytest.fixture
def scheduler() -> Iterator[Any]:
    """Return a running scheduler with threads."""
    made = BackgroundScheduler()
    made.start()
    yield made
    GO_ON.set()
    made.shutdown()


def works() -> None:
    """Do nothing, well."""


def fails() -> None:
    """Fail."""
    raise KeyError("k")


def waits() -> None:
    """Go on when told to."""
    STARTED.set()
    GO_ON.wait(20)


async def works_later() -> None:
    """Do nothing, well, on a loop."""
    await asyncio.sleep(0)


def outcomes(rig: Rig) -> dict[str, str]:
    """Return how jobs ended, by their name."""
    return {
        str(span.attributes["job.name"]): str(span.attributes["job.outcome"]) for span in rig.spans
    }


def test_a_run_is_a_consumer_span(instrumented: Rig, scheduler: Any) -> None:
    """Name, id, lateness and outcome are on the span; a failure is an error, and APScheduler's too."""
    scheduler.add_job(works, id="w1")
    scheduler.add_job(fails, name="nightly")
    assert wait_until(lambda: len(instrumented.spans) == 2, 10)
    assert {"works": "success", "nightly": "error"} == outcomes(instrumented)
    span = instrumented.named("job works")
    assert (SpanKind.CONSUMER, "w1", "default") == (
        span.kind,
        span.attributes["job.id"],
        span.attributes["job.queue"],
    )
    assert 0 <= float(str(span.attributes["job.wait_s"])) < 10
    assert "KeyError" == instrumented.named("job nightly").attributes["error.type"]


def test_a_run_that_comes_too_late_is_missed(instrumented: Rig, scheduler: Any) -> None:
    """A run beyond its grace time has no span; it is counted and told."""
    due = datetime.now(UTC) - timedelta(seconds=30)
    scheduler.add_job(works, "date", run_date=due, misfire_grace_time=1, name="late")
    missed = 'job_missed_runs_total{job_name="late",reason="misfire"}'
    assert wait_until(lambda: instrumented.value(missed) == 1, 10)
    assert [] == instrumented.spans
    assert ("job.missed_run", "warning") == instrumented.events[0][:2]


def test_a_run_beyond_max_instances_is_missed(instrumented: Rig, scheduler: Any) -> None:
    """A run that is skipped because the one before still goes on is counted as such."""
    scheduler.add_job(waits, "interval", seconds=0.05, name="slow", misfire_grace_time=None)
    assert STARTED.wait(10)
    missed = 'job_missed_runs_total{job_name="slow",reason="max_instances"}'
    assert wait_until(lambda: (instrumented.value(missed) or 0) >= 1, 10)
    scheduler.remove_all_jobs()


async def test_coroutines_are_runs_too(instrumented: Rig) -> None:
    """An asyncio scheduler's coroutine functions and plain functions are recorded alike."""
    scheduler = AsyncIOScheduler()
    scheduler.start()
    scheduler.add_job(works_later)
    scheduler.add_job(works)
    for _ in range(200):
        await asyncio.sleep(0.02)
        if len(instrumented.spans) == 2:
            break
    scheduler.shutdown()
    assert {"works_later": "success", "works": "success"} == outcomes(instrumented)


def test_undo_leaves_nothing(rig: Rig) -> None:
    """After undo runs are not recorded."""
    integration.instrument(rig)()
    done = threading.Event()
    scheduler = BackgroundScheduler()
    scheduler.start()
    scheduler.add_job(done.set)
    assert done.wait(10)
    # Shutting down while it still puts the finished job away would raise in its thread.
    assert wait_until(lambda: not scheduler.get_jobs(), 10)
    scheduler.shutdown()
    assert [] == rig.spans
