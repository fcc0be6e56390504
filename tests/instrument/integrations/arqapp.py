"""The arq worker of the tests, and the one that enqueues for it; both run on the side version."""

import asyncio
import os
import sys
from typing import Any

import watchkeeper

watchkeeper.configure(service="arq-test", export_interval_s=0.2)

from arq import Retry, create_pool  # noqa: E402 - configured first
from arq.connections import RedisSettings  # noqa: E402 - likewise

from watchkeeper.instrument import context  # noqa: E402 - likewise

SETTINGS = RedisSettings.from_dsn(os.environ["REDIS_URL"])
QUEUE = "wk-arq"
log = watchkeeper.get_logger("arqapp")


async def add(ctx: dict[str, Any], a: int, b: int) -> int:
    """Add, say for whom, and use Redis oneself."""
    log.info("added", seen=f"{context.request_id()}/{context.user_id()}/{context.tenant_id()}")
    await ctx["redis"].set("wk:arq", a + b)
    return a + b


async def broken(_: dict[str, Any]) -> None:
    """Fail."""
    raise KeyError("k")


async def again(_: dict[str, Any]) -> None:
    """Ask for another attempt, always."""
    raise Retry


async def endless(_: dict[str, Any]) -> None:
    """Take longer than allowed."""
    await asyncio.sleep(30)


class WorkerSettings:
    """What arq reads."""

    functions = (add, broken, again, endless)
    redis_settings = SETTINGS
    queue_name = QUEUE
    max_tries = 2
    job_timeout = 1
    poll_delay = 0.1
    on_shutdown = None


async def main() -> None:
    """Enqueue one of each."""
    pool = await create_pool(SETTINGS, default_queue_name=QUEUE)
    with (
        watchkeeper.bind(request_id="r1", user_id="u1", tenant_id="acme"),
        watchkeeper.job("outer"),
    ):
        await pool.enqueue_job("add", 1, 2, _job_id="sum")
        await pool.enqueue_job("add", 3, 4, _defer_by=1.5, _job_id="later")
        for name in ("broken", "again", "endless", "nowhere"):
            await pool.enqueue_job(name)
    await pool.aclose()
    watchkeeper.shutdown()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
