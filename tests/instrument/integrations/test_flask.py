"""Requests of Flask applications."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, abort, stream_with_context
from opentelemetry.trace import StatusCode
from tests.instrument.integrations.wsgi_rig import ask
from tests.instrument.rig import Rig
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from watchkeeper.instrument.integrations import install, uninstall


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integration on."""
    install(rig, ["flask"])
    yield rig
    uninstall()


def build() -> Flask:
    """Return an application with a blueprint."""
    app = Flask("shop")
    api = Blueprint("api", "shop")

    @app.get("/items/<int:number>")
    def item(number: int) -> dict[str, int]:
        return {"number": number}

    @api.get("/users/<name>")
    def user(name: str) -> str:
        return name

    @app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError("oops")

    @app.get("/refused")
    def refused() -> str:
        abort(503)

    @app.get("/handled")
    def handled() -> str:
        raise LookupError("nothing")

    @app.errorhandler(LookupError)
    def lost(_: LookupError) -> tuple[str, int]:
        return "lost", 404

    @app.get("/stream")
    def stream() -> Any:
        @stream_with_context
        def parts() -> Iterator[str]:
            for _ in range(3):
                yield "ab"

        body: Any = parts
        return body()

    app.register_blueprint(api, url_prefix="/api")
    return app


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/items/7", 200, "/items/<int:number>"),
        ("/api/users/ann", 200, "/api/users/<name>"),
        ("/handled", 404, "/handled"),
        ("/stream", 200, "/stream"),
        ("/static/none.css", 404, "/static/<path:filename>"),
        ("/nowhere/5", 404, None),
        ("/items/x", 404, None),
    ],
)
def test_the_rule_is_the_route(
    instrumented: Rig, path: str, status: int, route: str | None
) -> None:
    """Rules of blueprints have their prefix; an unmatched path has no route."""
    assert status == ask(build(), path).status
    (span,) = instrumented.spans
    assert route == span.attributes.get("http.route")
    assert (f"GET {route}" if route else "GET") == span.name
    assert "error.type" not in span.attributes


def test_an_error_that_flask_answers_has_its_exception(instrumented: Rig) -> None:
    """Flask makes an answer of 500 from an exception: the span still has it."""
    assert 500 == ask(build(), "/broken").status
    (span,) = instrumented.spans
    assert "GET /broken" == span.name
    assert "ZeroDivisionError" == span.attributes["error.type"]
    assert ["exception"] == [event.name for event in span.events]
    assert ("http.request", "error") == instrumented.events[0][:2]


def test_an_error_that_passes_has_its_route(instrumented: Rig) -> None:
    """In tests Flask lets exceptions through to the server."""
    app = build()
    app.testing = True
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/broken")
    (span,) = instrumented.spans
    assert ("GET /broken", 500) == (span.name, span.attributes["http.response.status_code"])


def test_a_refusal_of_5xx_is_an_error(instrumented: Rig) -> None:
    """A 5xx answer without an exception has the status as its error."""
    ask(build(), "/refused")
    (span,) = instrumented.spans
    assert "503" == span.attributes["error.type"]
    assert StatusCode.ERROR is span.status_code


def test_a_mounted_application_is_one_request(instrumented: Rig) -> None:
    """Werkzeug's dispatcher shows in the route, whether it stands outside or inside."""
    outside: Any = DispatcherMiddleware(Flask("outer"), {"/shop": build()})
    ask(outside, "/shop/items/1", strict=False)
    outer = Flask("outer")
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/shop": build()})  # type: ignore[method-assign] # as Werkzeug documents it
    ask(outer, "/shop/items/2", strict=False)
    name = "GET /shop/items/<int:number>"
    assert [name, name] == [span.name for span in instrumented.spans]


def test_undo_is_complete(rig: Rig) -> None:
    """After `uninstall` nothing is recorded."""
    app = build()
    install(rig, ["flask"])
    uninstall()
    ask(app, "/items/1")
    ask(app, "/broken")
    assert [] == rig.spans
