"""taskiq: a producer span per task that is kicked, a consumer span per attempt, with any broker.

What must travel is written into the message's labels. Workers of taskiq-redis' lists and streams show
how many tasks wait. The commands that taskiq-redis sends for
its own sake are not recorded.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry.trace import SpanKind, get_current_span

from watchkeeper.instrument.domain.work import Job
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.carrier import opened, pack, produce
from watchkeeper.instrument.integrations.depths import watch_depth
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.redis import quiet
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_HOOK = "jobs.taskiq"
_GUARD = guard(_HOOK)
_Awaited = Callable[..., Awaitable[Any]]


class _Attempt:
    """What is learned about the attempt that runs."""

    __slots__ = ("error", "retried", "task_id")

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.retried = False
        self.error: BaseException | None = None


_ATTEMPT: ContextVar[_Attempt | None] = ContextVar("watchkeeper_taskiq_attempt", default=None)


def instrument(host: Host) -> Callable[[], None]:
    """Record the tasks of every broker.

    Returns:
        A function that undoes it.
    """
    from taskiq.kicker import AsyncKicker
    from taskiq.receiver import receiver

    tasks = _Tasks(host)
    return all_of(
        replace(AsyncKicker, "kiq", tasks.kicking(AsyncKicker.kiq)),
        replace(AsyncKicker, "_prepare_message", tasks.packing(AsyncKicker._prepare_message)),  # noqa: SLF001 - where labels are made
        replace(receiver.Receiver, "__init__", tasks.listening(receiver.Receiver.__init__)),
        replace(receiver.Receiver, "run_task", tasks.running(receiver.Receiver.run_task)),
        replace(receiver, "TaskiqResult", tasks.resulting(vars(receiver)["TaskiqResult"])),
    )


class _Tasks:
    """What stands in for taskiq's methods."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def kicking(self, original: _Awaited) -> _Awaited:
        """Return what stands in for ``kiq``."""

        async def kiq(kicker: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                self._meet(kicker.broker)
                queue = _queue(kicker.broker, kicker.labels)
                span = produce(self._host, kicker.task_name, queue=queue, id=None)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                return await original(kicker, *args, **kwargs)
            token = activate(span)
            try:
                task = await original(kicker, *args, **kwargs)
            except BaseException as error:
                span.fail(error, record=isinstance(error, Exception))
                raise
            finally:
                deactivate(token)
                span.end()
            return task

        return kiq

    def packing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for the method that makes the message."""

        def prepare(kicker: Any, *args: Any, **kwargs: Any) -> Any:
            message = original(kicker, *args, **kwargs)
            with _GUARD:
                attempt = _ATTEMPT.get()
                if attempt is not None and message.task_id == attempt.task_id:
                    attempt.retried = True
                span = get_current_span()
                if type(span) is RecordedSpan and span.kind is SpanKind.PRODUCER:
                    span.set_attribute("job.id", str(message.task_id))
                    message.labels.update(pack(self._host, span))
            return message

        return prepare

    def listening(self, original: Callable[..., None]) -> Callable[..., None]:
        """Return what stands in for the making of a receiver, which then listens to its broker."""

        def init(receiver: Any, *args: Any, **kwargs: Any) -> None:
            original(receiver, *args, **kwargs)
            with _GUARD:
                self._meet(receiver.broker)
                read = _reader(receiver.broker)
                if read is not None:
                    watch_depth(self._host, _queue(receiver.broker, {}), read, _HOOK)

        return init

    def running(self, original: _Awaited) -> _Awaited:
        """Return what stands in for ``run_task``."""

        async def run_task(receiver: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                message = args[1] if len(args) > 1 else kwargs["message"]
                self._meet(receiver.broker)
                labels = message.labels
                job = opened(
                    message.task_name,
                    labels,
                    queue=_queue(receiver.broker, labels),
                    id=str(message.task_id),
                    attempt=int(labels.get("_retries", 0)) + 1,
                    apart=True,
                )
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                return await original(receiver, *args, **kwargs)
            attempt = _Attempt(str(message.task_id))
            token = _ATTEMPT.set(attempt)
            failure: BaseException | None = None
            try:
                return await original(receiver, *args, **kwargs)
            except BaseException as error:
                failure = error
                raise
            finally:
                _ATTEMPT.reset(token)
                self._close(job, attempt, labels, failure)

        return run_task

    def resulting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for the making of a result, which still has the task's own error.

        Middlewares that retry put another one in its place.
        """

        def result(*args: Any, **kwargs: Any) -> Any:
            attempt = _ATTEMPT.get()
            if attempt is not None:
                attempt.error = kwargs.get("error")
            return original(*args, **kwargs)

        return result

    @_GUARD
    def _close(
        self, job: Job, attempt: _Attempt, labels: Any, failure: BaseException | None
    ) -> None:
        error = failure or attempt.error
        if attempt.retried:
            job.retry()
        elif error is not None and str(labels.get("retry_on_error", "")).lower() == "true":
            job.dead_letter("retries_exhausted")
        job.__exit__(None if error is None else type(error), error, None)

    @staticmethod
    def _meet(broker: Any) -> None:
        quiet(getattr(broker, "connection_pool", None))
        quiet(getattr(getattr(broker, "result_backend", None), "redis_pool", None))


def _queue(broker: Any, labels: Any) -> str:
    return str(labels.get("queue_name") or getattr(broker, "queue_name", None) or "default")


def _reader(broker: Any) -> Callable[[], float | None] | None:
    """Return what asks how many tasks wait, or None if this kind of broker cannot tell."""
    module = sys.modules.get("taskiq_redis.redis_broker")
    if module is None:
        return None
    if isinstance(broker, module.ListQueueBroker):
        command: tuple[str, ...] = ("LLEN", broker.queue_name)
    elif isinstance(broker, module.RedisStreamBroker):
        command = ("XINFO", "GROUPS", broker.queue_name)
    else:
        return None
    reference = weakref.ref(broker)

    def read() -> float | None:
        alive = reference()
        if alive is None:
            return None
        # Whoever uses these brokers has imported asyncio; connections belong to a loop.
        try:
            answer = sys.modules["asyncio"].run(_asked(alive.connection_pool, command))
        except module.ResponseError:
            return 0.0  # a stream that nobody has written to or read from is not there yet
        return answer if isinstance(answer, int) else _lag(answer, alive.consumer_group_name)

    return read


async def _asked(pool: Any, command: tuple[str, ...]) -> Any:
    connection = pool.connection_class(**pool.connection_kwargs)
    try:
        await connection.connect()
        await connection.send_command(*command)
        return await connection.read_response()
    finally:
        await connection.disconnect()


def _lag(groups: Any, name: str) -> float | None:
    """Return how many entries of a stream no worker of its group has been given yet.

    Args:
        groups: Redis' answer: for each group a mapping, or names and values in turn.
        name: Name of the group.
    """
    for group in groups:
        known = (
            group if isinstance(group, dict) else dict(zip(group[::2], group[1::2], strict=True))
        )
        known = {_text(key): value for key, value in known.items()}
        if _text(known["name"]) == name:
            lag = known.get("lag")
            return None if lag is None else float(lag)
    return 0.0


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
