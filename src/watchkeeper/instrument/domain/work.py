"""Background jobs and queues."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Token
from datetime import datetime

from opentelemetry.context import Context, attach
from opentelemetry.trace import SpanKind

from watchkeeper.instrument import context
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain import schedules
from watchkeeper.instrument.domain.scope import CallableScope, ended_at, fail, seconds, start
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.current import deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["Job", "dead_letter", "job", "queue_depth"]


class Job(CallableScope):
    """One attempt at a background job; made by `job`."""

    hook = "domain.job"

    def __init__(  # noqa: PLR0913 - what travelled with a job, each by its name
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
        user_id: str | None = None,
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
        self._user_id = user_id
        self._outcome: str | None = None
        self._dead_reason: str | None = None
        self._base: Token[Context] | None = None
        self._bound: AbstractContextManager[None] | None = None

    def retry(self) -> None:
        """Say that this attempt ends in a retry: the outcome is ``retry`` whatever is raised."""
        self._outcome = "retry"

    def dead_letter(self, reason: str = "retries_exhausted") -> None:
        """Say that nobody will try this job again: the outcome is ``dead`` whatever is raised.

        Args:
            reason: Why, in a few fixed words; becomes a metric label.
        """
        self._outcome = "dead"
        self._dead_reason = reason

    def started(self, at_s: float) -> None:
        """Say that the attempt began earlier, *at_s* seconds since the epoch."""
        span = self._span
        if span is not None:
            span.start_ns = min(span.start_ns, round(at_s * 1e9))

    def abandon(self) -> None:
        """Record nothing of this attempt: another process reports it."""
        token, self._token = self._token, None
        if self._span is None or token is None:
            return
        self._host = None
        deactivate(token)
        self._leave()
        schedules.ended(self._name, succeeded=False)

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
                "user.id": self._user_id or context.user_id() or None,
                "tenant.id": self._tenant_id or context.tenant_id() or None,
                "request.id": self._request_id or context.request_id() or None,
            },
            self._parent,
        )
        self._enter_again()
        schedules.began(host, self._name, self._id)
        return span

    def _waited_s(self, host: Host) -> float | None:
        since = self._enqueued_at
        if since is None:
            return None
        return max(0.0, host.clock.now_ns() / 1e9 - seconds(since))

    def _enter_again(self) -> None:
        if self._parent is not None:
            # What travelled with the job besides its parent: baggage.
            self._base = attach(self._parent)
        if not (self._tenant_id is self._request_id is self._user_id is None):
            self._bound = context.bind(
                tenant_id=self._tenant_id, request_id=self._request_id, user_id=self._user_id
            )
            self._bound.__enter__()

    def _leave(self) -> None:
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.__exit__(None, None, None)
        base, self._base = self._base, None
        if base is not None:
            deactivate(base)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        kind = None if error is None else fail(span, error)
        outcome = self._outcome or ("success" if error is None else "error")
        span.attributes["job.outcome"] = outcome
        if self._dead_reason is not None:
            span.set_attribute("job.dead_reason", str(self._dead_reason))
        end_ns = ended_at(span)
        host.event(
            "job.run",
            {"success": "info", "retry": "warning"}.get(outcome, "error"),
            {
                "job.name": self._name,
                "job.queue": self._queue,
                "job.id": self._id,
                "job.attempt": self._attempt,
                "job.outcome": outcome,
                "job.dead_reason": self._dead_reason,
                "job.wait_s": span.attributes.get("job.wait_s"),
                "duration_s": (end_ns - span.start_ns) / 1e9,
                "error.type": kind,
            },
        )
        span.end(end_ns)
        schedules.ended(self._name, succeeded=outcome == "success")


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


def dead_letter(
    host: Host,
    name: str,
    *,
    queue: str = "default",
    reason: str,
    id: str | None = None,  # noqa: A002 - as above
) -> None:
    """Count and log a job that was given up without another run: it has no span to say so.

    Args:
        host: The running instrumentation.
        name: Name of the job.
        queue: Name of its queue.
        reason: Why, in a few fixed words.
        id: Id of the job.
    """
    with guard("domain.job"):
        host.metrics.counter("job.dead_letters").child((name, queue, reason)).inc()
        host.event(
            "job.dead_letter",
            "error",
            {"job.name": name, "job.queue": queue, "job.id": id, "job.dead_reason": reason},
        )


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
