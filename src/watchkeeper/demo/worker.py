"""Runs the worker process."""

from __future__ import annotations

import watchkeeper
from watchkeeper.demo.serving import end_with_parent

watchkeeper.configure(service="agentdesk-worker", version="1.0.0")

from watchkeeper.demo.jobs import (  # noqa: E402 - configured first, so that huey is observed
    huey,
    keep_in_sync,
)


def main() -> None:
    """Work until SIGTERM or SIGINT."""
    end_with_parent()
    keep_in_sync()
    huey.create_consumer(
        workers=3,
        worker_type="thread",
        periodic=True,
        initial_delay=0.05,
        max_delay=0.5,
        graceful_signal="TERM",  # by default huey drops running jobs at SIGTERM
        shutdown_timeout=8,
    ).run()


if __name__ == "__main__":
    main()
