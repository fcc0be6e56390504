"""Servers that end a process without an interpreter's exit.

uvicorn shuts down gracefully, then raises the signal that it caught once more, with the handler
that was there before: the process dies by the signal and ``atexit`` never runs. So what has to be
delivered is delivered at the end of its shutdown.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.guard import guard

__all__ = ["watch_uvicorn"]

_MARK = "__watchkeeper__"


def watch_uvicorn(ending: Callable[[], Callable[[], None] | None]) -> bool:
    """Call what *ending* returns, if anything, when a uvicorn server of this process has shut down.

    Args:
        ending: Asked at the shutdown; may block for a few seconds, nothing is served any more.

    Returns:
        Whether uvicorn is imported and was not watched before.
    """
    module: Any = sys.modules.get("uvicorn.server")
    server = getattr(module, "Server", None)
    if server is None or hasattr(server.shutdown, _MARK):
        return False
    original = server.shutdown

    @functools.wraps(original)
    async def shutdown(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            await original(self, *args, **kwargs)
        finally:
            with guard("servers.uvicorn"):
                end = ending()
                if end is not None:
                    end()

    setattr(shutdown, _MARK, True)
    server.shutdown = shutdown
    return True
