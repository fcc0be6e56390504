"""FastAPI: every application of the process, with its own telemetry standing back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import attach, set_value

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.asgi import Receive, Scope, Send, Server
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.starlette import wrap_call
from watchkeeper.instrument.recorder.current import deactivate

__all__ = ["instrument"]

_HOOK = "http.server.fastapi"


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every FastAPI application.

    FastAPI switches its own spans on once a tracer provider is set. A request that we record has
    ``scope["fastapi.telemetry"]`` set to None, FastAPI's own mark for an excluded request, which is
    looked at before anything else: one server span, and nothing spent on a second one. Websocket
    connections, which we let pass, keep FastAPI's span. Providers given to
    ``FastAPI(telemetry=…)`` see nothing of recorded requests either.

    With the setting `fastapi_operation_spans` its spans of dependencies, endpoints, serialization
    and background tasks appear below our server span.

    Returns:
        A function that undoes it.
    """
    from fastapi.applications import FastAPI

    application: Any = FastAPI
    undos = []
    if host.settings.fastapi_operation_spans:
        undos.append(_with_operations(application))
    undos.append(wrap_call(application, Server(host)))
    return all_of(*undos)


def _with_operations(application: Any) -> Callable[[], None]:
    """Let FastAPI see a request whose operations it traces, without a server span of its own."""
    original = application.__dict__["__call__"]
    try:
        made = _Operations()
    except Exception as error:  # noqa: BLE001 - an older or newer FastAPI: nothing to switch on
        record_failure(_HOOK, error)
        return lambda: None

    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not made.wanted(self, scope):
            await original(self, scope, receive, send)
            return
        token = attach(set_value(made.key, made.request))
        try:
            await original(self, scope, receive, send)
        finally:
            deactivate(token)

    return replace(application, "__call__", call)


class _Operations:
    """What FastAPI looks for in the context of a request before it makes a span of an operation.

    These are its private parts (`fastapi.telemetry._api`): without a span, a logger and the
    request's data it makes nothing but the operations' spans.
    """

    def __init__(self) -> None:
        from fastapi import __version__
        from fastapi.telemetry import _api

        self.key = _api._REQUEST_TELEMETRY_KEY  # noqa: SLF001 - see the class
        # The provider in use when the first span starts: ours, or the one that was there before.
        tracer = trace.get_tracer("fastapi", __version__)
        self.request = _api._RequestTelemetry(  # noqa: SLF001 - as above
            span=None, span_method="", tracer=tracer, logger=None, data=None
        )

    @staticmethod
    def wanted(application: Any, scope: Scope) -> bool:
        """Tell whether the application leaves the operations of this request to be traced."""
        telemetry = application._telemetry  # noqa: SLF001 - where FastAPI(telemetry=…) is kept
        exclude = telemetry["exclude"]
        return bool(telemetry["operation_spans"]) and (exclude is None or not exclude(scope))
