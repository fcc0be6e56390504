"""Celery: a producer span per published task, a consumer span per attempt, in every kind of pool.

What must travel is written into the message's headers. Attempts are opened and closed by Celery's
own signals. Those that a child process could not report, because it was killed, are reported by
its parent. A child that is replaced delivers what it recorded before it ends.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from datetime import datetime
from typing import Any

from opentelemetry.trace import SpanKind, get_current_span

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain.work import Job, dead_letter
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.carrier import opened, pack, produce
from watchkeeper.instrument.integrations.depths import watch_depth
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_HOOK = "jobs.celery"
_GUARD = guard(_HOOK)
_JOB = "_watchkeeper_job"
_STOP_S = 3.0
_UNKNOWN = "_unknown"
"""Stands for names that come from outside: a label must not hold them."""


def instrument(host: Host) -> Callable[[], None]:
    """Record the tasks of every Celery application.

    Returns:
        A function that undoes it.
    """
    from celery import signals
    from celery.app.base import Celery

    tasks = _Tasks(host)
    receivers: tuple[tuple[Any, Callable[..., None]], ...] = (
        (signals.before_task_publish, tasks.publishing),
        (signals.task_prerun, tasks.began),
        (signals.task_postrun, tasks.ended),
        (signals.task_revoked, tasks.revoked),
        (signals.task_unknown, tasks.unknown),
        (signals.task_rejected, tasks.refused),
        (signals.worker_init, tasks.worker_begins),
        (signals.after_setup_logger, tasks.logging_begins),
        (signals.after_setup_task_logger, tasks.logging_begins),
        (signals.worker_ready, tasks.worker_ready),
        (signals.worker_process_shutdown, tasks.child_ends),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, weak=False)
    unpatch = replace(Celery, "send_task", tasks.sending(Celery.send_task))

    def disconnect() -> None:
        for signal, receiver in receivers:
            signal.disconnect(receiver)

    return all_of(disconnect, tasks.restore, unpatch)


class _Tasks:
    """What stands in for Celery's methods, and hears its signals."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._undo: Callable[[], None] | None = None

    def sending(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``send_task``, through which every task is published."""

        def send_task(app: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                span = produce(self._host, str(name), queue=None, id=None)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                return original(app, name, *args, **kwargs)
            token = activate(span)
            try:
                return original(app, name, *args, **kwargs)
            except BaseException as error:
                span.fail(error, record=isinstance(error, Exception))
                raise
            finally:
                deactivate(token)
                span.end()

        return send_task

    @_GUARD
    def publishing(self, headers: Any = None, routing_key: Any = None, **more: Any) -> None:
        """Write into the headers what travels."""
        span = get_current_span()
        if not isinstance(span, RecordedSpan) or span.kind is not SpanKind.PRODUCER:
            return
        body = more.get("body")
        task_id = (headers or {}).get("id") or (body.get("id") if isinstance(body, dict) else None)
        span.set_attributes({"job.queue": str(routing_key or "default"), "job.id": str(task_id)})
        if headers is not None:
            headers.update(pack(self._host, span))

    @_GUARD
    def logging_begins(self, **_: Any) -> None:
        """Put our handler back: a worker has replaced those of the root logger."""
        self._host.logging_was_configured()

    @_GUARD
    def began(self, task: Any = None, task_id: Any = None, **_: Any) -> None:
        """Open the attempt."""
        request = task.request
        request.__dict__[_JOB] = opened(
            task.name,
            request.__dict__,
            queue=_queue(request.delivery_info),
            id=str(task_id),
            attempt=int(request.retries or 0) + 1,
            due=_moment(request.eta),
        )

    @_GUARD
    def ended(self, task: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
        """Say how the attempt ended, and close it."""
        request = task.request
        job: Job | None = request.__dict__.pop(_JOB, None)
        if job is None:
            return
        error = retval if isinstance(retval, BaseException) else None
        if state is None:
            # Neither a result nor an exception of the task: the process is being ended.
            if _is_child():
                job.abandon()  # its parent knows why
                return
            error = sys.exc_info()[1] or RuntimeError("interrupted")
        elif state == "RETRY":
            job.retry()
            error = getattr(error, "exc", None) or error
        elif state == "REJECTED":
            if getattr(error, "requeue", False):
                job.retry()
            else:
                job.dead_letter("rejected")
        elif state == "IGNORED":
            error = None
        elif error is not None and _is_last(task, request, error):
            job.dead_letter("retries_exhausted")
        _close(job, error)

    @_GUARD
    def revoked(self, request: Any = None, expired: Any = None, **more: Any) -> None:
        """Count a task that nobody will run, or that was stopped while it ran."""
        if more.get("terminated"):
            return  # its child says so, or the parent in its stead
        dead_letter(
            self._host,
            str(getattr(request, "name", None) or _UNKNOWN),
            queue=_queue(getattr(request, "delivery_info", None)),
            reason="expired" if expired else "revoked",
            id=str(getattr(request, "id", "")),
        )

    @_GUARD
    def unknown(self, message: Any = None, id: Any = None, **_: Any) -> None:  # noqa: A002 - the signal's
        """Count a message whose task this worker does not know."""
        queue = _queue(getattr(message, "delivery_info", None))
        dead_letter(self._host, _UNKNOWN, queue=queue, reason="unknown_task", id=str(id))

    @_GUARD
    def refused(self, message: Any = None, **_: Any) -> None:
        """Count a message that cannot be read."""
        queue = _queue(getattr(message, "delivery_info", None))
        dead_letter(self._host, _UNKNOWN, queue=queue, reason="unreadable")

    @_GUARD
    def worker_begins(self, **_: Any) -> None:
        """Watch for children that die; only workers need that part of Celery."""
        from celery.worker.request import Request

        if self._undo is None:
            self._undo = replace(Request, "on_failure", self._losing(Request.on_failure))

    @_GUARD
    def worker_ready(self, sender: Any = None, **_: Any) -> None:
        """Show the depth of the queues that this worker reads."""
        app = sender.app
        for name in list(app.amqp.queues.consume_from):
            watch_depth(self._host, str(name), _reader(app, str(name)), _HOOK)

    @_GUARD
    def child_ends(self, **_: Any) -> None:
        """Deliver what this child recorded, or spool it: it leaves past every exit handler."""
        # Forking keeps the host; what matters is the one attached in this very process.
        stop = getattr(hosts.current(), "stop", None)
        if stop is not None:
            stop(_STOP_S)

    def restore(self) -> None:
        """Put back what only workers had replaced."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def _losing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def on_failure(request: Any, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
            with _GUARD:
                self._lost(request, exc_info.exception)
            return original(request, exc_info, *args, **kwargs)

        return on_failure

    def _lost(self, request: Any, error: BaseException) -> None:
        """Report an attempt whose process died under it."""
        from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError

        error = getattr(error, "exc", error)
        if not isinstance(error, (Terminated, TimeLimitExceeded, WorkerLostError)):
            return
        known = request.request_dict
        job = opened(
            request.name,
            known,
            queue=_queue(request.delivery_info),
            id=str(request.id),
            attempt=int(known.get("retries") or 0) + 1,
            due=_moment(known.get("eta")),
        )
        started_s = getattr(request, "time_start", None)
        if started_s:
            job.started(started_s)
        _close(job, error)


def _is_last(task: Any, request: Any, error: BaseException) -> bool:
    from celery.exceptions import MaxRetriesExceededError

    if isinstance(error, MaxRetriesExceededError):
        return True
    most, done = task.max_retries, int(request.retries or 0)
    return most is not None and 0 < most <= done


def _is_child() -> bool:
    from billiard.process import current_process

    return bool(current_process().name != "MainProcess")


def _close(job: Job, error: BaseException | None) -> None:
    job.__exit__(None if error is None else type(error), error, None)


def _queue(delivery_info: Any) -> str:
    known = delivery_info if isinstance(delivery_info, dict) else {}
    return str(known.get("routing_key") or "default")


def _moment(eta: Any) -> datetime | None:
    if isinstance(eta, datetime):
        return eta
    try:
        return datetime.fromisoformat(eta)
    except (TypeError, ValueError):
        return None


def _reader(app: Any, name: str) -> Callable[[], float | None]:
    reference = weakref.ref(app)

    def read() -> float | None:
        alive = reference()
        if alive is None:
            return 0.0
        with alive.connection_for_read() as connection:
            try:
                answer = connection.default_channel.queue_declare(name, passive=True)
            except connection.channel_errors as error:
                # Until something is published, Redis has no queue of the name.
                return 0.0 if str(getattr(error, "code", "")) == "404" else None
            return float(answer.message_count)

    return read
