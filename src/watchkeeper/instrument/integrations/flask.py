"""Flask: every application of the process, with the rule that matched as its route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of
from watchkeeper.instrument.integrations.wsgi import MARK, Environ, Server, wrap_call

__all__ = ["instrument"]


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every Flask application.

    Replaces ``Flask.__call__``, which stands outside ``wsgi_app`` and its middleware, and listens
    to Flask's signal of an exception that became an answer of 500.

    Returns:
        A function that undoes it.
    """
    # From where they are made: this runs while the package `flask` itself is still being imported.
    from flask.app import Flask
    from flask.globals import request
    from flask.signals import got_request_exception

    @guard("http.server.flask")
    def failed(_: object, exception: BaseException | None = None, **__: object) -> None:
        # Also where the exception goes on to the server, in tests and the debugger.
        environ = request.environ
        exchange = environ.get(MARK)
        if exchange is not None and exception is not None:
            exchange.failed(exception)
            exchange.route = _route(environ)

    got_request_exception.connect(failed)
    application: Any = Flask
    undo = wrap_call(application, Server(host, _route))
    return all_of(lambda: got_request_exception.disconnect(failed), undo)


def _route(environ: Environ) -> str | None:
    # Werkzeug's own request; Flask takes it away when the request's context ends.
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return None if rule is None else rule.rule
