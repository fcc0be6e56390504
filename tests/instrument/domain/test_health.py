"""Health checks on a clock by hand; only the threads of single runs are real."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.instrument.rig import HandClock, Rig

from watchkeeper.errors import SettingError
from watchkeeper.instrument.domain.health import Check, HealthChecks


def settled(checks: HealthChecks) -> None:
    """Wait for the runs that were started."""
    for thread in threading.enumerate():
        if thread.name.startswith("watchkeeper-health-"):
            thread.join(10)
    assert all(check.started_ns is None for check in checks.checks.values())


def made(clock: HandClock, function: Callable[[], Any]) -> HealthChecks:
    """Return the checks of a process with one, every 15 s with a time of 5 s."""
    checks = HealthChecks(clock)
    checks.add(Check("database", function, 15.0, 5.0))
    return checks


def test_a_check_runs_when_it_is_due(rig: Rig) -> None:
    """At once, and then after each interval; its gauges show the last run."""
    runs: list[int] = []
    checks = made(rig.clock, lambda: runs.append(1))
    assert "unknown" == checks.report()["status"]
    for seconds in (0, 14, 1):
        rig.clock.advance(seconds)
        checks.turn()
        settled(checks)
    assert 2 == len(runs)
    assert "healthy" == checks.report()["status"]
    label = '{health_check_name="database"}'
    assert (1.0, rig.clock.ns / 1e9) == (
        rig.value(f"health_check_status{label}"),
        rig.value(f"health_check_last_success_time_seconds{label}"),
    )
    assert [] == rig.events


def test_changes_are_told_once(rig: Rig) -> None:
    """An event when a check begins to fail, and one when it succeeds again."""
    answers: list[object] = [True, False, False, None]
    checks = made(rig.clock, lambda: answers.pop(0))
    for _ in range(4):
        checks.turn()
        settled(checks)
        rig.clock.advance(15)
    assert [("warning", "unhealthy"), ("info", "healthy")] == [
        (level, fields["health.check.outcome"]) for _, level, fields in rig.events
    ]


def test_what_is_raised_is_the_reason(rig: Rig) -> None:
    """The report says why only if it is asked to."""

    def fails() -> None:
        raise ConnectionError("db:5432 refused")

    checks = made(rig.clock, fails)
    checks.turn()
    settled(checks)
    told = checks.report(reasons=True)["checks"]["database"]
    assert ("unhealthy", "ConnectionError: db:5432 refused") == (told["status"], told["reason"])
    assert "reason" not in checks.report()["checks"]["database"]


def test_a_check_that_hangs_fails_and_holds_up_nobody(rig: Rig) -> None:
    """After its time a run counts as failed, and what it finds later does not matter."""
    gate = threading.Event()
    checks = made(rig.clock, lambda: gate.wait(10))
    other: list[int] = []
    checks.turn()
    checks.add(Check("other", lambda: other.append(1), 1.0, 1.0))
    rig.clock.advance(5)
    checks.turn()
    assert "unhealthy" == checks.report()["checks"]["database"]["status"]
    gate.set()
    settled(checks)
    assert ("unhealthy", [1]) == (checks.report()["checks"]["database"]["status"], other)


def test_coroutine_functions_are_checks_too(rig: Rig) -> None:
    """They run on a loop of their own."""

    async def fine() -> bool:
        await asyncio.sleep(0)
        return True

    checks = made(rig.clock, fine)
    checks.turn()
    settled(checks)
    assert "healthy" == checks.report()["status"]


def test_times_and_number_are_bounded() -> None:
    """What makes no sense, or too many, is refused with what to do."""
    checks = HealthChecks(HandClock())
    with pytest.raises(SettingError, match="above 0"):
        checks.add(Check("a", lambda: None, 0.0, 1.0))
    for number in range(100):
        checks.add(Check(str(number), lambda: None, 1.0, 1.0))
    with pytest.raises(SettingError, match="at most 100"):
        checks.add(Check("one more", lambda: None, 1.0, 1.0))


def test_a_program_registers_checks_and_gets_their_report() -> None:
    """No thread before the first check; then it runs by itself, also in a forked child."""
    code = """
import os, threading, watchkeeper
assert not [t for t in threading.enumerate() if t.name.startswith("watchkeeper-health")]
done = threading.Event()
@watchkeeper.health_check("database", interval_s=0.05)
def database():
    done.set()
assert done.wait(10)
def healthy():
    for _ in range(500):
        if watchkeeper.health()["status"] == "healthy":
            return True
        threading.Event().wait(0.01)
    return False
assert healthy()
pid = os.fork()
if pid == 0:
    done.clear()
    os._exit(0 if done.wait(10) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
