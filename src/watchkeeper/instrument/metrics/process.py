"""What the process itself uses: CPU, memory, threads, files, disks, garbage collections.

Read from ``/proc`` where it exists, so that no further package is needed. Elsewhere memory is the
peak that ``resource`` knows, and the counts that cannot be had are left out.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from watchkeeper.clock import Clock
from watchkeeper.instrument.metrics.registry import MetricSet

__all__ = ["register_process_metrics", "restart_process_metrics"]

_PROC = Path("/proc/self")
_STAT_THREADS = 17
"""Place of ``num_threads`` among the fields after the command's name (proc(5), field 20)."""
_STAT_START = 19
"""Place of ``starttime``, in clock ticks since the host booted (proc(5), field 22)."""


def register_process_metrics(
    metrics: MetricSet, clock: Clock, version: str, target: tuple[str, str, str] = ("", "", "")
) -> None:
    """Add the process's metrics to *metrics*; they are read at each exposition.

    Args:
        metrics: Where they go.
        clock: Times the uptime where the host does not know when the process started.
        version: Version of watchkeeper, for the build info.
        target: Name, version and environment of the service, for the target info.
    """
    started_ns = clock.monotonic_ns()
    metrics.counter("process.cpu.time").collect_from(_cpu)
    metrics.counter("process.context_switches").collect_from(_switches)
    for name, key in (
        ("cpython.gc.collections", "collections"),
        ("cpython.gc.collected_objects", "collected"),
        ("cpython.gc.uncollectable_objects", "uncollectable"),
    ):
        metrics.counter(name).collect_from(_collector(key))
    metrics.counter("python.gc.pause").collect_from(_PAUSES.collect)
    _PAUSES.watch(clock)
    metrics.gauge("watchkeeper.metrics.processes").collect_from(lambda: {(): 1.0})
    for name, collect in (
        ("process.memory.usage", _memory),
        ("process.thread.count", _threads),
        ("process.unix.file_descriptor.count", _files),
    ):
        metrics.gauge(name).collect_from(collect)
    metrics.gauge("system.filesystem.utilization").collect_from(_disks)
    metrics.gauge("process.uptime").collect_from(
        lambda: {(): _age() or (clock.monotonic_ns() - started_ns) / 1e9}
    )
    build = metrics.gauge("watchkeeper.build.info")
    python = platform.python_version()
    build.collect_from(lambda: {(version, python): 1.0})
    metrics.gauge("target.info").collect_from(lambda: {target: 1.0})


def restart_process_metrics() -> None:
    """Count this process alone; runs in a forked child."""
    _PAUSES.restart()


def _cpu() -> Mapping[tuple[str, ...], float]:
    times = os.times()
    return {("user",): times.user, ("system",): times.system}


def _switches() -> Mapping[tuple[str, ...], float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {("voluntary",): float(usage.ru_nvcsw), ("involuntary",): float(usage.ru_nivcsw)}


def _collector(key: str) -> Callable[[], Mapping[tuple[str, ...], float]]:
    return lambda: {
        (str(generation),): float(stats[key] - before[key])
        for generation, (stats, before) in enumerate(
            zip(gc.get_stats(), _PAUSES.before, strict=True)
        )
    }


class _Pauses:
    """How long the garbage collector kept the process still, by generation.

    Collections do not nest, and the interpreter runs both calls of one on the same thread.
    """

    def __init__(self) -> None:
        self._spent_ns = [0, 0, 0]
        self.before: list[dict[str, int]] = [dict.fromkeys(gc.get_stats()[0], 0)] * 3
        """The collector's own counts when this process began."""
        self._began_ns = 0
        self._now: Callable[[], int] = int

    def watch(self, clock: Clock) -> None:
        """Measure with *clock* from now on, once per process however often it is configured."""
        self._now = clock.monotonic_ns
        if self.note not in gc.callbacks:
            gc.callbacks.append(self.note)

    def restart(self) -> None:
        """Count from here on: a forked child inherits the counts of its parent."""
        self._spent_ns = [0, 0, 0]
        self.before = gc.get_stats()

    def note(self, phase: str, info: Mapping[str, int]) -> None:
        """Take the time at the start and the end of a collection."""
        if phase == "start":
            self._began_ns = self._now()
        elif self._began_ns:
            self._spent_ns[info["generation"]] += self._now() - self._began_ns

    def collect(self) -> Mapping[tuple[str, ...], float]:
        """Return seconds by generation."""
        return {(str(at),): spent / 1e9 for at, spent in enumerate(self._spent_ns)}


_PAUSES = _Pauses()


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


def _disks() -> Mapping[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for folder in (Path("/"), Path()):
        try:
            place = folder.resolve()
            usage = shutil.disk_usage(place)
        except OSError:
            continue  # the working directory was removed
        while not place.is_mount():
            place = place.parent
        # What is kept for the superuser counts as neither used nor free, as df shows it.
        found[(str(place),)] = usage.used / ((usage.used + usage.free) or 1)
    return found


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
