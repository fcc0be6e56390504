"""arq: a producer span per enqueued job, a consumer span per attempt, and the queue's depth.

What must travel is an entry more in the dictionary that arq serialises, whichever serialiser is
used; a worker without watchkeeper does not look at it. What a worker says to Redis for its own
sake, polling and bookkeeping, is not recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from opentelemetry.trace import get_current_span

from watchkeeper.instrument.domain.work import Job, dead_letter
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.carrier import ENQUEUED_AT, opened, pack, produce
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.recorder.current import SilentSpan, deactivate, silence

__all__ = ["instrument"]

_HOOK = "jobs.arq"
_GUARD = guard(_HOOK)
_ENTRY = "watchkeeper"
_OBSERVED = "_watchkeeper_observed"
_UNKNOWN = "_unknown"
_DEPTH_NS = 10_000_000_000
"""Time between two looks at the depth of the queue."""
_RESULT_AT = 6
"""Where the result is among the arguments of ``serialize_result``."""

_Awaited = Callable[..., Awaitable[Any]]


class _Run:
    """One call of ``Worker.run_job``, and what is learned on the way."""

    __slots__ = ("carried", "job_id", "name", "ran", "result", "score", "worker")

    def __init__(self, worker: Any, job_id: str, score: int) -> None:
        self.worker = worker
        self.job_id = job_id
        self.score = score
        self.name = _UNKNOWN
        self.carried: dict[str, Any] = {}
        self.ran = False
        self.result: Any = None


_RUN: ContextVar[_Run | None] = ContextVar("watchkeeper_arq_run", default=None)
_CARRIED: ContextVar[dict[str, str] | None] = ContextVar("watchkeeper_arq_carried", default=None)


def instrument(host: Host) -> Callable[[], None]:
    """Record the jobs of every pool and worker.

    Returns:
        A function that undoes it.
    """
    from arq import connections, worker

    jobs = _Jobs(host)
    made = worker.Worker
    return all_of(
        jobs.stop,
        replace(
            connections.ArqRedis, "enqueue_job", jobs.enqueueing(connections.ArqRedis.enqueue_job)
        ),
        replace(connections, "serialize_job", jobs.serialising(vars(connections)["serialize_job"])),
        replace(
            worker, "deserialize_job_raw", jobs.deserialising(vars(worker)["deserialize_job_raw"])
        ),
        replace(worker, "serialize_result", jobs.resulting(vars(worker)["serialize_result"])),
        replace(made, "run_job", jobs.running(made.run_job)),
        replace(made, "finish_failed_job", jobs.giving_up(made.finish_failed_job)),
        replace(made, "_poll_iteration", jobs.polling(made.__dict__["_poll_iteration"])),
    )


class _Jobs:
    """What stands in for arq's functions."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._on = True
        self._looked_ns: int | None = None

    def stop(self) -> None:
        """Record nothing any more, where ours is still called."""
        self._on = False

    def enqueueing(self, original: _Awaited) -> _Awaited:
        """Return what stands in for ``enqueue_job``."""

        async def enqueue_job(pool: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            if type(get_current_span()) is SilentSpan:
                # A worker enqueues its cron jobs; their attempts begin traces of their own.
                return await original(pool, function, *args, **kwargs)
            try:
                queue = str(kwargs.get("_queue_name") or pool.default_queue_name)
                span = produce(self._host, str(function), queue=queue, id=None)
                carried = _CARRIED.set(pack(self._host, span))
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                return await original(pool, function, *args, **kwargs)
            token = silence()
            try:
                job = await original(pool, function, *args, **kwargs)
                if job is not None:
                    span.set_attribute("job.id", str(job.job_id))
            except BaseException as error:
                span.fail(error, record=isinstance(error, Exception))
                raise
            finally:
                deactivate(token)
                _CARRIED.reset(carried)
                span.end()
            return job

        return enqueue_job

    def serialising(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``serialize_job``."""

        def serialize_job(*args: Any, serializer: Any = None, **kwargs: Any) -> Any:
            carried = _CARRIED.get()
            if carried is None:
                return original(*args, serializer=serializer, **kwargs)
            below = serializer or _pickled()

            def with_entry(data: Any) -> Any:
                return below({**data, _ENTRY: carried})

            return original(*args, serializer=with_entry, **kwargs)

        return serialize_job

    def deserialising(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``deserialize_job_raw``."""

        def deserialize_job_raw(data: Any, *, deserializer: Any = None) -> Any:
            run = _RUN.get()
            if run is None:
                return original(data, deserializer=deserializer)
            below = deserializer or _unpickled()

            def noting(raw: Any) -> Any:
                read = below(raw)
                with _GUARD:
                    run.carried = dict(read.get(_ENTRY) or {})
                    # Names of jobs that no function has come from outside.
                    if read["f"] in run.worker.functions:
                        run.name = str(read["f"])
                return read

            return original(data, deserializer=noting)

        return deserialize_job_raw

    def resulting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``serialize_result``: it sees why a job was given up."""

        def serialize_result(*args: Any, **kwargs: Any) -> Any:
            run = _RUN.get()
            if run is not None:
                run.result = args[_RESULT_AT] if len(args) > _RESULT_AT else kwargs.get("result")
            return original(*args, **kwargs)

        return serialize_result

    def running(self, original: _Awaited) -> _Awaited:
        """Return what stands in for ``run_job``, which runs as a task of its own."""

        async def run_job(worker: Any, job_id: Any, score: Any) -> Any:
            with _GUARD:
                _RUN.set(_Run(worker, str(job_id), score))
                for function in worker.functions.values():
                    if not hasattr(function.coroutine, _OBSERVED):
                        function.coroutine = self._observed(function)
            token = silence()
            try:
                return await original(worker, job_id, score)
            finally:
                deactivate(token)

        return run_job

    def giving_up(self, original: _Awaited) -> _Awaited:
        """Return what stands in for ``finish_failed_job``: the job ends without another attempt."""

        async def finish_failed_job(worker: Any, *args: Any, **kwargs: Any) -> Any:
            with _GUARD:
                run = _RUN.get()
                if run is not None and not run.ran:
                    dead_letter(
                        self._host,
                        run.name,
                        queue=str(worker.queue_name),
                        reason=_reason(run.result),
                        id=run.job_id,
                    )
            return await original(worker, *args, **kwargs)

        return finish_failed_job

    def polling(self, original: _Awaited) -> _Awaited:
        """Return what stands in for a worker's look at its queue."""

        async def poll(worker: Any) -> Any:
            token = silence()
            try:
                await self._look(worker)
                return await original(worker)
            finally:
                deactivate(token)

        return poll

    async def _look(self, worker: Any) -> None:
        try:
            now_ns = self._host.clock.monotonic_ns()
            if self._looked_ns is not None and now_ns - self._looked_ns < _DEPTH_NS:
                return
            self._looked_ns = now_ns
            now_ms = self._host.clock.now_ns() // 1_000_000
            waiting = await worker.pool.zcount(worker.queue_name, "-inf", now_ms)
            gauge = self._host.metrics.gauge("job.queue.depth")
            gauge.child((str(worker.queue_name),)).set(float(waiting))
        except Exception as error:  # noqa: BLE001 - the poll itself will say what is wrong
            record_failure(_HOOK, error)

    def _observed(self, function: Any) -> _Awaited:
        """Return the coroutine function of a job, as one attempt at it."""
        original: _Awaited = function.coroutine

        @wraps(original)
        async def attempt(ctx: Any, *args: Any, **kwargs: Any) -> Any:
            run = _RUN.get()
            if run is None or not self._on:
                return await original(ctx, *args, **kwargs)
            run.ran = True
            started_ns = self._host.clock.monotonic_ns()
            job = self._open(run, ctx)
            if job is None:
                return await original(ctx, *args, **kwargs)
            try:
                result = await original(ctx, *args, **kwargs)
            except BaseException as error:
                took_s = (self._host.clock.monotonic_ns() - started_ns) / 1e9
                with _GUARD:
                    if _is_retried(run, function, error, took_s):
                        job.retry()
                job.__exit__(type(error), error, None)
                raise
            job.__exit__(None, None, None)
            return result

        setattr(attempt, _OBSERVED, True)
        return attempt

    def _open(self, run: _Run, ctx: Any) -> Job | None:
        try:
            attempt = int(ctx.get("job_try", 1))
            due_s = run.score / 1e3
            carried = run.carried
            if attempt > 1 and due_s <= float(carried.get(ENQUEUED_AT, 0)):
                # Tried again at once: nobody knows since when it waited anew.
                carried = {key: value for key, value in carried.items() if key != ENQUEUED_AT}
            return opened(
                run.name,
                carried,
                queue=str(run.worker.queue_name),
                id=run.job_id,
                attempt=attempt,
                due=due_s,
                apart=True,
            )
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None


def _is_retried(run: _Run, function: Any, error: BaseException, took_s: float) -> bool:
    from asyncio import CancelledError

    from arq.worker import Retry, RetryJob

    worker = run.worker
    if not worker.retry_jobs:
        return False
    if isinstance(error, (Retry, RetryJob)):
        return True
    if not isinstance(error, CancelledError) or run.job_id in worker.aborting_tasks:
        return False
    # Cancelled by its time limit, which is an error, or because the worker ends.
    limit_s = worker.job_timeout_s if function.timeout_s is None else function.timeout_s
    return limit_s is None or took_s < limit_s


def _reason(result: Any) -> str:
    text = str(result)
    if "retries exceeded" in text:
        return "retries_exhausted"
    if "expired" in text:
        return "expired"
    if "not found" in text:
        return "unknown_task"
    return "unreadable" if "deserialize" in text else "aborted"


def _pickled() -> Callable[[Any], bytes]:
    import pickle

    return pickle.dumps


def _unpickled() -> Callable[[Any], Any]:
    import pickle

    return pickle.loads
