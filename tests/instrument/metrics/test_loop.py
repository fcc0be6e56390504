"""The event loop's lag is measured without keeping the loop alive."""

from __future__ import annotations

import asyncio
import time

from watchkeeper.instrument.metrics.loop import LoopMonitor


async def test_a_blocked_loop_shows() -> None:
    """Code that blocks the loop for 0.4 seconds shows as lag."""
    monitor = LoopMonitor()
    monitor.watch(asyncio.get_running_loop())
    await asyncio.sleep(0)
    time.sleep(0.45)  # noqa: ASYNC251 - what is measured
    await asyncio.sleep(0.01)
    monitor.stop()

    assert 0.1 < monitor.worst_s() < 5.0


async def test_a_loop_is_watched_once() -> None:
    """A second request for the same loop does nothing."""
    monitor = LoopMonitor()
    loop = asyncio.get_running_loop()
    answers = [monitor.watch(loop), monitor.watch(loop)]
    monitor.stop()

    assert [True, False] == answers


def test_the_monitor_does_not_keep_a_loop() -> None:
    """A watched loop ends as usual."""
    monitor = LoopMonitor()

    async def main() -> None:
        monitor.watch(asyncio.get_running_loop())

    started = time.monotonic()
    asyncio.run(main())

    assert time.monotonic() - started < 5.0
