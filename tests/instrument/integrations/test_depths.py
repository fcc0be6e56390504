"""Depths of queues, whose brokers may be away."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations.depths import watch_depth
from watchkeeper.testing import wait_until

DEPTH = 'job_queue_depth{job_queue="mails"}'


def answers(*given: float | Exception | None) -> Callable[[], float | None]:
    """Return a function that gives these answers one after the other, and then the last again."""
    left = list(given)

    def read() -> float | None:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return read


def test_a_broker_that_comes_later_is_shown(rig: Rig) -> None:
    """The first answer is asked for until it comes, whether the broker fails or cannot tell."""
    watch_depth(rig, "mails", answers(ConnectionError("down"), None, 5), "jobs", pause_s=0.01)
    assert wait_until(lambda: rig.value(DEPTH) == 5, 10)


def test_a_broker_that_goes_leaves_its_last_answer(rig: Rig) -> None:
    """A depth that cannot be read again stays; one that is old is read again."""
    asked = threading.Event()
    read = answers(5, ConnectionError("down"), 7)

    def noted() -> float | None:
        asked.set()
        return read()

    watch_depth(rig, "mails", noted, "jobs")
    assert wait_until(lambda: rig.value(DEPTH) == 5, 10)
    asked.clear()
    rig.clock.advance(5)
    assert 5 == rig.value(DEPTH)
    assert not asked.is_set()
    rig.clock.advance(6)
    assert 5 == rig.value(DEPTH)
    assert asked.wait(10)

    def later() -> bool:
        rig.clock.advance(11)
        return rig.value(DEPTH) == 7

    assert wait_until(later, 10)
