"""Requests of Starlette applications, and of bare ASGI applications."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from tests.instrument.integrations.http import ask, drive
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import context
from watchkeeper.instrument.integrations import AsgiMiddleware, install, starlette, uninstall

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def item(request: Request) -> Response:
    """Answer with the request's id, as the application sees it."""
    return PlainTextResponse(f"{request.path_params.get('id')} {context.request_id()}")


async def broken(_: Request) -> Response:
    """Fail."""
    raise ZeroDivisionError("oops")


async def refused(_: Request) -> Response:
    """Refuse politely."""
    raise HTTPException(503, "later")


async def stream(_: Request) -> Response:
    """Answer in three parts."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"12345"

    return StreamingResponse(parts())


async def talk(socket: WebSocket) -> None:
    """Say hello."""
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer without a framework."""
    del scope, receive
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


def build(**more: Any) -> Starlette:
    """Return an application with routes of every kind."""
    inner = Starlette(routes=[Route("/things/{thing}", item)])
    return Starlette(
        routes=[
            Route("/items/{id:int}", item),
            Route("/broken", broken),
            Route("/refused", refused),
            Route("/stream", stream),
            WebSocketRoute("/talk", talk),
            Mount("/tenants/{tenant}", inner),
            Mount("/plain", routes=[Route("/a", item)]),
        ],
        **more,
    )


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integration on."""
    undo = starlette.instrument(rig)
    yield rig
    undo()


async def test_a_request_is_described_once(instrumented: Rig) -> None:
    """One server span with the conventions' attributes, its metrics, and one access log event."""
    answer = await ask(
        build(),
        "/items/5?q=1&token=abc",
        headers=[("user-agent", "test/1"), ("x-request-id", "r-1")],
    )
    assert (200, b"5 r-1", "r-1") == (answer.status, answer.body, answer.headers["x-request-id"])
    (span,) = instrumented.spans
    assert ("GET /items/{id}", SpanKind.SERVER) == (span.name, span.kind)
    assert StatusCode.UNSET is span.status_code
    query = span.attributes.pop("url.query")
    assert isinstance(query, str)
    assert query.startswith("q=1&token=")
    assert "abc" not in query
    assert {
        "http.request.method": "GET",
        "http.route": "/items/{id}",
        "http.response.status_code": 200,
        "http.response.body.size": 5,
        "url.scheme": "http",
        "url.path": "/items/5",
        "server.address": "shop.example",
        "server.port": 8000,
        "client.address": "10.0.0.7",
        "user_agent.original": "test/1",
        "network.protocol.version": "1.1",
        "request.id": "r-1",
    } == span.attributes
    labels = 'http_request_method="GET",http_route="/items/{id}",http_response_status_code="200",url_scheme="http"'
    assert {labels: (1, 0)} == instrumented.totals("http_server_request_duration_seconds")
    assert {labels: (1, 5)} == instrumented.totals("http_server_response_body_size_bytes")
    assert [0.0] == list(instrumented.samples("http_server_active_requests").values())
    assert [
        (
            "http.request",
            "info",
            {
                "http.request.method": "GET",
                "http.route": "/items/{id}",
                "url.path": "/items/5",
                "http.response.status_code": 200,
                "http.response.body.size": 5,
                "client.address": "10.0.0.7",
                "duration_s": 0.0,
            },
        )
    ] == instrumented.events
    assert "" == context.request_id()


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (f"00-{TRACE}-{PARENT}-01", PARENT),
        (f"cc-{TRACE}-{PARENT}-01-more", PARENT),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        ("nonsense", None),
    ],
)
async def test_the_callers_trace_goes_on(
    instrumented: Rig, header: str, parent: str | None
) -> None:
    """A valid traceparent is the span's parent; any other begins a new trace."""
    await ask(build(), "/items/1", headers=[("traceparent", header), ("tracestate", "a=b")])
    (span,) = instrumented.spans
    if parent is None:
        assert (0, False) == (span.parent_id, f"{span.trace_id:032x}" == TRACE)
    else:
        assert (parent, TRACE) == (f"{span.parent_id:016x}", f"{span.trace_id:032x}")
        assert span.trace_state is not None
        assert "b" == span.trace_state.get("a")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "a\u00e9"])
