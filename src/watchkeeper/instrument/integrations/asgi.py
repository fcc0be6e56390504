"""HTTP servers: one pass around each request of an ASGI application.

Makes the server span (W3C trace context in), the request id (``X-Request-ID`` in and out), the
in-flight gauge, the sizes of the bodies and the access log event, and answers the scrape of the
metrics itself. The metrics of the request derive from the span. Websockets pass through.

An answer below 500 is counted before its last bytes are handed to the server: whoever has got a
whole answer finds it in the metrics, whatever happens to the process next. An answer of 5xx waits
for the exception that may follow it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.integrations.exchange import (
    HOOK,
    MARK,
    TEXT_MAX,
    Exchange,
    Front,
    body_size,
    host_and_port,
    masked_query,
    request_id,
)
from watchkeeper.instrument.integrations.routes import route_template
from watchkeeper.instrument.metrics import Gauge
from watchkeeper.instrument.pages import BODY_BYTES_MAX, Ask, answered
from watchkeeper.instrument.recorder.span import Template

__all__ = ["MARK", "AsgiMiddleware", "Message", "Receive", "Scope", "Send", "Server"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS = frozenset(
    (
        b"host",
        b"user-agent",
        b"x-request-id",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"content-length",
        b"transfer-encoding",
    )
)
_OVER: Scope = {"method": ""}
"""Stands in for the scope of a request that is over."""
_SHARED_MAX = 512
"""Kinds of requests that are remembered; the memory starts anew past it."""
_LISTS = frozenset((b"tracestate", b"baggage"))
"""Headers whose several lines are one list."""


_Kind = tuple[str, str, str, bytes | None, bytes | None]
"""Method, scheme and version of the protocol, ``Host`` and ``User-Agent`` as they were given."""


class _Shared(NamedTuple):
    """What all requests of a kind share."""

    name: str
    """Name of the span before the route is known."""
    active: Gauge
    """Requests in flight."""
    template: Template


class Server:
    """Records the requests of every ASGI application of this process.

    Args:
        host: The running instrumentation.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._front = Front(host)
        self._start = host.recorder.start
        self._foreign = propagation.foreign()
        self._shared: dict[_Kind, _Shared] = {}

    async def serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Run *app* for one HTTP request and record it.

        Args:
            app: The application; its exceptions pass through unchanged.
            scope: Of type ``http`` and not marked yet.
            receive: As the ASGI server gave it.
            send: As the ASGI server gave it.
        """
        request = self.begin(scope, receive, send)
        if request is None:
            if await self.answered(scope, receive, send):
                return
            await app(scope, receive, send)
            return
        try:
            await app(scope, request.receive, request.send)
        except BaseException as error:
            request.failed(error)
            raise
        finally:
            request.close()

    async def lifespan(self) -> None:
        """Learn that an application starts on the running event loop."""
        try:
            self._host.start_loop_monitor()
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(HOOK, error)

    async def _answer_scrape(self, scope: Scope, send: Send) -> None:
        given = {name: value.decode("latin-1") for name, value in scope["headers"]}
        client = scope.get("client")
        status, shown, body = await self._front.scraper.answer_beside(
            given.get(b"accept", ""),
            given.get(b"authorization", ""),
            client[0] if client else None,
        )
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in shown]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})

    async def _answer_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: bytes | None = b""
        more = True
        while more:
            message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            if body is not None:
                body += message.get("body", b"")
                if len(body) > BODY_BYTES_MAX:
                    body = None
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        ask = Ask(scope["method"], given.decode("latin-1"), body)
        found = answered(self._front.pages[scope["path"]], ask)
        headers = [(name.lower().encode(), value.encode()) for name, value in found.all_headers()]
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    async def answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request for a page of ours; returns whether it was one."""
        path = scope["path"]
        if path == self._front.metrics_path and scope["method"] in ("GET", "HEAD"):
            await self._answer_scrape(scope, send)
            return True
        if path in self._front.pages:
            await self._answer_page(scope, receive, send)
            return True
        return False

    def begin(self, scope: Scope, receive: Receive, send: Send) -> Request | None:
        """Begin to record a request; None if it is for a page of ours, or cannot be recorded.

        Run the application with the result's `receive` and `send`, tell its `failed` what it raised,
        and `close` it.

        Args:
            scope: Of type ``http`` and not marked yet.
            receive: As the ASGI server gave it.
            send: As the ASGI server gave it.
        """
        front = self._front
        path = scope["path"]
        if path in front.pages or (
            path == front.metrics_path and scope["method"] in ("GET", "HEAD")
        ):
            return None
        try:
            given: dict[bytes, bytes] = {}
            for name, value in scope["headers"]:
                if name in _HEADERS:
                    if name not in given:
                        given[name] = value
                    elif name in _LISTS:
                        given[name] += b"," + value
            name_of = request_id(
                given[b"x-request-id"].decode("latin-1") if b"x-request-id" in given else None
            )
            kind = (
                scope["method"],
                scope.get("scheme", "http"),
                scope.get("http_version", "1.1"),
                given.get(b"host"),
                given.get(b"user-agent"),
            )
            shared = self._shared.get(kind) or self._share(kind)
            attributes = _attributes(shared, scope, given)
            attributes["request.id"] = name_of
            parent = None
            if self._foreign or b"traceparent" in given or b"baggage" in given:
                parent = self._parent(scope, given)
            span = self._start(
                shared.name, SpanKind.SERVER, attributes, parent, None, None, shared.template
            )
            request = Request(self._front, span, shared.active, name_of, scope, receive, send)
            if b"transfer-encoding" in given:
                request.receive = request.count
            scope[MARK] = request
            # FastAPI and Starlette have telemetry of their own, which sees these and stands back;
            # FastAPI's own `exclude` option sets the first in the same way.
            if "fastapi.telemetry" not in scope:
                scope["fastapi.telemetry"] = None
            scope["starlette.opentelemetry"] = True
            request.enter(parent)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(HOOK, error)
            return None
        return request

    def _parent(self, scope: Scope, given: dict[bytes, bytes]) -> Context | None:
        if self._foreign:
            return propagation.extract(_getter(scope))
        return propagation.extract_w3c(
            given.get(b"traceparent"), given.get(b"tracestate"), given.get(b"baggage")
        )

    def _share(self, kind: _Kind) -> _Shared:
        """Make what all requests of a kind share."""
        method, scheme, version, host, agent = kind
        attributes: dict[str, Any] = {"network.protocol.version": version}
        if agent:
            attributes["user_agent.original"] = agent[:TEXT_MAX].decode("latin-1")
        if host is not None:
            address, port = host_and_port(host.decode("latin-1"), scheme)
            if address:
                attributes["server.address"] = address
                if port is not None:
                    attributes["server.port"] = port
        name, active = self._front.named(attributes, method, scheme)
        if len(self._shared) >= _SHARED_MAX:
            self._shared.clear()
        shared = self._shared[kind] = _Shared(name, active, Template(attributes))
        return shared


