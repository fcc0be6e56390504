"""What observing costs, in function calls: an exact number where time would be noise."""

import json
import subprocess
import sys
from pathlib import Path

from tests.house.rooms import ROOT

BUDGET = 200
"""Calls per request above the bare application's, Python's and C's together."""

COUNT = """
import asyncio, json, logging, os, sys
sys.path[:0] = {path!r}
from tests.instrument import overhead_app
import watchkeeper

observed = sys.argv[1] == "observed"
nowhere = open(os.devnull, "w")
if observed:
    watchkeeper.configure(service="shop", endpoint="", log_stream=nowhere, log_format="json")
else:
    logging.basicConfig(stream=nowhere, level="INFO", format="%(levelname)s %(name)s %(message)s")
manual = overhead_app.Watchkeeper() if observed else overhead_app.Nothing()
caller = overhead_app.Caller(overhead_app.build(sys.argv[2], manual))
counts = {{"call": 0, "c_call": 0}}


def count(frame, event, argument):
    if event in counts:
        counts[event] += 1


async def main():
    for _ in range(3):
        await caller.cycle()
    before = caller.requests
    spans = ended()
    sys.setprofile(count)
    for _ in range(5):
        await caller.cycle()
    sys.setprofile(None)
    asked = caller.requests - before
    found = {{"requests": asked, "spans": ended() - spans}}
    return found | {{kind: number / asked for kind, number in counts.items()}}


def ended():
    return watchkeeper.current().recorder.stats().spans_ended if observed else 0


print(json.dumps(asyncio.run(main())))
"""


def counted(variant: str, folder: Path) -> dict[str, float]:
    """Return calls per request of one variant, counted in a fresh process."""
    code = COUNT.format(path=[str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code, variant, str(folder / f"{variant}.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_observing_stays_within_its_budget_of_calls(tmp_path: Path) -> None:
    """Logs, metrics and traces, all sampled, add at most `BUDGET` calls to a request on average."""
    bare, observed = counted("bare", tmp_path), counted("observed", tmp_path)
    # Twenty requests make twenty server spans, nineteen statements, three runs and six LLM calls.
    assert observed["requests"] / 20 * 48 == observed["spans"]
    added = {kind: observed[kind] - bare[kind] for kind in ("call", "c_call")}
    assert sum(added.values()) <= BUDGET, (bare, added)
