"""Scheduled work: missed runs, last success, overlaps."""

import os
import threading

import pytest
from tests.instrument.rig import START_NS, HandClock, Rig, attached

from watchkeeper.clock import SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain import job, schedule
from watchkeeper.instrument.domain.schedules import Heartbeat
from watchkeeper.testing import wait_until

S = 1_000_000_000


@pytest.fixture
def beat() -> Heartbeat:
    """Return the heartbeat of a run every 60 seconds that may be 10 seconds late."""
    return Heartbeat(60 * S, 10 * S, 0)


def test_a_run_is_missed_once_the_grace_is_over(beat: Heartbeat) -> None:
    """Nothing is missed up to the grace's end; then one run is, once."""
    assert [0, 0, 1, 0] == [beat.look(at * S) for at in (60, 69, 70, 129)]
    assert (1, 120 * S) == (beat.missed, beat.due_ns())


def test_every_missed_run_counts(beat: Heartbeat) -> None:
    """A long silence is several missed runs, whenever somebody looks."""
    assert 4 == beat.look(255 * S)
    assert 1 == beat.look(315 * S)


def test_a_success_begins_anew(beat: Heartbeat) -> None:
    """The next run is due one interval after the success; what was missed before stays counted."""
    assert 1 == beat.succeeded(100 * S)
    assert [0, 1] == [beat.look(at * S) for at in (169, 170)]
    assert 2 == beat.missed


def test_a_success_of_the_past_changes_nothing(beat: Heartbeat) -> None:
    """A clock that was set back does not make runs due earlier."""
    beat.succeeded(100 * S)
    beat.succeeded(40 * S)
    assert 160 * S == beat.due_ns()


def test_a_declared_job_reports_by_itself(rig: Rig) -> None:
    """Jobs of the schedule's name keep it; a failure does not; scrapes count what was missed."""
    schedule("report", every_s=60, grace_s=10)
    missed = 'job_missed_runs_total{job_name="report",reason="late"}'
    rig.clock.advance(50)
    with job("report"):
        pass
    rig.clock.advance(69)
    assert 0 == rig.value(missed)
    with pytest.raises(ValueError, match="no"), job("report"):
        raise ValueError("no")
    rig.clock.advance(1)
    assert 1 == rig.value(missed)
    assert 60 == rig.value('job_schedule_interval_seconds{job_name="report"}')
    assert START_NS / 1e9 + 50 == rig.value('job_last_success_time_seconds{job_name="report"}')
    assert ["job.missed_run"] == [name for name, _, _ in rig.events if name != "job.run"]
    assert {
        "job.name": "report",
        "job.due_time": "2027-01-15T08:01:50+00:00",
        "job.missed": 1,
        "reason": "late",
    } == rig.events[-1][2]


def test_work_that_is_no_job_says_so_itself(rig: Rig) -> None:
    """`succeeded` stands for a run; after `forget` nothing is missed any more."""
    nightly = schedule("nightly", every_s=60)
    rig.clock.advance(59)
    nightly.succeeded()
    rig.clock.advance(59)
    assert 0 == rig.value('job_missed_runs_total{job_name="nightly",reason="late"}')
    nightly.forget()
    rig.clock.advance(1_000)
    assert {} == rig.samples("job_missed_runs")


def test_overlapping_runs_are_counted(rig: Rig) -> None:
    """A run that begins while another goes on is an overlap; one after the other is none."""
    schedule("sync", every_s=60)
    with job("sync", id="1"), job("sync", id="2"):
        pass
    with job("sync"):
        pass
    assert {'job_overlapping_runs_total{job_name="sync"}': 1} == rig.samples("job_overlapping")
    assert ("job.overlap", "warning", {"job.name": "sync", "job.id": "2"}) in rig.events


def test_missed_runs_are_told_without_a_scrape(rig: Rig) -> None:
    """A thread looks when the next run would be late, so the log says it though nobody scrapes."""
    rig.clock = SystemClock()  # type: ignore[assignment] # the thread waits in real time
    schedule("fast", every_s=0.02)
    try:
        assert wait_until(lambda: "job.missed_run" in [name for name, _, _ in rig.events], 10)
    finally:
        schedule("fast", every_s=1e6)


class SlowClock(HandClock):
    """A clock by hand that lets a thread of schedules wait for the time until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    def monotonic_ns(self) -> int:
        """Return the time."""
        if threading.current_thread().name == "watchkeeper-schedules":
            self.asked.set()
            assert self.go_on.wait(30)
        return self.ns

    now_ns = monotonic_ns


def test_a_look_of_an_earlier_configuration_counts_nothing(rig: Rig) -> None:
    """A thread that began to look before the configuration changed leaves its schedules alone."""
    slow = SlowClock()
    before = set(threading.enumerate())
    with attached() as earlier:
        earlier.clock = slow
        schedule("report", every_s=0.01)
        (thread,) = set(threading.enumerate()) - before
        assert slow.asked.wait(30)
        slow.advance(86_400)
    hosts.attach(rig)
    schedule("report", every_s=60)
    slow.go_on.set()
    thread.join(30)
    assert 0 == rig.value('job_missed_runs_total{job_name="report",reason="late"}')
    rig.clock.advance(60)
    assert 1 == rig.value('job_missed_runs_total{job_name="report",reason="late"}')


def test_a_clock_that_is_set_makes_no_run_late(rig: Rig) -> None:
    """Lateness is measured by the clock that cannot be set; what was due is told by the other."""
    clock = TwoClocks()
    rig.clock = clock  # type: ignore[assignment] # two hands
    schedule("report", every_s=60)
    clock.wall_ns += 86_400 * S
    missed = 'job_missed_runs_total{job_name="report",reason="late"}'
    assert 0 == rig.value(missed)
    clock.wall_ns += 60 * S
    clock.steady_ns += 60 * S
    assert 1 == rig.value(missed)
    assert "2027-01-16T08:01:00+00:00" == rig.events[-1][2]["job.due_time"]


class TwoClocks:
    """A host's clock, which may be set, and a steady one."""

    wall_ns = START_NS
    steady_ns = 5 * S

    def now_ns(self) -> int:
        """Return the time of the host."""
        return self.wall_ns

    def monotonic_ns(self) -> int:
        """Return the steady time."""
        return self.steady_ns


def test_a_forked_child_counts_nothing(rig: Rig) -> None:
    """The parent counts; a child that declares nothing itself shows no missed runs."""
    schedule("forked", every_s=60)
    rig.clock.advance(61)
    pid = os.fork()
    if pid == 0:
        os._exit(len(rig.samples("job_missed_runs")))
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert 1 == len(rig.samples("job_missed_runs"))


@pytest.mark.parametrize("given", [{"every_s": 0}, {"every_s": 60, "grace_s": -1}])
def test_impossible_schedules_are_refused(given: dict[str, float]) -> None:
    """An interval of nothing and a negative grace are errors that say what is accepted."""
    with pytest.raises(SettingError, match="every_s above 0, grace_s 0 or more"):
        schedule("x", **given)