class Request(Exchange):
    """One request being served."""

    _received = 0
    _declared = -1

    def __init__(
        self,
        front: Front,
        span: Any,
        active: Any,
        request_id: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        # What the base class does, written out: a call less for each request.
        self._front = front
        self.span = span
        self.request_id = request_id
        self._active = active
        self._scope = scope
        self._send = send
        self._receive = self.receive = receive
        active.inc()

    async def count(self) -> Message:
        """Receive for the application, and add up a body whose size nobody declared."""
        message = await self._receive()
        body = message.get("body")
        if body:
            self._received += len(body)
            if not self.finished:
                self.span.attributes["http.request.body.size"] = self._received
        return message

    async def send(self, message: Message) -> None:
        """Note what a message says, and pass it on to the server."""
        kind = message["type"]
        if kind == "http.response.body":
            body = message.get("body")
            if body:
                self.size += len(body)
            if not message.get("more_body") or self.size == self._declared:
                self._complete()
        elif kind == "http.response.start":
            message = self._head(message)
        elif kind == "http.response.pathsend":
            self._complete()
        await self._send(message)
        if self.complete and not self.finished:
            self.end_ns = self._front.host.clock.now_ns()

    def close(self) -> None:
        """Learn that the application returned; ends what has not ended yet."""
        if not self.finished:
            self.finish()
        self.leave()
        # The scope refers to this object: without the way back both are freed at once, and not when
        # the garbage collector comes.
        self._scope = _OVER

    def template(self) -> str:
        """Return the template of the route, or "" if no route matched."""
        return self.route or route_template(self._scope)

    def _complete(self) -> None:
        self.complete = True
        if not self.finished and (self.status or 0) < 500:
            self.finish()

    def _head(self, message: Message) -> Message:
        status = self.status = message["status"]
        headers = list(message.get("headers", ()))
        given = False
        for name, value in headers:
            if name == b"content-length":
                size = body_size(value)
                self._declared = -1 if size is None else size
            elif name == b"x-request-id":
                given = True
        if given:
            headers = [pair for pair in headers if pair[0] != b"x-request-id"]
        headers.append((b"x-request-id", self.request_id.encode("latin-1")))
        if status in (204, 304) or self._declared == 0 or self._scope["method"] == "HEAD":
            # There is no body: the client has the whole answer now.
            self._complete()
        return {**message, "headers": headers}


def _getter(scope: Scope) -> Callable[[str], bytes | None]:
    headers: dict[str, bytes] = {}
    for name, value in scope["headers"]:
        text = name.decode("latin-1")
        headers[text] = headers[text] + b"," + value if text in headers else value
    return headers.get


class AsgiMiddleware:
    """Records the requests of one ASGI application that no integration covers.

    FastAPI and Starlette applications need no middleware. Does nothing before
    `watchkeeper.configure`, and nothing to a request that is being recorded already.

    Args:
        app: The application to wrap.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._server: Server | None = None
        self._host: Host | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        host = hosts.current()
        if host is None or MARK in scope:
            await self.app(scope, receive, send)
            return
        server = self._server
        if server is None or self._host is not host:
            server = self._server = Server(host)
            self._host = host
        if scope["type"] == "http":
            await server.serve(self.app, scope, receive, send)
            return
        if scope["type"] == "lifespan":
            await server.lifespan()
        await self.app(scope, receive, send)


def _attributes(shared: _Shared, scope: Scope, given: dict[bytes, bytes]) -> dict[str, Any]:
    attributes = shared.template.attributes.copy()
    attributes["url.path"] = scope["path"][:TEXT_MAX]
    query = scope.get("query_string")
    if query:
        attributes["url.query"] = masked_query(query.decode("latin-1"))
    client = scope.get("client")
    if client:
        attributes["client.address"] = client[0]
    if b"content-length" in given:
        size = body_size(given[b"content-length"])
        if size is not None:
            attributes["http.request.body.size"] = size
    if b"host" not in given:
        address, port = scope.get("server") or (None, None)
        if address:
            attributes["server.address"] = address
            if port is not None:
                attributes["server.port"] = port
    return attributes
