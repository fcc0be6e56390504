"""Ingestion pipelines and background jobs."""

from __future__ import annotations

from watchkeeper.define.expr import JOB, count, legend, quantile, rate, series, share, total, where
from watchkeeper.define.model import Dashboard, Panel, Query, Row, Threshold, Unit, Variable

__all__ = ["WORK"]

_NAME, _STAGE = "pipeline.name", "pipeline.stage"
_REJECTED = where("pipeline.outcome", "=", "rejected")

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
            "How old the newest data of each pipeline is.",
            Unit.SECONDS,
            (
                Query(
                    "time() - "
                    + total(series("pipeline.last_success.time", JOB), by=(_NAME,), op="max"),
                    legend(_NAME),
                ),
            ),
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
    ),
)  # fmt: skip

WORK = Dashboard(
    uid="work",
    title="Ingestion and jobs",
    description="Pipelines that bring data in, and jobs that run in the background.",
    rows=(_INGESTION, _JOBS),
    variables=(Variable("job", "Service", "label_values(up, job)"),),
)
