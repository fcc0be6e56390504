"""What an observed application keeps: nothing that grows with the number of requests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house.rooms import ROOT

KEPT = """
import asyncio, gc, json, logging, os, sys, threading
sys.path[:0] = {path!r}
import watchkeeper
from tests.instrument import overhead_app

watchkeeper.configure(
    service="shop", endpoint={endpoint!r}, spool_dir={folder!r}, metrics_port=0,
    log_stream=open(os.devnull, "w"), log_format="json",
)
caller = overhead_app.Caller(overhead_app.build({database!r}, overhead_app.Watchkeeper()))


async def kept(cycles):
    for _ in range(cycles):
        await caller.cycle()
    await asyncio.to_thread(watchkeeper.flush, 0.1)
    gc.collect()
    return len(gc.get_objects())


async def left(cycles):
    # Objects that only the garbage collector could free.
    gc.collect()
    gc.disable()
    for _ in range(cycles):
        await caller.cycle()
    found = gc.collect()
    gc.enable()
    return found


async def main():
    first = await kept(40)
    for thread in threading.enumerate():
        if thread.name == "watchkeeper-prices":
            # What is read ahead once is no part of what a request leaves.
            thread.join()
    return [first, await kept(20), await kept(60), await left(5)]


print(json.dumps(asyncio.run(main())))
"""


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_requests_leave_nothing_behind(tmp_path: Path, endpoint: str) -> None:
    """No object outlives its request, and none has to wait for the garbage collector."""
    code = KEPT.format(
        path=[str(ROOT), str(ROOT / "src")],
        endpoint=endpoint,
        folder=str(tmp_path / "spool"),
        database=str(tmp_path / "items.sqlite"),
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True
    )
    _, before, after, waiting = json.loads(done.stdout)

    assert after - before < 100
    assert waiting < 100, "objects of 100 requests: a request refers to itself"
