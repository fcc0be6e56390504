"""Ingestion pipelines and background jobs."""

from __future__ import annotations

from watchkeeper.define.expr import (
    JOB,
    OR_ZERO,
    count,
    legend,
    quantile,
    rate,
    series,
    share,
    total,
    where,
)
from watchkeeper.define.model import Dashboard, Panel, Query, Row, Threshold, Unit, Variable

__all__ = ["WORK"]

_NAME, _STAGE = "pipeline.name", "pipeline.stage"
_REJECTED = where("pipeline.outcome", "=", "rejected")


def _newest(name: str) -> str:
    return total(series(name, JOB), by=("job.name",), op="max")


def _in_period(name: str) -> str:
    return f"sum by (job_name) (increase({series(name, JOB)}[$__range])){OR_ZERO}"


_INGESTION = Row(
    "Ingestion",
    "Does new data arrive, and is it usable?",
    (
        Panel(
            "items", "Items accepted by stage", "Items per second that passed each stage.",
            Unit.OPS,
            (
                Query(
                    rate(
                        series("pipeline.items", JOB, where("pipeline.outcome", "=", "accepted")),
                        by=(_NAME, _STAGE),
                    ),
                    legend(_NAME, _STAGE),
                ),
            ),
        ),
        Panel(
            "rejected", "Items rejected", "Share of items that each stage turned away.",
            Unit.RATIO,
            (
                Query(
                    share(
                        rate(series("pipeline.items", JOB, _REJECTED), by=(_NAME, _STAGE)),
                        rate(series("pipeline.items", JOB), by=(_NAME, _STAGE)),
                    ),
                    legend(_NAME, _STAGE),
                ),
            ),
            thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
        ),
        Panel(
            "stage-latency", "Duration of stages (p95)",
            "The slowest stage decides how fresh the data is.",
            Unit.SECONDS,
            (
                Query(
                    quantile(0.95, "pipeline.stage.duration", JOB, by=(_NAME, _STAGE)),
                    legend(_NAME, _STAGE),
                ),
            ),
        ),
        Panel(
            "freshness", "Time since the last success",
            "How long ago each pipeline last ran to its end.",
            Unit.SECONDS,
            (
                Query(
                    "time() - "
                    + total(series("pipeline.last_success.time", JOB), by=(_NAME,), op="max"),
                    legend(_NAME),
                ),
            ),
        ),
        Panel(
            "watermark", "Age of the newest item",
            "How far each pipeline is behind what it takes in. A line that climbs: nothing new comes.",
            Unit.SECONDS,
            (
                Query(
                    "time() - "
                    + total(series("pipeline.watermark.time", JOB), by=(_NAME,), op="max"),
                    legend(_NAME),
                ),
            ),
            width=4,
        ),
        Panel(
            "backlog", "Items waiting", "Items that wait for each pipeline.",
            Unit.COUNT,
            (
                Query(
                    total(series("pipeline.backlog", JOB), by=(_NAME,), op="max"), legend(_NAME)
                ),
            ),
            width=4,
        ),
        Panel(
            "reject-reasons", "Items rejected by reason", "Why items are turned away, per second.",
            Unit.OPS,
            (
                Query(
                    rate(series("pipeline.rejects", JOB), by=(_NAME, "reason"))
                    + OR_ZERO,
                    legend(_NAME, "reason"),
                ),
            ),
            width=4, stacked=True,
        ),
        Panel(
            "pipeline-failures", "Failed runs of pipelines",
            "Share of each pipeline's runs that ended in an error.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(
                            "pipeline.run.duration", JOB, where("error.type", "!=", ""), by=(_NAME,)
                        ),
                        count("pipeline.run.duration", JOB, by=(_NAME,)),
                    ),
                    legend(_NAME),
                ),
            ),
            width=12, thresholds=(Threshold(0.05, "warning"), Threshold(0.5, "critical")),
        ),
    ),
)  # fmt: skip

_JOBS = Row(
    "Jobs",
    "How long do jobs wait, how long do they run, and do they end well?",
    (
        Panel(
            "job-outcomes", "Attempts by outcome", "Attempts at jobs per second.",
            Unit.OPS,
            (
                Query(
                    count("job.run.duration", JOB, by=("job.name", "job.outcome")),
                    legend("job.name", "job.outcome"),
                ),
            ),
            width=4, stacked=True,
        ),
        Panel(
            "job-duration", "Run time (p95)", "19 of 20 attempts end sooner than this.",
            Unit.SECONDS,
            (
                Query(
                    quantile(0.95, "job.run.duration", JOB, by=("job.name",)), legend("job.name")
                ),
            ),
            width=4,
        ),
        Panel(
            "job-wait", "Wait in the queue (p95)", "19 of 20 jobs start sooner than this.",
            Unit.SECONDS,
            (
                Query(
                    quantile(0.95, "job.wait.duration", JOB, by=("job.queue",)),
                    legend("job.queue"),
                ),
            ),
            width=4, thresholds=(Threshold(30, "warning"), Threshold(300, "critical")),
        ),
        Panel(
            "job-retries", "Retries", "Attempts per second that ended in another attempt.",
            Unit.OPS,
            (
                Query(
                    rate(series("job.retries", JOB), by=("job.name",)) + OR_ZERO,
                    legend("job.name"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "dead-letters", "Jobs given up",
            "Jobs per second that nobody tries again, by reason. Each is work that was not done.",
            Unit.OPS,
            (
                Query(
                    rate(series("job.dead_letters", JOB), by=("job.name", "reason"))
                    + OR_ZERO,
                    legend("job.name", "reason"),
                ),
            ),
            stacked=True, thresholds=(Threshold(0.001, "warning"),),
        ),
    ),
)  # fmt: skip

_SCHEDULES = Row(
    "Schedules",
    "Does work happen when it is due?",
    (
        Panel(
            "schedule-age", "Time since the last success, in intervals",
            "100 % is one interval of the job's schedule. Beyond it the next success is late.",
            Unit.RATIO,
            (
                Query(
                    f"(time() - {_newest('job.last_success.time')})"
                    f" / {_newest('job.schedule.interval')}",
                    legend("job.name"),
                ),
            ),
            width=4, thresholds=(Threshold(1.5, "warning"), Threshold(3, "critical")),
        ),
        Panel(
            "missed-runs", "Missed runs",
            "Runs that were due in the period shown and did not happen in time.",
            Unit.COUNT, (Query(_in_period("job.missed_runs"), legend("job.name"), instant=True),),
            kind="bar", width=4, decimals=0,
        ),
        Panel(
            "overlapping-runs", "Overlapping runs",
            "Runs of the period shown that began while the one before was still going.",
            Unit.COUNT,
            (Query(_in_period("job.overlapping_runs"), legend("job.name"), instant=True),),
            kind="bar", width=4, decimals=0,
        ),
    ),
)  # fmt: skip

WORK = Dashboard(
    uid="work",
    title="Ingestion and jobs",
    description="Pipelines that bring data in, and jobs that run in the background.",
    rows=(_INGESTION, _JOBS, _SCHEDULES),
    variables=(Variable("job", "Service", "label_values(up, job)"),),
)
