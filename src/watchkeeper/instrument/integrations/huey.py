"""huey: a producer span per enqueued task, a consumer span per attempt, and the queue's depth.

What must travel with a task (trace context, time, request, tenant) is appended to its serialised
form. Pickle stops at its own end mark, so a consumer without watchkeeper reads the task as ever.
Signed, compressed or own serialisers would not: such tasks travel without, and their attempts
begin traces of their own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import orjson
from opentelemetry.trace import SpanKind

from watchkeeper.instrument import context
from watchkeeper.instrument.domain.work import Job, dead_letter, queue_depth
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.integrations.depths import watch_depth
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.redis import quiet
from watchkeeper.instrument.recorder.current import activate, deactivate

__all__ = ["instrument"]

_HOOK = "jobs.huey"
_GUARD = guard(_HOOK)
_CARRIER = "_watchkeeper_carrier"
_JOB = "_watchkeeper_job"
_QUEUE = "_watchkeeper_queue"
_FAILURE = "_watchkeeper_failure"
_SEEN = "_watchkeeper_seen"
_MARKER = b"\x00watchkeeper\x00"
_TRAILER_MAX = 16_384
_FAILURES = frozenset(("canceled", "locked", "timeout", "rate-limited", "interrupted"))


def instrument(host: Host) -> Callable[[], None]:
    """Record the tasks of every huey instance.

    Returns:
        A function that undoes it.
    """
    from huey.api import Huey
    from huey.serializer import Serializer

    tasks = _Tasks(host, Serializer)
    return all_of(
        replace(Huey, "enqueue", tasks.enqueueing(Huey.enqueue)),
        replace(Huey, "execute", tasks.executing(Huey.execute)),
        replace(Huey, "serialize_task", tasks.serialising(Huey.serialize_task)),
        replace(Huey, "deserialize_task", tasks.deserialising(Huey.deserialize_task)),
        tasks.disconnect,
    )


class _Tasks:
    """What stands in for huey's methods."""

    def __init__(self, host: Host, serializer: type) -> None:
        self._host = host
        self._serializer = serializer
        self._instances: weakref.WeakSet[Any] = weakref.WeakSet()

    def enqueueing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``enqueue``."""

        def enqueue(huey: Any, task: Any) -> Any:
            self._meet(huey)
            if not hasattr(task, "retries"):
                # A group or chord: each of its tasks comes by itself.
                return original(huey, task)
            carried = getattr(task, _CARRIER, None)
            if carried is not None:
                # Back from the schedule, or a retry: it is the same job, waiting anew.
                carried["at"] = self._host.clock.now_ns()
                return original(huey, task)
            return self._produce(original, huey, task)

        return enqueue

    def _produce(self, original: Callable[..., Any], huey: Any, task: Any) -> Any:
        try:
            span = self._host.recorder.start(
                f"enqueue {task.name}",
                SpanKind.PRODUCER,
                {"job.name": task.name, "job.queue": huey.name, "job.id": str(task.id)},
            )
            carrier: dict[str, Any] = {
                "at": self._host.clock.now_ns(),
                "attempt": 1,
                "request": context.request_id(),
                "tenant": context.tenant_id(),
                "user": context.user_id(),
            }
            propagation.inject(span, carrier.__setitem__)
            setattr(task, _CARRIER, carrier)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return original(huey, task)
        token = activate(span)
        try:
            return original(huey, task)
        except BaseException as error:
            span.fail(error, record=isinstance(error, Exception))
            raise
        finally:
            task.__dict__.pop(_CARRIER, None)
            deactivate(token)
            span.end()

    def executing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``execute``; the signals inside open and describe the job."""

        def execute(huey: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
            self._meet(huey)
            task.__dict__[_QUEUE] = huey.name
            try:
                return original(huey, task, *args, **kwargs)
            finally:
                self._close(task)

        return execute

    def serialising(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``serialize_task``."""

        def serialize_task(huey: Any, task: Any) -> Any:
            data = original(huey, task)
            carrier = getattr(task, _CARRIER, None)
            if carrier is not None and isinstance(data, bytes) and self._is_plain(huey):
                return data + _MARKER + orjson.dumps(carrier)
            return data

        return serialize_task

    def deserialising(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``deserialize_task``."""

        def deserialize_task(huey: Any, data: Any) -> Any:
            carrier = None
            if isinstance(data, bytes) and self._is_plain(huey):
                carrier = _trailer(data)
            task = original(huey, data)
            if carrier is not None:
                setattr(task, _CARRIER, carrier)
            return task

        return deserialize_task

    def disconnect(self) -> None:
        """Take our receivers back."""
        for huey in list(self._instances):
            huey.disconnect_signal(self._signalled)
            huey.__dict__.pop(_SEEN, None)

    def _is_plain(self, huey: Any) -> bool:
        serializer = huey.serializer
        return type(serializer) is self._serializer and not getattr(serializer, "comp", True)

    def _meet(self, huey: Any) -> None:
        if _SEEN in huey.__dict__:
            return
        with _GUARD:
            huey.__dict__[_SEEN] = True
            self._instances.add(huey)
            huey.signal()(self._signalled)
            reference = weakref.ref(huey)

            def depth() -> float:
                alive = reference()
                return 0.0 if alive is None else float(alive.pending_count())

            pool = getattr(getattr(huey.storage, "conn", None), "connection_pool", None)
            if pool is None:
                queue_depth(huey.name, depth)
                return
            # Redis answers over a network; and what huey says to it is said by our own spans.
            quiet(pool)
            watch_depth(self._host, huey.name, depth, _HOOK)

    @_GUARD
    def _signalled(self, signal: str, task: Any, *args: Any) -> None:
        if signal == "executing":
            self._open(task)
            return
        if signal == "expired":
            queue = task.__dict__.get(_QUEUE, "default")
            dead_letter(self._host, task.name, queue=queue, reason="expired", id=str(task.id))
            return
        job: Job | None = task.__dict__.get(_JOB)
        if job is None:
            return
        if signal == "retrying":
            job.retry()
            carrier = getattr(task, _CARRIER, None)
            if carrier is not None:
                carrier["attempt"] += 1
        elif signal == "error" and args:
            task.__dict__[_FAILURE] = args[0]
            if _attempt(task) > 1 and not task.retries:
                job.dead_letter("retries_exhausted")
        elif signal in _FAILURES:
            task.__dict__[_FAILURE] = JobNotRunError(signal)

    def _open(self, task: Any) -> None:
        carrier = getattr(task, _CARRIER, None) or {}
        enqueued = carrier.get("at")
        job = Job(
            task.name,
            queue=task.__dict__.get(_QUEUE, "default"),
            id=str(task.id),
            attempt=carrier.get("attempt", 1),
            enqueued_at=None if enqueued is None else enqueued / 1e9,
            parent=propagation.extract(carrier.get),
            tenant_id=carrier.get("tenant") or None,
            request_id=carrier.get("request") or None,
            user_id=carrier.get("user") or None,
        )
        job.__enter__()
        task.__dict__[_JOB] = job

    @_GUARD
    def _close(self, task: Any) -> None:
        job: Job | None = task.__dict__.pop(_JOB, None)
        failure = task.__dict__.pop(_FAILURE, None)
        if job is not None:
            job.__exit__(None if failure is None else type(failure), failure, None)


class JobNotRunError(Exception):
    """Why huey did not run a task to its end: canceled, locked, timeout, rate-limited."""


def _attempt(task: Any) -> int:
    """Return the number of a task's attempt; 1 if nothing travelled with it."""
    carrier = getattr(task, _CARRIER, None) or {}
    return int(carrier.get("attempt", 1))


def _trailer(data: bytes) -> dict[str, Any] | None:
    at = data.rfind(_MARKER, max(0, len(data) - _TRAILER_MAX))
    if at < 0:
        return None
    try:
        carrier = orjson.loads(data[at + len(_MARKER) :])
    except orjson.JSONDecodeError:
        return None
    return carrier if isinstance(carrier, dict) else None