@pytest.mark.usefixtures("instrumented")
async def test_an_unsafe_request_id_is_replaced(given: str) -> None:
    """Only short ids of safe characters are taken over; others get one of ours."""
    answer = await ask(build(), "/items/1", headers=[("x-request-id", given)])
    assert given != answer.headers["x-request-id"]
    assert 32 == len(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/tenants/acme/things/9", "/tenants/{tenant}/things/{thing}", 200),
        ("/plain/a", "/plain/a", 200),
        ("/tenants/acme/none", "/tenants/{tenant}/{path}", 404),
        ("/none/at/all", None, 404),
        ("/items/x", None, 404),
    ],
)
async def test_routes_are_templates(
    instrumented: Rig, path: str, route: str | None, status: int
) -> None:
    """Mounted applications have whole templates; values never appear; unmatched paths have none."""
    answer = await ask(build(), path)
    (span,) = instrumented.spans
    assert status == answer.status
    assert route == span.attributes.get("http.route")
    assert f"GET {route}" if route else "GET" == span.name


async def test_a_wrong_method_still_has_its_route(instrumented: Rig) -> None:
    """405 belongs to the route; a method that is not known is `_OTHER`."""
    await ask(build(), "/items/1", method="BREW")
    (span,) = instrumented.spans
    assert "HTTP /items/{id}" == span.name
    assert ("_OTHER", 405) == (
        span.attributes["http.request.method"],
        span.attributes["http.response.status_code"],
    )
    assert "warning" == instrumented.events[0][1]


async def test_an_exception_is_recorded_and_passes(instrumented: Rig) -> None:
    """The span has the exception behind the 500, and the server gets the same exception."""
    with pytest.raises(ZeroDivisionError, match="oops"):
        await ask(build(), "/broken")
    (span,) = instrumented.spans
    assert "GET /broken" == span.name
    assert StatusCode.ERROR is span.status_code
    assert (500, "ZeroDivisionError") == (
        span.attributes["http.response.status_code"],
        span.attributes["error.type"],
    )
    assert ["exception"] == [event.name for event in span.events]
    assert ("http.request", "error") == instrumented.events[0][:2]
    assert {
        'http_request_method="GET",http_route="/broken",http_response_status_code="500",url_scheme="http",error_type="ZeroDivisionError"': (
            1,
            0,
        )
    } == instrumented.totals("http_server_request_duration_seconds")


async def test_a_refusal_of_5xx_is_an_error(instrumented: Rig) -> None:
    """A 5xx answer without an exception has the status as its error."""
    await ask(build(), "/refused")
    (span,) = instrumented.spans
    assert "503" == span.attributes["error.type"]
    assert StatusCode.ERROR is span.status_code


