"""AgentDesk's processes end when they should, and none outlives who started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from tests.demo.desk import NOBODY_LISTENS, running

from watchkeeper.demo.control import Faults
from watchkeeper.demo.faults import FAULTS, FaultSwitch
from watchkeeper.demo.plan import DemoSettings, processes
from watchkeeper.testing import free_port
from watchkeeper.testing.processes import wait_until

START_AND_WAIT = """
import json, os, subprocess, sys, time
for name, argv, env in json.load(sys.stdin):
    subprocess.Popen(
        argv, env={**os.environ, **env}, start_new_session=True,
        stdout=open(name, "wb"), stderr=subprocess.STDOUT,
    )
print("started", flush=True)
time.sleep(120)
"""


def lives(process: psutil.Process) -> bool:
    """Return whether a process still runs; one that only waits to be collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answers(url: str) -> bool:
    """Return whether a URL answers with success."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2.0).is_success
    return False


def settings(base: Path, port: Callable[[], int] = lambda: 0) -> DemoSettings:
    """Return settings of an AgentDesk that is only described, or runs on ports that *port* gives."""
    return DemoSettings(
        base_dir=base,
        endpoint=NOBODY_LISTENS,
        targets_dir=base / "targets",
        app_port=port(),
        world_port=port(),
        traffic_port=port(),
    )


def test_the_plan_names_every_process_in_order(tmp_path: Path) -> None:
    """The outside world comes first, then who needs it, and the people last."""
    assert ["world", "api", "worker", "traffic"] == [
        planned.name for planned in processes(settings(tmp_path))
    ]


def test_only_what_is_observed_is_told_where_to_report(tmp_path: Path) -> None:
    """The API and the worker report to the server; the outside world and the people do not."""
    told = {
        planned.name
        for planned in processes(settings(tmp_path))
        if planned.env.get("WATCHKEEPER_ENDPOINT") == NOBODY_LISTENS
    }

    assert {"api", "worker"} == told


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_switched_fault_is_seen_until_it_is_cleared(tmp_path: Path, name: str) -> None:
    """Each switch reaches a reader at once, with its strength, and goes off again."""
    switches, reader = Faults(settings(tmp_path)), FaultSwitch(tmp_path / "faults.json")

    switches.set(name, 0.7)
    on = reader.strength(name)
    switches.clear(name)

    assert (0.7, 0.0) == (on, reader.strength(name))


def test_an_unknown_fault_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The message says what was given and what there is."""
    with pytest.raises(ValueError, match=r"got 'eror'\. Accepted: errors, "):
        Faults(settings(tmp_path)).set("eror")


def test_processes_end_when_asked_and_withdraw_their_targets(tmp_path: Path) -> None:
    """SIGTERM ends every process within its grace, and no scrape target stays behind."""
    with running(tmp_path / "desk", without=()) as desk:
        targets = desk.settings.targets_dir
        assert wait_until(lambda: "consumer started" in desk.supervisor.tail("worker", 99), 15)
        assert 2 == len(list(targets.glob("*.json")))
        codes = {name: desk.supervisor.stop(name) for name in ("traffic", "worker", "api", "world")}

        assert {0, -signal.SIGTERM} >= set(codes.values())
        assert [] == desk.supervisor.orphans()
        assert [] == list(targets.glob("*.json"))


def test_no_process_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    """When the process that started them is killed outright, all of them end by themselves."""
    plan = processes(settings(tmp_path, free_port))
    logs = {one.name: tmp_path / f"{one.name}.log" for one in plan}
    parent = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        json.dump([(str(logs[one.name]), one.argv, dict(one.env)) for one in plan], parent.stdin)
        parent.stdin.close()
        parent.stdout.readline()
    started = psutil.Process(parent.pid).children()
    urls = [one.ready_url for one in plan if one.ready_url is not None]
    try:
        assert wait_until(lambda: all(map(answers, urls)), 30)
        assert wait_until(lambda: "consumer started" in logs["worker"].read_text(), 15)
        assert [True] * len(plan) == [lives(one) for one in started]

        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(10)

        assert wait_until(lambda: not any(map(lives, started)), 15)
    finally:
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        parent.kill()
        parent.wait(10)
