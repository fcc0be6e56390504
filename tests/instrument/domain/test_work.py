"""Pipelines, jobs, queues and sign-ins."""

from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from tests.instrument.rig import START_NS, Rig

from watchkeeper.instrument.domain import auth_event, job, pipeline, queue_depth
from watchkeeper.instrument.domain.work import dead_letter
from watchkeeper.instrument.guard import hook_errors


def test_a_pipeline_counts_its_stages_items(rig: Rig) -> None:
    """Passed and rejected items are counted per stage, with reasons on the span and in the log."""
    with pipeline("documents") as run:
        with run.stage("parse", items_in=42) as parse:
            parse.passed(40)
            parse.rejected(reason="encoding")
            parse.rejected(reason="empty")
            rig.clock.advance(2.0)
        with run.stage("embed") as embed:
            embed.passed()
    span = rig.named("stage parse")
    assert {
        "pipeline.name": "documents",
        "pipeline.stage": "parse",
        "pipeline.items_in": 42,
        "pipeline.items_out": 40,
        "pipeline.items_rejected": 2,
        "pipeline.reject_reasons": ("encoding=1", "empty=1"),
    } == span.attributes
    assert rig.named("pipeline documents").span_id == span.parent_id
    name = 'pipeline_name="documents",pipeline_stage='
    assert {
        f'pipeline_items_total{{{name}"parse",pipeline_outcome="accepted"}}': 40,
        f'pipeline_items_total{{{name}"parse",pipeline_outcome="rejected"}}': 2,
        f'pipeline_items_total{{{name}"embed",pipeline_outcome="accepted"}}': 1,
    } == rig.samples("pipeline_items_total")
    assert {f'{name}"parse"': (1, 2), f'{name}"embed"': (1, 0)} == rig.totals(
        "pipeline_stage_duration_seconds"
    )
    assert {'pipeline_name="documents"': (1, 2)} == rig.totals("pipeline_run_duration_seconds")
    assert START_NS / 1e9 + 2 == rig.value(
        'pipeline_last_success_time_seconds{pipeline_name="documents"}'
    )
    assert [("pipeline.stage", "info")] * 2 == [event[:2] for event in rig.events]
    assert 2 == rig.events[0][2]["pipeline.items_rejected"]
    assert [2.0, 0.0] == [fields["duration_s"] for _, _, fields in rig.events]


@pytest.mark.parametrize("n", ["x", None, object(), b"1"])
def test_a_count_that_is_none_is_a_failure_of_the_hook(rig: Rig, n: Any) -> None:
    """What is no number is counted as a failure of the hook; the other items still count."""
    before = hook_errors().get("domain.pipeline", 0)
    with pipeline("p") as run, run.stage("s") as stage:
        stage.passed(2)
        stage.passed(n)
        stage.rejected(n)
        stage.rejected(n, reason="r")
        stage.rejected(1, reason={})  # type: ignore[arg-type] # no text, as an application may do
        stage.rejected(1, reason="r")
    assert 4 == hook_errors()["domain.pipeline"] - before
    ((_, level, fields),) = rig.events
    assert ("info", 2, 1) == (
        level,
        fields["pipeline.items_out"],
        fields["pipeline.items_rejected"],
    )
    assert ("r=1",) == rig.named("stage s").attributes["pipeline.reject_reasons"]


async def test_a_failed_run_is_no_success(rig: Rig) -> None:
    """The time of the last success stays when a run fails; what passed before still counts."""

    async def ingest() -> None:
        async with pipeline("p") as run, run.stage("s") as stage:
            stage.passed(3)
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await ingest()
    assert {} == rig.samples("pipeline_last_success")
    assert {'pipeline_name="p",error_type="OSError"': (1, 0)} == rig.totals(
        "pipeline_run_duration_seconds"
    )
    assert [3] == list(rig.samples("pipeline_items_total").values())


def test_a_job_knows_its_wait_and_outcome(rig: Rig) -> None:
    """A job's span is a consumer span with wait, attempt and outcome; metrics derive from it."""
    with job("mail", queue="q", id="7", attempt=2, enqueued_at=START_NS / 1e9 - 1.5):
        rig.clock.advance(0.5)
    span = rig.named("job mail")
    assert SpanKind.CONSUMER is span.kind
    assert {
        "job.name": "mail",
        "job.queue": "q",
        "job.id": "7",
        "job.attempt": 2,
        "job.wait_s": 1.5,
        "job.outcome": "success",
    } == span.attributes
    assert {'job_name="mail",job_queue="q",job_outcome="success"': (1, 0.5)} == rig.totals(
        "job_run_duration_seconds"
    )
    assert {'job_name="mail",job_queue="q"': (1, 1.5)} == rig.totals("job_wait_duration_seconds")
    ((_, _, fields),) = rig.events
    assert (1.5, 0.5) == (fields["job.wait_s"], fields["duration_s"])


