"""A real process that escalates, killed at random points, in front of a webhook that records."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from tests.house.rooms import ROOT

from watchkeeper.testing.processes import wait_until
from watchkeeper.testing.webhook import FakeWebhook

KILLS = 5
EXPECTED = {
    (1, 0): ["a"], (1, 1): ["a", "b", "c"],
    (2, 0): ["a"], (2, 1): ["a", "b", "c"],
    (2, 2): ["c"],
}  # fmt: skip
"""Receivers by round and step; the step after the last one is the fallback."""


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """Start the process and return it once it works."""
    script = Path(__file__).with_name("escalating_process.py")
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), str(folder), url],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", (folder / "log").read_text()
    return process


def told(hook: FakeWebhook) -> Counter[str]:
    """Return how often each key arrived."""
    return Counter(request.headers["idempotency-key"] for request in hook.requests)


@pytest.mark.timeout(720)
def test_kills_lose_no_step_and_repeat_only_under_the_same_key(tmp_path: Path) -> None:
    """Each step of the policy reaches each receiver, under one key, whenever the process dies."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311 - repeatable
    pause = threading.Event()
    with FakeWebhook() as hook:
        for _ in range(KILLS):
            process = start(tmp_path, hook.url)
            pause.wait(chance.uniform(0, 0.7))
            process.kill()
            process.wait(40)
            assert process.stdout is not None
            process.stdout.close()
        process = start(tmp_path, hook.url)
        every = sum(map(len, EXPECTED.values()))
        complete = wait_until(lambda: len(told(hook)) >= every, 60)
        process.kill()
        process.wait(40)
        assert process.stdout is not None
        process.stdout.close()
        found = told(hook)

    assert complete, (seed, found, (tmp_path / "log").read_text()[-3000:])
    places = Counter(key.split("/", 1)[1].removesuffix("/webhook[0]") for key in found)
    assert places == Counter(
        f"1.{round_}.{step}/{name}" for (round_, step), names in EXPECTED.items() for name in names
    ), seed
    # Whoever is told twice is told so because a kill came between sending and recording.
    assert sum(found.values()) - len(found) <= KILLS * 3, (seed, found)
    assert len({key.split("/")[0] for key in found}) == 1, seed
