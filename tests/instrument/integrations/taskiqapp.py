"""The taskiq application of the tests, for workers in processes of their own."""

import os

import watchkeeper

watchkeeper.configure(service="taskiq-test", export_interval_s=0.2)

from taskiq import SimpleRetryMiddleware  # noqa: E402 - configured first
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend  # noqa: E402 - likewise

from watchkeeper.instrument import context  # noqa: E402 - likewise

URL = os.environ["REDIS_URL"]
broker = (
    ListQueueBroker(URL, queue_name="wk-taskiq")
    .with_result_backend(RedisAsyncResultBackend(URL))
    .with_middlewares(SimpleRetryMiddleware(default_retry_count=2))
)
log = watchkeeper.get_logger("taskiqapp")


@broker.task(task_name="add")
async def add(a: int, b: int) -> int:
    """Add, and say for whom."""
    log.info("added", seen=f"{context.request_id()}/{context.user_id()}/{context.tenant_id()}")
    return a + b


@broker.task(task_name="plain")
def plain() -> int:
    """Work in a thread."""
    log.info("plain")
    return 1


@broker.task(task_name="flaky", retry_on_error=True)
async def flaky() -> None:
    """Fail at every attempt."""
    raise ConnectionError("down")
