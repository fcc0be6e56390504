"""What observing an application costs in machine instructions, which no other program can disturb.

Each variant of `bench/overhead.py` runs under valgrind's callgrind, all its threads and the delivery of
its telemetry included, with few requests and with more; the difference belongs to the requests. System
calls are not counted. Two runs of one version differ by less than two parts in a hundred, whatever the
machine does beside; time on a shared machine differs by a quarter. Prints a line for each variant, and
as the last line one JSON object. Takes some minutes. Needs valgrind (a Debian package of that name).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from overhead import ROOT, environment, sink

VARIANTS = ("bare", "watchkeeper", "otel", "otel-default")
FEW, MORE = 5, 35
"""Cycles of twenty requests, after the warm-up."""
_COUNTED = re.compile(r"Collected : (\d+)")


def counted(variant: str, url: str, cycles: int) -> int:
    """Return the instructions of a whole process that runs *cycles* cycles."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable,
         str(ROOT / "bench" / "overhead_variants.py"), variant, url, "5", "0.001", "1"],
        env=environment(variant) | {"PYTHONHASHSEED": "0"}, input=f"{cycles}\n", text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=1_800, check=False,
    )  # fmt: skip
    found = _COUNTED.search(done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{variant} failed: {done.stderr[-600:]}")
    return int(found[1])


def main() -> None:
    """Count every variant and print what each adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed. Next: apt-get install valgrind")
    with sink() as url, ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            (variant, cycles): pool.submit(counted, variant, url, cycles)
            for variant in options.variants
            for cycles in (FEW, MORE)
        }
        totals = {key: run.result() for key, run in runs.items()}
    requests = (MORE - FEW) * 20
    each = {v: (totals[v, MORE] - totals[v, FEW]) / requests for v in options.variants}
    base = each["bare"]
    print(f"{'variant':<14}{'instructions':>14}{'added':>12}{'x bare':>8}")
    for variant, count in each.items():
        print(f"{variant:<14}{count:>14,.0f}{count - base:>12,.0f}{count / base:>8.2f}")
    result: dict[str, object] = {"instructions": each}
    for peer in each.keys() & {"otel", "otel-default"}:
        result[f"added_instructions_ratio_{peer}"] = (each["watchkeeper"] - base) / (
            each[peer] - base
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
