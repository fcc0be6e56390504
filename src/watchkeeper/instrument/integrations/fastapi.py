"""FastAPI: every application of the process, with its own telemetry standing back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.asgi import Server
from watchkeeper.instrument.integrations.starlette import wrap_call

__all__ = ["instrument"]


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every FastAPI application.

    FastAPI switches its own spans on once a tracer provider is set. A request that we record has
    ``scope["fastapi.telemetry"]`` set to None, FastAPI's own mark for an excluded request, which is
    looked at before anything else: one server span, and nothing spent on a second one. Websocket
    connections, which we let pass, keep FastAPI's span. Providers given to
    ``FastAPI(telemetry=…)`` see nothing of recorded requests either.

    Returns:
        A function that undoes it.
    """
    from fastapi.applications import FastAPI

    application: Any = FastAPI
    return wrap_call(application, Server(host))
