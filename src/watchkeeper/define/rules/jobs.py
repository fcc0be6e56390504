"""Rules on background jobs and their schedules."""

from __future__ import annotations

from watchkeeper.define.counting import grew, share_above
from watchkeeper.define.expr import series, total, where
from watchkeeper.define.model import AlertRule

__all__ = ["job_dead_letters", "job_failures", "job_missed_runs", "job_overdue", "queue_depth"]

_NAME = "job.name"


def queue_depth(threshold: int = 1_000, for_: str = "10m") -> AlertRule:
    """Return the alert on a queue with more than *threshold* waiting jobs."""
    waiting = total(series("job.queue.depth"), by=("job", "job.queue"), op="max")
    return AlertRule(
        name="QueueDepth",
        expr=f"{waiting} > {threshold}",
        severity="ticket",
        for_=for_,
        summary="{{ $value | humanize }} jobs wait in queue {{ $labels.job_queue }}",
        description=(
            "Queue {{ $labels.job_queue }} of {{ $labels.job }} holds {{ $value | humanize }} "
            f"waiting jobs. The limit is {threshold}."
        ),
        runbook="queue-depth.md",
        dashboard="overview#queue-depth",
    )


def job_failures(
    threshold: float = 0.2, window: str = "30m", for_: str = "5m", *, at_least: int = 3
) -> AlertRule:
    """Return the alert on a job that ends in errors.

    Attempts that are tried again count as neither: their end decides.

    Args:
        threshold: Share of the job's ends, 0 to 1.
        window: Over which the share is taken.
        for_: How long it must hold.
        at_least: Failed jobs in *window* below which it stays silent.
    """
    by, name = ("job", _NAME), "job.run.duration"
    failed = series(name, where("job.outcome", "=~", "error|dead"), part="count")
    ended = series(name, where("job.outcome", "!=", "retry"), part="count")
    return AlertRule(
        name="JobFailures",
        expr=share_above(
            grew(failed, window, by=by), grew(ended, window, by=by), threshold, at_least=at_least
        ),
        severity="ticket",
        for_=for_,
        summary=(
            "Job {{ $labels.job_name }} of {{ $labels.job }} fails in "
            "{{ $value | humanizePercentage }} of the cases"
        ),
        description=(
            f"Over the last {window}, {{{{ $value | humanizePercentage }}}} of the jobs "
            "{{ $labels.job_name }} of {{ $labels.job }} ended in an error, retries not counted. "
            f"The limit is {threshold:.4g}."
        ),
        runbook="job-failures.md",
        dashboard="overview#job-failures",
    )


def job_missed_runs(window: str = "15m", for_: str = "0s", at_least: int = 1) -> AlertRule:
    """Return the alert on scheduled runs that did not happen.

    Args:
        window: In which they are counted.
        for_: How long it must hold.
        at_least: Missed runs of one job in *window*.
    """
    missed = grew(series("job.missed_runs"), window, by=("job", _NAME, "reason"))
    return AlertRule(
        name="JobMissedRuns",
        expr=f"{missed} >= {at_least}",
        severity="ticket",
        for_=for_,
        summary="Job {{ $labels.job_name }} of {{ $labels.job }} missed its schedule",
        description=(
            f"In the last {window}, about {{{{ $value | humanize }}}} runs of job "
            "{{ $labels.job_name }} of {{ $labels.job }} that were due did not happen in time, "
            "reason {{ $labels.reason }}."
        ),
        runbook="job-missed-runs.md",
        dashboard="work#missed-runs",
    )


def job_overdue(intervals: float = 3.0, for_: str = "5m") -> AlertRule:
    """Return the alert on a scheduled job whose last success is too many *intervals* ago."""
    by = ("job", _NAME)
    last = total(series("job.last_success.time"), by=by, op="max")
    every = total(series("job.schedule.interval"), by=by, op="max")
    return AlertRule(
        name="JobOverdue",
        expr=f"(time() - {last}) / ({every} > 0) > {intervals:g}",
        severity="ticket",
        for_=for_,
        summary="Job {{ $labels.job_name }} of {{ $labels.job }} has long not succeeded",
        description=(
            "The last success of job {{ $labels.job_name }} of {{ $labels.job }} is "
            '{{ $value | printf "%.1f" }} intervals of its schedule ago. '
            f"The limit is {intervals:g}."
        ),
        runbook="job-overdue.md",
        dashboard="work#schedule-age",
    )


def job_dead_letters(window: str = "15m", for_: str = "0s", at_least: int = 1) -> AlertRule:
    """Return the alert on jobs that were given up for good.

    Args:
        window: In which they are counted.
        for_: How long it must hold.
        at_least: Jobs of one name in *window*.
    """
    dead = grew(series("job.dead_letters"), window, by=("job", _NAME, "reason"))
    return AlertRule(
        name="JobDeadLetters",
        expr=f"{dead} >= {at_least}",
        severity="ticket",
        for_=for_,
        summary=(
            "Jobs {{ $labels.job_name }} of {{ $labels.job }} were given up: {{ $labels.reason }}"
        ),
        description=(
            f"In the last {window}, about {{{{ $value | humanize }}}} jobs {{{{ $labels.job_name }}}} "
            "of {{ $labels.job }} were given up for good, reason {{ $labels.reason }}. "
            "Nobody tries them again: their work is not done."
        ),
        runbook="job-dead-letters.md",
        dashboard="work#dead-letters",
    )
