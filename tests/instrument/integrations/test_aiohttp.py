"""Requests of aiohttp's client, against aiohttp's own server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry import context
from opentelemetry.trace import SpanKind
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import context as ours
from watchkeeper.instrument.integrations import install, uninstall

SEEN: list[dict[str, str]] = []


@pytest.fixture
async def shop() -> AsyncIterator[TestServer]:
    """Serve a page, a redirect to it, a slow page and a websocket."""
    SEEN.clear()

    async def page(request: web.Request) -> web.Response:
        SEEN.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(text="hello", status=503 if request.path == "/down" else 200)

    async def old(request: web.Request) -> web.Response:
        SEEN.append({name.lower(): value for name, value in request.headers.items()})
        raise web.HTTPFound("/")

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/down", page)
    app.router.add_get("/old", old)
    app.router.add_get("/slow", slow)
    app.router.add_get("/talk", talk)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integration on."""
    install(rig, ["aiohttp"])
    yield rig
    uninstall()


async def test_a_request_carries_the_trace(instrumented: Rig, shop: TestServer) -> None:
    """The span describes the request without its secrets; the other side becomes its child."""
    url = str(shop.make_url("/")).replace("//", "//user:pw@")
    session = aiohttp.ClientSession(headers={"x-shop": "1"})
    async with (
        session,
        session.get(url, params={"token": "abc", "n": "1"}, headers={"x-call": "2"}) as answer,
    ):
        assert "hello" == await answer.text()
    (span,) = instrumented.spans
    full = str(span.attributes.pop("url.full"))
    assert full.startswith(f"http://127.0.0.1:{shop.port}/?token=")
    assert full.endswith("&n=1")
    assert "abc" not in full
    assert ("GET", SpanKind.CLIENT) == (span.name, span.kind)
    assert {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": shop.port,
        "http.response.status_code": 200,
    } == span.attributes
    (seen,) = SEEN
    assert f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.flags:02x}" == seen["traceparent"]
    assert ("1", "2") == (seen["x-shop"], seen["x-call"])


async def test_redirects_are_one_request(instrumented: Rig, shop: TestServer) -> None:
    """Every hop carries the same span; a refusal is an error; the base address is joined."""
    async with aiohttp.ClientSession(base_url=shop.make_url("/")) as session:
        async with session.get("old") as answer:
            assert 200 == answer.status
        async with session.get("down") as answer:
            assert 503 == answer.status
    first, second = instrumented.spans
    assert {f"{first.span_id:016x}"} == {seen["traceparent"][36:52] for seen in SEEN[:2]}
    assert "503" == second.attributes["error.type"]
    assert 2 == len(instrumented.totals("http_client_request_duration_seconds"))


async def test_a_failure_passes(instrumented: Rig, shop: TestServer) -> None:
    """Timeouts and refused connections are the caller's, with their types on the spans."""
    brief = aiohttp.ClientTimeout(total=0.05)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.get(shop.make_url("/slow"), timeout=brief)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://127.0.0.1:1/")
    kinds = [span.attributes["error.type"] for span in instrumented.spans]
    assert "TimeoutError" == kinds[0]
    assert str(kinds[1]).startswith("aiohttp.")


async def test_a_trace_context_of_the_application_stays(
    instrumented: Rig, shop: TestServer
) -> None:
    """Headers that the session or the call brings are not replaced."""
    theirs = f"00-{'a' * 32}-{'b' * 16}-01"
    async with aiohttp.ClientSession(headers={"traceparent": theirs}) as session:
        await session.get(shop.make_url("/"))
    async with aiohttp.ClientSession() as session:
        await session.get(shop.make_url("/"), headers={"TraceParent": theirs})
    assert [theirs, theirs] == [seen["traceparent"] for seen in SEEN]
    assert 2 == len(instrumented.spans)


async def test_a_websocket_is_its_handshake(instrumented: Rig, shop: TestServer) -> None:
    """The span of a websocket ends with the answer 101."""
    async with aiohttp.ClientSession() as session, session.ws_connect(shop.make_url("/talk")):
        assert [101] == [s.attributes["http.response.status_code"] for s in instrumented.spans]


async def test_who_asks_for_silence_gets_it(instrumented: Rig, shop: TestServer) -> None:
    """OpenTelemetry's key for suppressed instrumentation is honoured."""
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        async with aiohttp.ClientSession() as session:
            await session.get(shop.make_url("/"))
    finally:
        context.detach(token)
    assert [] == instrumented.spans
    assert "traceparent" not in SEEN[0]


async def test_the_request_id_travels_where_it_is_asked_for(shop: TestServer) -> None:
    """`send_request_id` sends the current id unless the call or its session has one."""
    url = shop.make_url("/")
    with attached(send_request_id=True) as rig:
        install(rig, ["aiohttp"])
        try:
            with ours.bind(request_id="r-9"):
                async with aiohttp.ClientSession() as session:
                    await session.get(url)
                    await session.get(url, headers={"X-REQUEST-ID": "mine"})
                async with aiohttp.ClientSession(headers={"X-Request-Id": "theirs"}) as session:
                    await session.get(url)
            async with aiohttp.ClientSession() as session:
                await session.get(url)
        finally:
            uninstall()
    assert ["r-9", "mine", "theirs", None] == [seen.get("x-request-id") for seen in SEEN]