def test_a_job_may_fail_or_retry(rig: Rig) -> None:
    """Outcome is error for an exception, retry when the job says so; a datetime is understood."""
    at = datetime.fromtimestamp(START_NS / 1e9 - 60, UTC)

    @job("j", enqueued_at=at)
    def work() -> None:
        raise ValueError("no")

    def work_again() -> None:
        with job("j") as attempt:
            attempt.retry()
            raise ValueError("not yet")

    with pytest.raises(ValueError, match="no"):
        work()
    with pytest.raises(ValueError, match="not yet"):
        work_again()
    assert ["error", "retry"] == [span.attributes["job.outcome"] for span in rig.spans]
    assert 60 == rig.spans[0].attributes["job.wait_s"]
    assert ["error", "warning"] == [level for _, level, _ in rig.events]


def test_a_job_may_be_given_up(rig: Rig) -> None:
    """A dead letter is an outcome of its own, counted with its reason; retries are counted too."""
    with job("j", queue="q") as attempt:
        attempt.retry()

    def give_up() -> None:
        with job("j", queue="q") as attempt:
            attempt.dead_letter("poison")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        give_up()
    dead_letter(rig, "k", queue="q", reason="expired", id="7")
    assert ["retry", "dead"] == [span.attributes["job.outcome"] for span in rig.spans]
    assert "poison" == rig.spans[1].attributes["job.dead_reason"]
    assert {
        'job_dead_letters_total{job_name="j",job_queue="q",reason="poison"}': 1,
        'job_dead_letters_total{job_name="k",job_queue="q",reason="expired"}': 1,
    } == rig.samples("job_dead_letters")
    assert {'job_retries_total{job_name="j",job_queue="q"}': 1} == rig.samples("job_retries")
    assert ["job.run", "job.run", "job.dead_letter"] == [name for name, _, _ in rig.events]
    assert ["warning", "error", "error"] == [level for _, level, _ in rig.events]


def test_a_jobs_last_success_is_known(rig: Rig) -> None:
    """A success sets the time of the last one; a failure leaves it."""
    with job("j"):
        pass
    rig.clock.advance(5)
    with pytest.raises(ValueError, match="no"), job("j"):
        raise ValueError("no")
    assert START_NS / 1e9 == rig.value('job_last_success_time_seconds{job_name="j"}')


def test_rejects_are_counted_by_a_bounded_set_of_reasons(rig: Rig) -> None:
    """The first reasons of a pipeline are labels; further ones share one, and that is counted."""
    with pipeline("p") as run, run.stage("s") as stage:
        for number in range(22):
            stage.rejected(2, reason=f"r{number}")
    rejects = rig.samples("pipeline_rejects_total")
    labels = 'pipeline_name="p",pipeline_stage="s",reason='
    assert 21 == len(rejects)
    assert 2 == rejects[f'pipeline_rejects_total{{{labels}"r0"}}']
    assert 4 == rejects[f'pipeline_rejects_total{{{labels}"_other"}}']
    assert 2 == rig.value('watchkeeper_metric_overflow_total{reason="reject_reasons"}')


def test_a_pipelines_freshness_and_backlog(rig: Rig) -> None:
    """The watermark is the newest item's time and never falls; the backlog is what waits."""
    waiting = iter((4, 3))
    with pipeline("p") as run:
        run.watermark(datetime.fromtimestamp(START_NS / 1e9 - 30, UTC))
        run.watermark(START_NS / 1e9 - 90)
        run.backlog(lambda: next(waiting))
    assert START_NS / 1e9 - 30 == rig.value('pipeline_watermark_time_seconds{pipeline_name="p"}')
    assert 3 == rig.value('pipeline_backlog{pipeline_name="p"}')


def test_a_queue_has_a_depth(rig: Rig) -> None:
    """The depth is a number, or a function that is asked at each scrape."""
    queue_depth("a", 3)
    depths = iter((5, 6))
    queue_depth("b", lambda: next(depths))
    assert 3 == rig.value('job_queue_depth{job_queue="a"}')
    assert 6 == rig.value('job_queue_depth{job_queue="b"}')


def test_sign_ins_are_counted_and_logged(rig: Rig) -> None:
    """A failure is a warning with its reason; the user goes into the log, never into a label."""
    auth_event("login", method="password", outcome="failure", reason="locked", user_id="u9")
    auth_event("login", method="oauth", provider="github", outcome="success")
    assert {
        "auth_attempts_total{"
        'auth_action="login",auth_method="password",auth_provider="local",'
        'auth_outcome="failure",auth_reason="locked"}': 1,
        "auth_attempts_total{"
        'auth_action="login",auth_method="oauth",auth_provider="github",'
        'auth_outcome="success"}': 1,
    } == rig.samples("auth_attempts_total")
    assert [("auth.attempt", "warning"), ("auth.attempt", "info")] == [e[:2] for e in rig.events]
    assert "u9" == rig.events[0][2]["user.id"]
