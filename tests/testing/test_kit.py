"""The testing kit does what tests rely on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
import pytest

from watchkeeper.errors import StartError
from watchkeeper.testing.clock import FixedClock
from watchkeeper.testing.processes import ProcessSpec, Supervisor, wait_until
from watchkeeper.testing.slack import Answer, FakeSlack


def test_a_fixed_clock_moves_only_when_told() -> None:
    """``advance`` moves both clocks, ``jump`` the wall clock alone."""
    clock = FixedClock(1_000)
    clock.advance(1.5)
    clock.jump(-1)

    assert (500_001_000, 1_500_000_000) == (clock.now_ns(), clock.monotonic_ns())
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_fake_slack_answers_as_told_and_keeps_messages() -> None:
    """Answers are given once each, then ``ok``; bodies are kept; garbage is a 400."""
    with FakeSlack() as slack:
        slack.answer_next(Answer(429, b"rate_limited", retry_after_s=3))
        first = httpx.post(slack.url, json={"text": "one"})
        second = httpx.post(slack.url, json={"text": "two"})
        third = httpx.post(slack.url, content=b"{")

    assert (429, "3") == (first.status_code, first.headers["Retry-After"])
    assert (200, "ok") == (second.status_code, second.text)
    assert (400, "invalid_payload") == (third.status_code, third.text)
    assert ["one", "two"] == [message["text"] for message in slack.messages]


def test_a_supervisor_leaves_no_process_behind(tmp_path: Path) -> None:
    """A process and the child that it started are gone after the block."""
    script = "import subprocess,sys,time; subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)']); time.sleep(60)"
    with Supervisor(tmp_path) as supervisor:
        pid = supervisor.start(ProcessSpec("parent", [sys.executable, "-c", script]))
        assert wait_until(lambda: len(_group(pid)) == 2, 10)

    assert wait_until(lambda: _group(pid) == [], 5)


def _group(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if os.getpgid(int(entry.name)) == leader and stat[0] != "Z":
                    found.append(int(entry.name))
            except (OSError, IndexError):
                continue
    return found


def test_a_process_that_fails_to_start_shows_its_output(tmp_path: Path) -> None:
    """The error of a process that ended holds the end of what it wrote."""
    spec = ProcessSpec(
        "broken", [sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"],
        ready_url="http://127.0.0.1:9/",
    )  # fmt: skip
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(spec)
        with pytest.raises(StartError, match=r"(?s)exit code 3.*no such luck"):
            supervisor.wait_ready("broken", 10)


def test_waiting_ends_when_time_is_up() -> None:
    """A condition that never holds gives False after the time."""
    assert not wait_until(lambda: False, 0.1)
