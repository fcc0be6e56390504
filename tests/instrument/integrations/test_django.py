"""Requests of Django, by WSGI and by ASGI."""

from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from opentelemetry.trace import StatusCode
from tests.instrument.integrations.http import ask as ask_asgi
from tests.instrument.integrations.wsgi_rig import ask
from tests.instrument.rig import Rig

from watchkeeper import AsgiMiddleware
from watchkeeper.instrument.integrations import install, uninstall


def item(request: HttpRequest, number: int) -> JsonResponse:
    """Answer with a number."""
    return JsonResponse({"number": number, "method": request.method})


def broken(_: HttpRequest) -> HttpResponse:
    """Fail."""
    raise ZeroDivisionError("oops")


def refused(_: HttpRequest) -> HttpResponse:
    """Refuse."""
    return HttpResponse(status=503)


def stream(_: HttpRequest) -> StreamingHttpResponse:
    """Answer in parts."""
    return StreamingHttpResponse(iter([b"ab", b"cd"]))


async def slow(_: HttpRequest, name: str) -> HttpResponse:
    """Answer from a coroutine."""
    return HttpResponse(name)


urlpatterns: list[Any] = [
    path("items/<int:number>/", item),
    path("broken", broken),
    path("refused", refused),
    path("stream", stream),
    path("api/", include([path("users/<slug:name>", slow)])),
    re_path(r"^old/(?P<number>\d+)$", item),
]


@pytest.fixture(scope="module", autouse=True)
def configured() -> None:
    """Configure Django for this module."""
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="not-a-secret",
        LOGGING_CONFIG=None,
    )
    django.setup()


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integration on."""
    install(rig, ["django"])
    yield rig
    uninstall()


PATHS = [
    ("/items/7/", 200, "/items/<int:number>/"),
    ("/old/7", 200, r"/old/(?P<number>\d+)$"),
    ("/api/users/ann", 200, "/api/users/<slug:name>"),
    ("/stream", 200, "/stream"),
    ("/nowhere/5", 404, None),
]


@pytest.mark.parametrize(("path", "status", "route"), PATHS)
def test_the_pattern_is_the_route(
    instrumented: Rig, path: str, status: int, route: str | None
) -> None:
    """Patterns of included modules have their prefix; an unmatched path has no route."""
    assert status == ask(get_wsgi_application(), path, strict=False).status
    (span,) = instrumented.spans
    assert route == span.attributes.get("http.route")
    assert (f"GET {route}" if route else "GET") == span.name


@pytest.mark.parametrize(("path", "status", "route"), PATHS)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
async def test_by_asgi_it_is_one_span_too(
    instrumented: Rig, path: str, status: int, route: str | None
) -> None:
    """The ASGI handler says the same, also inside our middleware."""
    assert status == (await ask_asgi(AsgiMiddleware(get_asgi_application()), path)).status
    (span,) = instrumented.spans
    assert route == span.attributes.get("http.route")
    assert 1 == len(instrumented.events)


def test_an_error_that_django_answers_has_its_exception(instrumented: Rig) -> None:
    """Django makes an answer of 500 from an exception: the span still has it."""
    assert 500 == ask(get_wsgi_application(), "/broken", strict=False).status
    (span,) = instrumented.spans
    assert ("GET /broken", "ZeroDivisionError") == (span.name, span.attributes["error.type"])
    assert ["exception"] == [event.name for event in span.events]


async def test_by_asgi_the_exception_is_seen_too(instrumented: Rig) -> None:
    """The exception crosses Django's threads."""
    assert 500 == (await ask_asgi(ASGIHandler(), "/broken")).status
    (span,) = instrumented.spans
    assert "ZeroDivisionError" == span.attributes["error.type"]


def test_a_refusal_of_5xx_is_an_error(instrumented: Rig) -> None:
    """A 5xx answer without an exception has the status as its error."""
    ask(get_wsgi_application(), "/refused", strict=False)
    (span,) = instrumented.spans
    assert ("503", StatusCode.ERROR) == (span.attributes["error.type"], span.status_code)


def test_undo_is_complete(rig: Rig) -> None:
    """After `uninstall` nothing is recorded."""
    install(rig, ["django"])
    application = get_wsgi_application()
    uninstall()
    ask(application, "/items/7/", strict=False)
    ask(application, "/broken", strict=False)
    assert [] == rig.spans
