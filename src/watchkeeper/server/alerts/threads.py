"""Blocking work beside the event loop, waited for even when its task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

__all__ = ["in_thread"]

_T = TypeVar("_T")


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run *work* in a thread and return its result.

    A cancelled task ends only after its thread has: the store can be closed then. (anyio shields
    threads from its own cancellation, not from asyncio's.)
    """
    running = asyncio.ensure_future(to_thread.run_sync(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
