"""Background jobs, ingestion pipelines and queues."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from watchkeeper.instrument import context
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain.scope import CallableScope, Scope, fail, start
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["Job", "Pipeline", "Stage", "job", "pipeline", "queue_depth"]


class Job(CallableScope):
    """One attempt at a background job; made by `job`."""

    hook = "domain.job"

    def __init__(
        self,
        name: str,
        *,
        queue: str = "default",
        id: str | None = None,  # noqa: A002 - the word that users of queues expect
        attempt: int = 1,
        enqueued_at: float | datetime | None = None,
        parent: Context | None = None,
        tenant_id: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__()
        self._name = name
        self._queue = queue
        self._id = id
        self._attempt = attempt
        self._enqueued_at = enqueued_at
        self._parent = parent
        self._tenant_id = tenant_id
        self._request_id = request_id
        self._outcome: str | None = None
        self._bound: AbstractContextManager[None] | None = None

    def retry(self) -> None:
        """Say that this attempt ends in a retry: the outcome is ``retry`` whatever is raised."""
        self._outcome = "retry"

    def _again(self) -> Job:
        return Job(
            self._name,
            queue=self._queue,
            id=self._id,
            attempt=self._attempt,
            enqueued_at=self._enqueued_at,
        )

    def _start(self, host: Host) -> RecordedSpan:
        span = start(
            host,
            f"job {self._name}",
            SpanKind.CONSUMER,
            {
                "job.name": self._name,
                "job.queue": self._queue,
                "job.id": self._id,
                "job.attempt": self._attempt,
                "job.wait_s": self._waited_s(host),
                "tenant.id": self._tenant_id or context.tenant_id() or None,
                "request.id": self._request_id or context.request_id() or None,
            },
            self._parent,
        )
        self._enter_again()
        return span

    def _waited_s(self, host: Host) -> float | None:
        since = self._enqueued_at
        if since is None:
            return None
        if isinstance(since, datetime):
            since = (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp()
        return max(0.0, host.clock.now_ns() / 1e9 - since)

    def _enter_again(self) -> None:
        if self._tenant_id is not None or self._request_id is not None:
            self._bound = context.bind(tenant_id=self._tenant_id, request_id=self._request_id)
            self._bound.__enter__()

    def _leave(self) -> None:
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.__exit__(None, None, None)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        kind = None if error is None else fail(span, error)
        outcome = self._outcome or ("success" if error is None else "error")
        span.attributes["job.outcome"] = outcome
        host.event(
            "job.run",
            {"success": "info", "retry": "warning"}.get(outcome, "error"),
            {
                "job.name": self._name,
                "job.queue": self._queue,
                "job.id": self._id,
                "job.attempt": self._attempt,
                "job.outcome": outcome,
                "error.type": kind,
            },
        )
        span.end()


def job(
    name: str,
    *,
    queue: str = "default",
    id: str | None = None,  # noqa: A002 - the word that users of queues expect
    attempt: int = 1,
    enqueued_at: float | datetime | None = None,
) -> Job:
    """Record one attempt at a background job: its span, run time, waiting time and outcome.

    Use it as ``with``, ``async with`` or decorator. Jobs of huey are recorded without it.

    Args:
        name: Name of the job; becomes a metric label, so keep the number of names small.
        queue: Name of its queue.
        id: Id of this job.
        attempt: Number of the attempt, from 1.
        enqueued_at: When it was put into the queue: seconds since the epoch, or a datetime (UTC
            if it has no zone).
    """
    return Job(name, queue=queue, id=id, attempt=attempt, enqueued_at=enqueued_at)


class Stage(Scope):
    """One stage of a pipeline run; made by `Pipeline.stage`."""

    hook = "domain.pipeline"

    def __init__(self, pipeline_name: str, name: str, items_in: int | None) -> None:
        super().__init__()
        self._pipeline = pipeline_name
        self._name = name
        self._items_in = items_in
        self._passed = 0
        self._rejected = 0
        self._reasons: dict[str, int] = {}

    def passed(self, n: int = 1) -> None:
        """Count *n* items that the stage passed on."""
        self._passed += n

    def rejected(self, n: int = 1, reason: str | None = None) -> None:
        """Count *n* items that the stage rejected, for *reason* (a few fixed words)."""
        self._rejected += n
        if reason is not None:
            self._reasons[reason] = self._reasons.get(reason, 0) + n

    def _start(self, host: Host) -> RecordedSpan:
        return start(
            host,
            f"stage {self._name}",
            SpanKind.INTERNAL,
            {
                "pipeline.name": self._pipeline,
                "pipeline.stage": self._name,
                "pipeline.items_in": self._items_in,
            },
        )

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        counts: dict[str, int | None] = {
            "pipeline.items_in": self._items_in,
            "pipeline.items_out": self._passed,
            "pipeline.items_rejected": self._rejected or None,
        }
        span.set_attributes({name: count for name, count in counts.items() if count is not None})
        if self._reasons:
            reasons = tuple(f"{reason}={count}" for reason, count in self._reasons.items())
            span.set_attribute("pipeline.reject_reasons", reasons)
        kind = None if error is None else fail(span, error)
        host.event(
            "pipeline.stage",
            "info" if error is None else "error",
            {
                "pipeline.name": self._pipeline,
                "pipeline.stage": self._name,
                **counts,
                "error.type": kind,
            },
        )
        span.end()


class Pipeline(Scope):
    """One run of an ingestion pipeline; made by `pipeline`."""

    hook = "domain.pipeline"

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def stage(self, name: str, items_in: int | None = None) -> Stage:
        """Return one stage of this run, for a ``with`` or ``async with`` block.

        Args:
            name: Name of the stage; becomes a metric label.
            items_in: How many items it is given, if that is known beforehand.
        """
        return Stage(self._name, name, items_in)

    def _start(self, host: Host) -> RecordedSpan:
        name = f"pipeline {self._name}"
        return start(host, name, SpanKind.INTERNAL, {"pipeline.name": self._name})

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        del host
        if error is not None:
            fail(span, error)
        span.end()


def pipeline(name: str) -> Pipeline:
    """Record one run of an ingestion pipeline, and its stages through `Pipeline.stage`.

    ::

        with watchkeeper.pipeline("documents") as run:
            with run.stage("parse", items_in=len(files)) as parse:
                parse.passed(40)
                parse.rejected(2, reason="encoding")

    Args:
        name: Name of the pipeline; becomes a metric label, so keep the number of names small.
    """
    return Pipeline(name)


def queue_depth(queue: str, depth: float | Callable[[], float]) -> None:
    """Record how many jobs wait in a queue.

    Args:
        queue: Name of the queue; becomes a metric label.
        depth: The number now, or a function that returns it, called at each scrape.
    """
    host = hosts.current()
    if host is None:
        return
    with guard("domain.queue_depth"):
        gauge = host.metrics.gauge("job.queue.depth").child((queue,))
        if callable(depth):
            gauge.set_function(depth)
        else:
            gauge.set_function(None)
            gauge.set(depth)