async def test_a_stream_ends_with_its_last_part(instrumented: Rig) -> None:
    """The span lasts until the last part is sent, and not for what comes after it."""
    seen: list[int] = []

    async def after() -> None:
        seen.append(len(instrumented.spans))
        instrumented.clock.advance(9.0)

    async def endpoint(_: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(3):
                instrumented.clock.advance(1.0)
                yield b"12345"

        return StreamingResponse(parts(), background=BackgroundTask(after))

    await ask(Starlette(routes=[Route("/s", endpoint)]), "/s")
    (span,) = instrumented.spans
    assert [1] == seen
    assert 3.0 == (span.end_ns - span.start_ns) / 1e9
    assert 15 == span.attributes["http.response.body.size"]


async def test_a_client_that_goes_away_is_no_server_error(instrumented: Rig) -> None:
    """When sending fails because the client is gone, the span says so, without an error status."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 2:
            raise OSError("gone")

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "path": "/stream",
        "query_string": b"",
        "headers": [],
    }
    with pytest.raises(ClientDisconnect):
        await build()(scope, receive, send)
    (span,) = instrumented.spans
    assert "client_disconnect" == span.attributes["error.type"]
    assert StatusCode.UNSET is span.status_code
    assert [0.0] == list(instrumented.samples("http_server_active_requests").values())


async def test_a_cancelled_request_is_recorded(instrumented: Rig) -> None:
    """Cancellation ends the span as cancelled and goes on to the server."""

    async def wait(_: Request) -> Response:
        await asyncio.sleep(30)
        return Response()

    task = asyncio.create_task(ask(Starlette(routes=[Route("/w", wait)]), "/w"))
    await asyncio.sleep(0.01)
    assert [1.0] == list(instrumented.samples("http_server_active_requests").values())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "cancelled" == instrumented.spans[0].attributes["error.type"]
    assert [0.0] == list(instrumented.samples("http_server_active_requests").values())


async def test_the_metrics_are_answered_without_a_trace(instrumented: Rig) -> None:
    """GET /metrics shows the process's metrics in the format asked for, and records nothing."""
    await ask(build(), "/items/1")
    answer = await ask(build(), "/metrics", headers=[("accept", "application/openmetrics-text")])
    assert b"http_server_request_duration_seconds_count" in answer.body
    assert answer.body.endswith(b"# EOF\n")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert 1 == len(instrumented.spans)
    assert 1 == len(instrumented.events)


async def test_every_application_is_wrapped_once(rig: Rig) -> None:
    """Applications made before and after count once, also below middleware; undo is complete."""

    class Slow(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            return await call_next(request)

    before = build(middleware=[Middleware(Slow)])
    install(rig, ["starlette"])
    install(rig, ["starlette"])
    try:
        await ask(before, "/items/1")
        await ask(AsgiMiddleware(build()), "/plain/a")
        assert ["GET /items/{id}", "GET /plain/a"] == [span.name for span in rig.spans]
    finally:
        uninstall()
    await ask(before, "/items/1")
    assert 2 == len(rig.spans)


async def test_spans_inside_are_children(instrumented: Rig) -> None:
    """The server span is current in the application, also in worker threads."""

    def endpoint(_: Request) -> Response:
        instrumented.recorder.start("inside").end()
        return Response()

    await ask(Starlette(routes=[Route("/x", endpoint)]), "/x")
    inside, outside = instrumented.spans
    assert outside.span_id == inside.parent_id


def test_websockets_and_lifespans_pass_through(instrumented: Rig) -> None:
    """A websocket makes no span; a start of the application starts the loop's monitor, once."""
    with TestClient(build()) as client, client.websocket_connect("/talk") as socket:
        assert "hello" == socket.receive_text()
    assert [] == instrumented.spans
    assert 1 == instrumented.monitored


async def test_a_bare_application_needs_the_middleware(rig: Rig) -> None:
    """Any ASGI application can be wrapped; it has no routes."""
    answer = await ask(AsgiMiddleware(bare), "/whatever")
    (span,) = rig.spans
    assert (204, "GET") == (answer.status, span.name)


async def test_an_application_that_answers_nothing_is_recorded(rig: Rig) -> None:
    """A missing answer ends the span, without a status."""

    async def silent(*_: Any) -> None:
        return

    answer = await ask(AsgiMiddleware(silent))
    assert 0 == answer.status
    assert "incomplete_response" == rig.spans[0].attributes["error.type"]
    assert "http.response.status_code" not in rig.spans[0].attributes


async def test_an_odd_scope_never_breaks_the_application(rig: Rig) -> None:
    """When we cannot read a scope, the application still serves it; our error is counted."""
    scope = {"type": "http", "method": "GET", "path": "/", "headers": None}
    answer = await drive(AsgiMiddleware(bare), scope)
    assert 204 == answer.status
    assert [] == rig.spans


async def test_quiet_paths_write_no_access_line() -> None:
    """Paths that the setting names are traced and counted, but not logged."""
    with attached(access_log_exclude=("/items/1",)) as rig:
        app = AsgiMiddleware(build())
        await ask(app, "/items/1")
        await ask(app, "/items/2")
        assert (2, 1) == (len(rig.spans), len(rig.events))


async def test_a_request_counts_before_its_last_bytes_leave(instrumented: Rig) -> None:
    """Whoever has got the whole answer finds it counted, also when its length was declared."""
    counted: list[tuple[str, int]] = []

    async def endpoint(_: Request) -> Response:
        return Response("hello")

    async def parts(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"ab"
            yield b"cd"

        return StreamingResponse(body(), headers={"content-length": "4"})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        counted.append((message["type"], len(instrumented.spans)))

    app = Starlette(routes=[Route("/one", endpoint), Route("/parts", parts)])
    scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "query_string": b"", "headers": []}
    start, body = "http.response.start", "http.response.body"
    await app({**scope, "method": "GET", "path": "/one"}, receive, send)
    assert [(start, 0), (body, 1)] == counted
    counted.clear()
    await app({**scope, "method": "GET", "path": "/parts"}, receive, send)
    assert [(start, 1), (body, 1), (body, 2), (body, 2)] == counted
    counted.clear()
    await app({**scope, "method": "HEAD", "path": "/one"}, receive, send)
    assert [(start, 3), (body, 3)] == counted


async def test_the_size_of_what_came_in_is_known(instrumented: Rig) -> None:
    """A declared length is believed; a body in chunks is counted while the application reads it."""

    async def read(request: Request) -> Response:
        return Response(await request.body())

    app = Starlette(routes=[Route("/read", read, methods=["POST"])])
    await ask(app, "/read", method="POST", headers=[("content-length", "7")], body=b"1234567")
    await ask(
        app, "/read", method="POST", headers=[("transfer-encoding", "chunked")], body=b"12345"
    )
    await ask(app, "/read", method="POST", headers=[("content-length", "-1")])
    sizes = [span.attributes.get("http.request.body.size") for span in instrumented.spans]
    assert [7, 5, None] == sizes
    (total,) = instrumented.totals("http_server_request_body_size_bytes").values()
    assert (2, 12) == total


async def test_floods_make_no_series(instrumented: Rig) -> None:
    """Paths that nobody serves, invented methods and odd schemes fold into one series each."""
    app = build()
    for number in range(20):
        await ask(app, f"/none/{number}")
        await ask(app, "/none", method=f"BREW{number}", scheme=f"x{number}")
    assert 2 == len(instrumented.totals("http_server_request_duration_seconds"))
    assert 2 == len(instrumented.samples("http_server_active_requests"))


async def test_work_after_the_answer_stays_in_the_trace(instrumented: Rig) -> None:
    """A background task's spans belong to the request's trace, its time not to the request."""

    async def after() -> None:
        instrumented.clock.advance(9.0)
        instrumented.recorder.start("later").end()

    async def endpoint(_: Request) -> Response:
        return Response("x", background=BackgroundTask(after))

    await ask(Starlette(routes=[Route("/x", endpoint)]), "/x")
    server, later = instrumented.spans
    assert (server.trace_id, server.span_id) == (later.trace_id, later.parent_id)
    assert 0 == server.end_ns - server.start_ns


async def test_methods_other_than_get_reach_the_application(instrumented: Rig) -> None:
    """Only GET and HEAD of the metrics' path are answered by us."""
    assert b"" == (await ask(build(), "/metrics", method="HEAD")).body
    assert [] == instrumented.spans
    assert 404 == (await ask(build(), "/metrics", method="POST")).status
    assert 1 == len(instrumented.spans)
