"""What the process itself uses: CPU, memory, threads, files, garbage collections.

Read from ``/proc`` where it exists, so that no further package is needed. Elsewhere memory is the
peak that ``resource`` knows, and the counts that cannot be had are left out.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from watchkeeper.clock import Clock
from watchkeeper.instrument.metrics.registry import MetricSet

__all__ = ["register_process_metrics"]

_PROC = Path("/proc/self")
_STAT_THREADS = 17
"""Place of ``num_threads`` among the fields after the command's name (proc(5), field 20)."""
_STAT_START = 19
"""Place of ``starttime``, in clock ticks since the host booted (proc(5), field 22)."""


def register_process_metrics(metrics: MetricSet, clock: Clock, version: str) -> None:
    """Add the process's metrics to *metrics*; they are read at each exposition.

    Args:
        metrics: Where they go.
        clock: Times the uptime where the host does not know when the process started.
        version: Version of watchkeeper, for the build info.
    """
    started_ns = clock.monotonic_ns()
    metrics.counter("process.cpu.time").collect_from(_cpu)
    metrics.counter("cpython.gc.collections").collect_from(_collections)
    for name, collect in (
        ("process.memory.usage", _memory),
        ("process.thread.count", _threads),
        ("process.unix.file_descriptor.count", _files),
    ):
        metrics.gauge(name).collect_from(collect)
    metrics.gauge("process.uptime").collect_from(
        lambda: {(): _age() or (clock.monotonic_ns() - started_ns) / 1e9}
    )
    build = metrics.gauge("watchkeeper.build.info")
    python = platform.python_version()
    build.collect_from(lambda: {(version, python): 1.0})


def _cpu() -> Mapping[tuple[str, ...], float]:
    times = os.times()
    return {("user",): times.user, ("system",): times.system}


def _collections() -> Mapping[tuple[str, ...], float]:
    return {
        (str(generation),): float(stats["collections"])
        for generation, stats in enumerate(gc.get_stats())
    }


def _memory() -> Mapping[tuple[str, ...], float]:
    try:
        pages = int((_PROC / "statm").read_text(encoding="ascii").split()[1])
        return {(): float(pages * resource.getpagesize())}
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {(): float(peak if sys.platform == "darwin" else peak * 1024)}


def _threads() -> Mapping[tuple[str, ...], float]:
    stat = _stat()
    return {(): float(stat[_STAT_THREADS])} if stat else {}


def _files() -> Mapping[tuple[str, ...], float]:
    for folder in (_PROC / "fd", Path("/dev/fd")):
        try:
            # Reading the directory opens one more.
            return {(): float(len(os.listdir(folder)) - 1)}  # noqa: PTH208 - no paths are needed
        except OSError:
            continue
    return {}


def _age() -> float | None:
    stat = _stat()
    try:
        up_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return up_s - int(stat[_STAT_START]) / os.sysconf("SC_CLK_TCK") if stat else None


def _stat() -> list[str]:
    try:
        text = (_PROC / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    return text.rpartition(")")[2].split()
