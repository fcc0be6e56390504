"""The Celery application of the tests, for workers in processes of their own."""

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import watchkeeper

watchkeeper.configure(service="celery-test", export_interval_s=0.2, metrics_port=0)

from celery import Celery, Task, chord  # noqa: E402 - configured first
from celery.exceptions import Ignore, Reject  # noqa: E402 - likewise

from watchkeeper.instrument import context  # noqa: E402 - likewise

QUEUE = os.environ.get("WATCHKEEPER_TEST_QUEUE", "wk")
URL = os.environ.get("REDIS_URL", "memory://")
app = Celery("celeryapp", broker=URL, backend=URL if URL.startswith("redis") else None)
app.conf.update(
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
log = watchkeeper.get_logger("celeryapp")


def task(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return Celery's decorator, with a type."""
    decorator: Callable[[Callable[..., Any]], Any] = app.task(**options)
    return decorator


@task()
def add(a: int, b: int) -> int:
    """Add, and say for whom."""
    logging.getLogger("celeryapp.plain").info("adding %d and %d", a, b)
    print("printed")  # noqa: T201 - what tasks do
    log.info("added", seen=f"{context.request_id()}/{context.user_id()}/{context.tenant_id()}")
    return a + b


@task()
def total(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


@task(bind=True, max_retries=2, default_retry_delay=0)
def flaky(self: Task, good_at: int) -> int:
    """Fail until attempt *good_at*."""
    if self.request.retries + 1 < good_at:
        raise self.retry(exc=ConnectionError("down"))
    return int(self.request.retries)


@task()
def broken() -> None:
    """Fail."""
    raise KeyError("k")


@task(acks_late=True)
def poison() -> None:
    """Refuse the message."""
    raise Reject("poison", requeue=False)


@task()
def ignored() -> None:
    """Say nothing."""
    raise Ignore


@task(time_limit=1)
def endless() -> None:
    """Take longer than allowed."""
    time.sleep(30)


@task()
def suicide() -> None:
    """Die as a process that the kernel kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def both() -> Any:
    """Return a chord."""
    return chord([add.s(1, 2), add.s(3, 4)])(total.s())
