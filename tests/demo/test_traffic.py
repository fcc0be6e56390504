"""The people who use AgentDesk: their counters are exact, and faults change what they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.demo.desk import Desk, running

from watchkeeper.demo.traffic.__main__ import pace
from watchkeeper.demo.traffic.counters import Counters
from watchkeeper.testing.processes import wait_until


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One AgentDesk with its traffic for this file."""
    with running(Path(tmp_path_factory.mktemp("busy")), without=()) as started:
        yield started


def counters(desk: Desk) -> dict[str, Any]:
    """Return the generator's counters."""
    found: dict[str, Any] = httpx.get(desk.settings.traffic_status_url, timeout=5.0).json()
    return found


def answered(desk: Desk, status: str) -> int:
    """Return how many answers had this status."""
    return int(counters(desk)["by_status"].get(status, 0))


def test_every_request_is_counted_once() -> None:
    """What was sent is what was answered, by status, and what was not."""
    kept = Counters()
    for status in (200, 200, 404):
        kept.sent()
        kept.answered(status, 0.25)
    kept.sent()
    kept.unanswered()

    assert {
        "sent": 4,
        "answered": 3,
        "unanswered": 1,
        "by_status": {"200": 2, "404": 1},
        "latency_ms": {"p50": 250.0, "p95": 250.0, "p99": 250.0},
        "error_share": 0.0,
    } == kept.snapshot()


@pytest.mark.parametrize(("part", "expected"), [(0.0, 20), (0.25, 30), (0.5, 20), (0.75, 10)])
def test_a_day_has_a_rhythm(part: float, expected: float) -> None:
    """The rate swings by half around its average, and is back where it was after a day."""
    assert expected == pytest.approx(pace(20, 600, part * 600))


def test_running_counters_add_up(busy: Desk) -> None:
    """At any moment, sent is answered, unanswered, or one of the few on their way."""
    assert wait_until(lambda: counters(busy)["sent"] > 60, 30)

    now = counters(busy)

    assert sum(now["by_status"].values()) == now["answered"]
    assert 0 <= now["sent"] - now["answered"] - now["unanswered"] <= 16
    assert 0 == now["unanswered"]


def test_errors_reach_the_people_and_none_of_their_requests_is_lost(busy: Desk) -> None:
    """The errors fault shows as status 500, and every request still gets its answer."""
    before = answered(busy, "500")
    busy.faults.set("errors", 1.0)
    try:
        assert wait_until(lambda: answered(busy, "500") >= before + 25, 30)
    finally:
        busy.faults.clear("errors")

    assert 0 == counters(busy)["unanswered"]


def test_failed_logins_come_in_crowds(busy: Desk) -> None:
    """The failed-logins fault makes people try wrong passwords."""
    before = answered(busy, "401")
    busy.faults.set("failed_logins", 1.0)
    try:
        assert wait_until(lambda: answered(busy, "401") >= before + 40, 30)
    finally:
        busy.faults.clear("failed_logins")
