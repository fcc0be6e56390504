"""Rules on processes, their health, and the host that they run on."""

from __future__ import annotations

from watchkeeper.define.duration import seconds
from watchkeeper.define.expr import label, series, total
from watchkeeper.define.model import AlertRule

__all__ = [
    "disk_full_soon",
    "event_loop_lag",
    "health_check_failing",
    "memory_growth",
    "target_down",
]

_MOUNT = "system.filesystem.mountpoint"


def target_down(for_: str = "2m") -> AlertRule:
    """Return the alert on a process whose metrics cannot be read."""
    return AlertRule(
        name="TargetDown",
        expr="up == 0",
        severity="page",
        for_=for_,
        summary="{{ $labels.job }} on {{ $labels.instance }} does not answer",
        description=(
            "The metrics of {{ $labels.job }} at {{ $labels.instance }} cannot be read. "
            "The process is gone, hangs, or cannot be reached."
        ),
        runbook="target-down.md",
        dashboard="overview#instances-up",
    )


def health_check_failing(window: str = "5m", for_: str = "1m") -> AlertRule:
    """Return the alert on a health check that failed for most of *window*.

    The mean over a window, not the last value: a check that fails every other time is as bad, and
    does not make the alert come and go.
    """
    mean = f"avg_over_time({series('health.check.status')}[{window}])"
    return AlertRule(
        name="HealthCheckFailing",
        expr=total(f"{mean} < 0.5", by=("job", "health.check.name"), op="count"),
        severity="page",
        for_=for_,
        summary=(
            "Health check {{ $labels.health_check_name }} of {{ $labels.job }} fails "
            "on {{ $value | humanize }} instances"
        ),
        description=(
            f"For most of the last {window}, health check {{{{ $labels.health_check_name }}}} failed "
            "on {{ $value | humanize }} instances of {{ $labels.job }}."
        ),
        runbook="health-check-failing.md",
        dashboard="overview#health-status",
    )


def disk_full_soon(
    within: str = "4h", window: str = "6h", for_: str = "15m", *, full: float = 0.95
) -> AlertRule:
    """Return the alert on a file system that is full, or will be soon at the present pace.

    Args:
        within: How soon.
        window: Of which the pace is taken; a sixth of it must have been seen.
        for_: How long it must hold.
        full: Share in use from which it is full, 0 to 1. The pace counts from 0.15 below it.
    """
    own = _running_full(series("system.filesystem.utilization"), within, window, full)
    server = _running_full(series("watchkeeper.server.disk.utilization"), within, window, full)
    return AlertRule(
        name="DiskFullSoon",
        expr=f'{own}\nor label_replace({server}, "{label(_MOUNT)}", "data directory", "", "")',
        severity="page",
        for_=for_,
        summary=(
            "{{ $labels.system_filesystem_mountpoint }} of {{ $labels.instance }} is "
            "{{ $value | humanizePercentage }} full"
        ),
        description=(
            "The file system {{ $labels.system_filesystem_mountpoint }} that {{ $labels.job }} on "
            "{{ $labels.instance }} uses is {{ $value | humanizePercentage }} full, and has less "
            f"than {1 - full:.0%} left or will be full within {within} at the pace of the last "
            f"{window}."
        ),
        runbook="disk-full-soon.md",
        dashboard="overview#disk",
    )


def _running_full(used: str, within: str, window: str, full: float) -> str:
    pace = f"predict_linear({used}[{window}], {seconds(within):g}) >= 1"
    seen = f"{used} offset {seconds(window) / 6:.0f}s"
    return f"({used} > {full:g} or {used} > {full - 0.15:g} and {pace} and {seen})"


def memory_growth(
    share: float = 0.25, window: str = "6h", for_: str = "30m", *, at_least_bytes: float = 50e6
) -> AlertRule:
    """Return the alert on resident memory that climbs for hours.

    The first third of *window* after a start is left out, since a process fills its caches then, and
    so are groups of workers whose number changed. Not only must the slope be steep: what is used at
    least must rise from third to third of the window, so that one step or hump is no growth.

    Args:
        share: Of the mean memory, by which it grew in *window*.
        window: Over which the slope is taken.
        for_: How long it must hold.
        at_least_bytes: Growth in *window* below which it stays silent.
    """
    memory, processes = series("process.memory.usage"), series("watchkeeper.metrics.processes")
    span = seconds(window)
    grown = f"deriv({memory}[{window}]) * {span:g}"
    least = f"min_over_time({memory}[{span / 6:.0f}s]"
    now = f"{least})"
    third, two_thirds = (f"{least} offset {span * part / 3:.0f}s)" for part in (1, 2))
    step = f"{at_least_bytes / 6:g}"
    on = "and on (job, instance)"
    return AlertRule(
        name="MemoryGrowth",
        expr=(
            f"{grown} > {at_least_bytes:g}\nand {grown} > {share:g} * avg_over_time({memory}[{window}])"
            f"\nand {now} - {third} > {step}"
            f"\nand {third} - {two_thirds} > {step}"
            f"\n{on} {series('process.uptime')} > {span * 4 / 3:g}"
            f"\n{on} {processes} == {processes} offset {window}"
        ),
        severity="ticket",
        for_=for_,
        summary=(
            "{{ $labels.job }} on {{ $labels.instance }} grew by {{ $value | humanize1024 }}B "
            f"in {window}"
        ),
        description=(
            "The memory of {{ $labels.job }} on {{ $labels.instance }} has climbed by "
            f"{{{{ $value | humanize1024 }}}}B in {window} and does not come back: it looks like a "
            "leak. It ends when the kernel kills the process."
        ),
        runbook="memory-growth.md",
        dashboard="overview#memory",
    )


def event_loop_lag(threshold_s: float = 0.5, for_: str = "5m") -> AlertRule:
    """Return the alert on an event loop that is blocked again and again.

    The metric is the worst of about the last half minute, so one long block does not hold for long.

    Args:
        threshold_s: Seconds that the loop ran late.
        for_: How long it must hold.
    """
    late = total(series("event_loop.lag"), by=("job", "instance"), op="max")
    return AlertRule(
        name="EventLoopLag",
        expr=f"{late} > {threshold_s:g}",
        severity="ticket",
        for_=for_,
        summary=(
            "The event loop of {{ $labels.job }} is blocked for {{ $value | humanizeDuration }}"
        ),
        description=(
            "Code that does not yield keeps blocking the event loop of {{ $labels.job }} on "
            "{{ $labels.instance }}, for {{ $value | humanizeDuration }} at worst. Every request "
            f"of that process waits meanwhile. The limit is {threshold_s:g} s."
        ),
        runbook="event-loop-lag.md",
        dashboard="overview#event-loop-lag",
    )
