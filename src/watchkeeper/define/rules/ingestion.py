"""Rules on pipelines that bring data in."""

from __future__ import annotations

from watchkeeper.define.counting import grew, share_above
from watchkeeper.define.duration import seconds
from watchkeeper.define.expr import series, total, where
from watchkeeper.define.model import AlertRule

__all__ = ["ingestion_failing", "ingestion_rejecting", "ingestion_stale", "ingestion_stalled"]

_NAME, _STAGE = "pipeline.name", "pipeline.stage"


def ingestion_stalled(window: str = "15m", for_: str = "5m") -> AlertRule:
    """Return the alert on items that wait for a pipeline while it takes none in.

    Args:
        window: Time in which something always waited and nothing was accepted.
        for_: How long that must hold.
    """
    by = ("job", _NAME)
    waiting = total(f"min_over_time({series('pipeline.backlog')}[{window}])", by=by, op="max")
    accepted = series("pipeline.items", where("pipeline.outcome", "=", "accepted"))
    return AlertRule(
        name="IngestionStalled",
        expr=f"{waiting} > 0\nunless {grew(accepted, window, by=by)} > 0",
        severity="page",
        for_=for_,
        summary="Pipeline {{ $labels.pipeline_name }} stands still while items wait",
        description=(
            f"For {window}, at least {{{{ $value | humanize }}}} items waited for pipeline "
            "{{ $labels.pipeline_name }} of {{ $labels.job }}, and it accepted none."
        ),
        runbook="ingestion-stalled.md",
        dashboard="work#backlog",
    )


def ingestion_stale(max_age: str = "26h", for_: str = "10m", *, pipelines: str = "") -> AlertRule:
    """Return the alert on a pipeline that has not run to its end for long.

    Args:
        max_age: Age of the last success. The default suits a daily run with two hours to spare.
        for_: How long it must hold.
        pipelines: Pattern of the pipelines that it is about; empty for all. Give each kind of
            schedule a rule of its own.
    """
    matchers = (where(_NAME, "=~", pipelines),) if pipelines else ()
    last = total(series("pipeline.last_success.time", *matchers), by=("job", _NAME), op="max")
    return AlertRule(
        name="IngestionStale",
        expr=f"time() - {last} > {seconds(max_age):g}",
        severity="ticket",
        for_=for_,
        summary=(
            "Pipeline {{ $labels.pipeline_name }} last succeeded {{ $value | humanizeDuration }} ago"
        ),
        description=(
            "Pipeline {{ $labels.pipeline_name }} of {{ $labels.job }} last ran to its end "
            f"{{{{ $value | humanizeDuration }}}} ago. The limit is {max_age}. "
            "Answers are made from old data."
        ),
        runbook="ingestion-stale.md",
        dashboard="work#freshness",
    )


def ingestion_failing(
    threshold: float = 0.5, window: str = "30m", for_: str = "5m", *, at_least: int = 3
) -> AlertRule:
    """Return the alert on a pipeline whose runs end in errors.

    Args:
        threshold: Share of its runs, 0 to 1.
        window: Over which the share is taken.
        for_: How long it must hold.
        at_least: Failed runs in *window* below which it stays silent.
    """
    by, name = ("job", _NAME), "pipeline.run.duration"
    failed = grew(series(name, where("error.type", "!=", ""), part="count"), window, by=by)
    return AlertRule(
        name="IngestionFailing",
        expr=share_above(
            failed, grew(series(name, part="count"), window, by=by), threshold, at_least=at_least
        ),
        severity="ticket",
        for_=for_,
        summary=(
            "Pipeline {{ $labels.pipeline_name }} fails {{ $value | humanizePercentage }} of its runs"
        ),
        description=(
            f"Over the last {window}, {{{{ $value | humanizePercentage }}}} of the runs of pipeline "
            "{{ $labels.pipeline_name }} of {{ $labels.job }} ended in an error. "
            f"The limit is {threshold:.4g}."
        ),
        runbook="ingestion-failing.md",
        dashboard="work#pipeline-failures",
    )


def ingestion_rejecting(
    threshold: float = 0.2, window: str = "30m", for_: str = "5m", *, at_least: int = 10
) -> AlertRule:
    """Return the alert on a stage that turns items away.

    Args:
        threshold: Share of the stage's items, 0 to 1.
        window: Over which the share is taken.
        for_: How long it must hold.
        at_least: Rejected items in *window* below which it stays silent.
    """
    by = ("job", _NAME, _STAGE)
    rejected = series("pipeline.items", where("pipeline.outcome", "=", "rejected"))
    return AlertRule(
        name="IngestionRejecting",
        expr=share_above(
            grew(rejected, window, by=by),
            grew(series("pipeline.items"), window, by=by),
            threshold,
            at_least=at_least,
        ),
        severity="ticket",
        for_=for_,
        summary=(
            "Pipeline {{ $labels.pipeline_name }} rejects {{ $value | humanizePercentage }} "
            "at {{ $labels.pipeline_stage }}"
        ),
        description=(
            f"Over the last {window}, stage {{{{ $labels.pipeline_stage }}}} of pipeline "
            "{{ $labels.pipeline_name }} of {{ $labels.job }} turned away "
            f"{{{{ $value | humanizePercentage }}}} of its items. The limit is {threshold:.4g}."
        ),
        runbook="ingestion-rejecting.md",
        dashboard="work#reject-reasons",
    )
