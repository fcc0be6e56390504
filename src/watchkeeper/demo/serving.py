"""How each of AgentDesk's HTTP processes runs."""

from __future__ import annotations

import os
import threading
from typing import Any

import uvicorn

__all__ = ["end_with_parent", "serve"]

_WATCH_S = 1.0


def end_with_parent() -> None:
    """End this process when the one that started it is gone, so that none is left over."""
    parent = os.getppid()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_WATCH_S):
            if os.getppid() != parent:
                os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def serve(app: Any, port: int) -> None:
    """Serve an ASGI application on 127.0.0.1 until SIGTERM or SIGINT."""
    end_with_parent()
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_config=None, access_log=False,
        timeout_graceful_shutdown=3,
    )  # fmt: skip
