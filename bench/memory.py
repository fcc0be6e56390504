"""What observing an application keeps in memory, stage by stage, against the same application bare.

Resident and unshared memory of the application of bench/overhead.py, in a fresh process for each run,
bare and observed in turn: when the interpreter has started, with the application imported and built,
with watchkeeper imported, configured, and after requests. Prints medians in MB, with `--parts` also
which modules allocated what is left, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from overhead import ROOT, sink

STAGES = ("interpreter", "application", "imported", "configured", "warm", "after")
WARM = 50
"""Cycles of twenty requests until caches are filled."""
PARTS_MAX = 25


def memory() -> dict[str, float]:
    """Return this process's resident and unshared memory in MB."""
    found = {"rss": 0, "uss": 0}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, value = line.partition(":")
        if name == "Rss":
            found["rss"] += int(value.split()[0])
        elif name in ("Private_Clean", "Private_Dirty"):
            found["uss"] += int(value.split()[0])
    return {name: kilobytes * 1024 / 1e6 for name, kilobytes in found.items()}


def observe(variant: str, url: str, requests: int) -> dict[str, Any]:
    """Run the application through its stages, and return the memory and more of each."""
    figures: dict[str, Any] = {"interpreter": memory()}
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    from tests.instrument import overhead_app

    folder = Path(tempfile.mkdtemp(prefix="memory-"))
    flush: Any = bool
    manual: overhead_app.Manual = overhead_app.Nothing()
    app = overhead_app.build(folder / "items.sqlite", manual)
    figures["application"] = figures["imported"] = figures["configured"] = memory()
    if variant == "watchkeeper":
        import watchkeeper

        figures["imported"] = memory()
        watchkeeper.configure(
            service="bench", endpoint=url, metrics_port=0, spool_dir=str(folder / "spool"),
            log_format="json", log_burst_lines_max=10**9,
        )  # fmt: skip
        figures["configured"] = memory()
        figures["modules"] = len(sys.modules)
        flush = watchkeeper.flush
        app = overhead_app.build(folder / "observed.sqlite", overhead_app.Watchkeeper())
    caller = overhead_app.Caller(app)

    async def ask(cycles: int) -> None:
        for _ in range(cycles):
            await caller.cycle()
            await asyncio.sleep(0)
        await asyncio.to_thread(flush)

    async def main() -> None:
        await ask(WARM)
        figures["warm"] = memory()
        gc.collect()
        before = len(gc.get_objects())
        await ask(requests // len(overhead_app.CYCLE))
        figures["after"] = memory()
        gc.collect()
        figures["objects"] = len(gc.get_objects()) - before
        figures["threads"] = threading.active_count()

    asyncio.run(main())
    if tracemalloc.is_tracing():
        figures["parts"] = parts()
    return figures


def parts() -> dict[str, float]:
    """Return the MB that the lines of each library, or of each module of ours, allocated."""
    sizes: Counter[str] = Counter()
    for entry in tracemalloc.take_snapshot().statistics("filename"):
        name = entry.traceback[0].filename
        for marker in ("site-packages/", "/src/"):
            name = name.rpartition(marker)[2]
        is_ours = name.startswith("watchkeeper/")
        sizes[name if is_ours or name.startswith(("/", "<")) else name.partition("/")[0]] += (
            entry.size
        )
    return {name: size / 1e6 for name, size in sizes.most_common(PARTS_MAX)}


def run(variant: str, url: str, requests: int, *, traced: bool = False) -> dict[str, Any]:
    """Return the figures of one process."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WATCHKEEPER_", "OTEL_", "PYTHON"))
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    # As installed packages are: to compile them at import would leave its own traces in memory.
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "pycache")
    if traced:
        environment["PYTHONTRACEMALLOC"] = "1"
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--variant", variant, "--sink", url, "--out", str(write),
             "--requests", str(requests)],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(write,),
            timeout=300, check=False, text=True,
        )  # fmt: skip
        os.close(write)
        figures = os.read(read, 1 << 16)
    finally:
        os.close(read)
    if done.returncode or not figures:
        raise SystemExit(f"{variant} failed: {done.stderr[-600:]}")
    found: dict[str, Any] = json.loads(figures)
    return found


def main() -> None:
    """Run both variants in turn, several times, and print what is added."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--parts", action="store_true", help="show what allocated the memory")
    for name in ("--variant", "--sink", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        figures = observe(options.variant, options.sink, options.requests)
        os.write(int(options.out), json.dumps(figures).encode())
        return
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with sink() as url:
        for variant in ("bare", "watchkeeper"):
            run(variant, url, 20)  # compiles what is not compiled
        for _ in range(options.rounds):
            for variant in ("bare", "watchkeeper"):
                runs[variant].append(run(variant, url, options.requests))
        traced = run("watchkeeper", url, options.requests, traced=True) if options.parts else {}
    report(runs, traced.get("parts", {}))


def report(runs: dict[str, list[dict[str, Any]]], allocated: dict[str, float]) -> None:
    """Print a table of medians and, last, one JSON object."""
    medians = {
        variant: {
            stage: {
                kind: statistics.median(one[stage][kind] for one in found)
                for kind in ("rss", "uss")
            }
            for stage in STAGES
        }
        for variant, found in runs.items()
    }
    bare, ours = medians["bare"], medians["watchkeeper"]
    print(f"{'MB':<14}{'bare':>8}{'observed':>10}{'added':>8}{'unshared':>10}")
    for stage in STAGES:
        added = {kind: ours[stage][kind] - bare[stage][kind] for kind in ("rss", "uss")}
        print(
            f"{stage:<14}{bare[stage]['rss']:>8.1f}{ours[stage]['rss']:>10.1f}"
            f"{added['rss']:>8.1f}{added['uss']:>10.1f}"
        )
    for name, size in allocated.items():
        print(f"{size:>8.2f}  {name}")
    last = {
        f"{variant}_{name}": statistics.median(one[name] for one in runs[variant])
        for variant in runs
        for name in ("objects", "threads")
    }
    print(
        json.dumps(
            {
                "added_rss_mb": ours["after"]["rss"] - bare["after"]["rss"],
                "added_uss_mb": ours["after"]["uss"] - bare["after"]["uss"],
                "modules": runs["watchkeeper"][0]["modules"],
                **last,
                "medians": medians,
            }
        )
    )


if __name__ == "__main__":
    main()
