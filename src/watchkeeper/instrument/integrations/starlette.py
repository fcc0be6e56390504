"""Starlette: every application of the process, also one that exists already, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.asgi import MARK, Receive, Scope, Send, Server
from watchkeeper.instrument.integrations.patch import replace

__all__ = ["instrument", "wrap_call"]


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every Starlette application.

    Replaces ``Starlette.__call__``: it stands outside every middleware of the application, works
    for applications that were made before, and needs no change of their middleware list.

    Returns:
        A function that undoes it.
    """
    from starlette.applications import Starlette

    return wrap_call(Starlette, Server(host))


def wrap_call(cls: Any, server: Server) -> Callable[[], None]:
    """Replace ``__call__`` of an ASGI application class; returns the undo function."""
    original = cls.__dict__["__call__"]
    begin, answered, lifespan = server.begin, server.answered, server.lifespan

    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and MARK not in scope:
            request = begin(scope, receive, send)
            if request is None:
                if not await answered(scope, receive, send):
                    await original(self, scope, receive, send)
                return
            # As `Server.serve` does: a coroutine less for each request.
            try:
                await original(self, scope, request.receive, request.send)
            except BaseException as error:
                request.failed(error)
                raise
            finally:
                request.close()
            return
        if kind == "lifespan" and MARK not in scope:
            scope[MARK] = True
            await lifespan()
        await original(self, scope, receive, send)

    return replace(cls, "__call__", call)
