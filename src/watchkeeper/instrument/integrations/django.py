"""Django: every request of its WSGI and ASGI handlers, with the pattern that matched as its route."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import asgi, wsgi
from watchkeeper.instrument.integrations.exchange import MARK, Exchange
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.starlette import wrap_call

__all__ = ["instrument"]

_HOOK = "http.server.django"


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every Django application.

    Replaces ``__call__`` of ``WSGIHandler`` and ``ASGIHandler``, and listens to where Django
    resolves a path and where it makes an answer of 500 from an exception.

    Returns:
        A function that undoes it.
    """
    from django.core.handlers.base import BaseHandler
    from django.core.signals import got_request_exception

    base: Any = BaseHandler
    entries = _Entries(host)
    entries.replace_found()
    load, resolve = base.load_middleware, base.resolve_request

    def load_middleware(self: Any, *args: Any, **kwargs: Any) -> Any:
        entries.replace_found()
        return load(self, *args, **kwargs)

    def resolve_request(self: Any, request: Any) -> Any:
        match = resolve(self, request)
        try:
            exchange = _exchange(request)
            if exchange is not None:
                exchange.route = f"/{match.route.removeprefix('^').removeprefix('/')}"
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
        return match

    got_request_exception.connect(_failed, weak=False)
    return all_of(
        entries.undo,
        lambda: got_request_exception.disconnect(_failed),
        replace(base, "load_middleware", load_middleware),
        replace(base, "resolve_request", resolve_request),
    )


class _Entries:
    """Where the server calls Django.

    The modules of both handlers import the one that the integration waits for, so they are not
    there yet when it begins: they are looked for again whenever a handler is made.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._undos: dict[str, Callable[[], None]] = {}

    @guard(_HOOK)
    def replace_found(self) -> None:
        """Replace the entries that exist by now, once each."""
        for name in ("WSGIHandler", "ASGIHandler"):
            module = sys.modules.get(f"django.core.handlers.{name[:4].lower()}")
            found = getattr(module, name, None)
            if found is None or name in self._undos:
                continue
            if name == "WSGIHandler":
                self._undos[name] = wsgi.wrap_call(found, wsgi.Server(self._host))
            else:
                self._undos[name] = wrap_call(found, asgi.Server(self._host))

    def undo(self) -> None:
        """Put the entries back."""
        for undo in self._undos.values():
            undo()


@guard(_HOOK)
def _failed(request: Any = None, **_: object) -> None:
    error = sys.exc_info()[1]
    exchange = _exchange(request)
    if exchange is not None and error is not None:
        exchange.failed(error)


def _exchange(request: Any) -> Exchange | None:
    # A WSGI request keeps its environ as META; an ASGI request has its scope.
    scope = getattr(request, "scope", None)
    found = (request.META if scope is None else scope).get(MARK)
    return found if isinstance(found, Exchange) else None
