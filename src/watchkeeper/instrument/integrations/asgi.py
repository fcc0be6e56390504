"""HTTP servers: one pass around each request of an ASGI application.

Makes the server span (W3C trace context in), the request id (``X-Request-ID`` in and out), the
in-flight gauge, the size of the body and the access log event, and answers the scrape of the
metrics itself. The metrics of the request derive from the span. Websockets pass through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from random import getrandbits
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from watchkeeper.instrument import context, redaction
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.integrations.routes import route_template
from watchkeeper.instrument.metrics import Gauge
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["MARK", "AsgiMiddleware", "Message", "Receive", "Scope", "Send", "Server"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MARK = "watchkeeper"
"""Key in the ASGI scope of a request that is being recorded, so that nobody records it twice."""

_HOOK = "http.server"
_HEADERS = frozenset((b"host", b"user-agent", b"x-request-id", b"traceparent", b"tracestate"))
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_REQUEST_ID_CHARS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+=@"
)
_REQUEST_ID_MAX = 128
_TEXT_MAX = 2_048
_PORTS = {"http": 80, "https": 443}
_LEVELS = ("info", "info", "info", "info", "warning", "error")


class Server:
    """Records the requests of every ASGI application of this process.

    Args:
        host: The running instrumentation.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._metrics_path = host.settings.metrics_path
        self._quiet = frozenset(host.settings.access_log_exclude)
        self._active = host.metrics.gauge("http.server.active_requests")
        self._active_children: dict[tuple[str, str], Gauge] = {}

    async def serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Run *app* for one HTTP request and record it.

        Args:
            app: The application; its exceptions pass through unchanged.
            scope: Of type ``http`` and not marked yet.
            receive: As the ASGI server gave it.
            send: As the ASGI server gave it.
        """
        if scope["path"] == self._metrics_path and scope["method"] in ("GET", "HEAD"):
            await self._answer_scrape(scope, send)
            return
        request = self._begin(scope, send)
        if request is None:
            await app(scope, receive, send)
            return
        try:
            await app(scope, receive, request.send)
        except BaseException as error:
            request.raised(error)
            raise
        finally:
            request.close()

    async def lifespan(self) -> None:
        """Learn that an application starts on the running event loop."""
        try:
            self._host.start_loop_monitor()
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    async def _answer_scrape(self, scope: Scope, send: Send) -> None:
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        body, kind = self._host.metrics.scrape(accept.decode("latin-1"))
        headers = [
            (b"content-type", kind.encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})

    def _begin(self, scope: Scope, send: Send) -> Request | None:
        try:
            given: dict[bytes, bytes] = {}
            for name, value in scope["headers"]:
                if name in _HEADERS and name not in given:
                    given[name] = value
            request_id = _request_id(given.get(b"x-request-id"))
            attributes, method = _attributes(scope, given, request_id)
            parent = propagation.extract(given.get(b"traceparent"), given.get(b"tracestate"))
            span = self._host.recorder.start(method, SpanKind.SERVER, attributes, parent)
            scope[MARK] = True
            # FastAPI and Starlette have telemetry of their own, which sees these and stands back;
            # FastAPI's own `exclude` option sets the first in the same way.
            scope.setdefault("fastapi.telemetry", None)
            scope["starlette.opentelemetry"] = True
            key = (attributes["http.request.method"], attributes["url.scheme"])
            active = self._active_children.get(key)
            if active is None:
                active = self._active_children[key] = self._active.child(key)
            quiet = scope["path"] in self._quiet
            return Request(self._host, span, scope, send, request_id, active, quiet=quiet)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None


class Request:
    """One request being served."""

    __slots__ = (
        "_active",
        "_done",
        "_end_ns",
        "_error",
        "_finished",
        "_host",
        "_outside",
        "_outside_id",
        "_quiet",
        "_request_id",
        "_scope",
        "_send",
        "_size",
        "_span",
        "_status",
    )

    def __init__(
        self,
        host: Host,
        span: RecordedSpan,
        scope: Scope,
        send: Send,
        request_id: str,
        active: Gauge,
        *,
        quiet: bool,
    ) -> None:
        self._host = host
        self._span = span
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self._quiet = quiet
        self._status: int | None = None
        self._size = 0
        self._done = False
        self._finished = False
        self._error: BaseException | None = None
        self._end_ns: int | None = None
        self._active = active
        active.inc()
        self._outside_id = context.request_id()
        context.set_request_id(request_id)
        self._outside = activate(span)

    async def send(self, message: Message) -> None:
        """Pass a message on to the server, and note what it says."""
        kind = message["type"]
        if kind == "http.response.body":
            body = message.get("body")
            if body:
                self._size += len(body)
            if not message.get("more_body"):
                self._done = True
        elif kind == "http.response.start":
            self._status = message["status"]
            message = self._with_request_id(message)
        elif kind == "http.response.pathsend":
            self._done = True
        await self._send(message)
        # After an answer of 5xx the exception behind it may still come.
        if self._done and not self._finished:
            if (self._status or 0) < 500:
                self._finish()
            else:
                self._end_ns = self._host.clock.now_ns()

    def raised(self, error: BaseException) -> None:
        """Learn what the application raised."""
        self._error = error

    def close(self) -> None:
        """Learn that the application returned; ends what has not ended yet."""
        deactivate(self._outside)
        context.set_request_id(self._outside_id)
        if not self._finished:
            self._finish()

    def _with_request_id(self, message: Message) -> Message:
        headers = [pair for pair in message.get("headers", ()) if pair[0] != b"x-request-id"]
        headers.append((b"x-request-id", self._request_id.encode("latin-1")))
        return {**message, "headers": headers}

    def _finish(self) -> None:
        self._finished = True
        try:
            self._active.dec()
            self._describe()
            if not self._quiet:
                self._log()
            self._span.end(self._end_ns)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def _describe(self) -> None:
        span, status, error = self._span, self._status, self._error
        attributes = span.attributes
        if status is None and isinstance(error, Exception):
            # The server answers 500 for an exception that nobody handled.
            status = self._status = 500
        if status is not None:
            attributes["http.response.status_code"] = status
            attributes["http.response.body.size"] = self._size
        route = route_template(self._scope)
        if route:
            attributes["http.route"] = route
            span.name = f"{span.name} {route}"
        if error is None and self._done:
            if status is not None and status >= 500:
                attributes["error.type"] = str(status)
                span.set_status(StatusCode.ERROR)
            return
        self._describe_failure(error)

    def _describe_failure(self, error: BaseException | None) -> None:
        span = self._span
        if isinstance(error, Exception) and type(error).__name__ != "ClientDisconnect":
            span.attributes["error.type"] = error_type(error)
            span.fail(error)
        elif error is not None and not isinstance(error, Exception):
            # Cancelled while the answer was on its way: the client went, or the server stops.
            span.attributes["error.type"] = "cancelled"
        elif not self._done:
            missing = self._status is None and error is None
            kind = "incomplete_response" if missing else "client_disconnect"
            span.attributes["error.type"] = kind

    def _log(self) -> None:
        span = self._span
        get = span.attributes.get
        status = self._status
        level = "error" if status is None else _LEVELS[min(status // 100, 5)]
        fields = {
            "http.request.method": get("http.request.method"),
            "http.route": get("http.route"),
            "url.path": get("url.path"),
            "http.response.status_code": status,
            "client.address": get("client.address"),
            "error.type": get("error.type"),
        }
        if get_current_span() is span and context.request_id() == self._request_id:
            self._host.event("http.request", level, fields)
            return
        token = activate(span)
        before = context.request_id()
        context.set_request_id(self._request_id)
        try:
            self._host.event("http.request", level, fields)
        finally:
            context.set_request_id(before)
            deactivate(token)


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


def _attributes(
    scope: Scope, given: dict[bytes, bytes], request_id: str
) -> tuple[dict[str, Any], str]:
    method = scope["method"]
    if method not in _METHODS:
        method = "_OTHER"
    scheme = scope.get("scheme", "http")
    attributes: dict[str, Any] = {
        "http.request.method": method,
        "url.scheme": scheme,
        "url.path": _short(scope["path"]),
        "request.id": request_id,
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    query = scope.get("query_string")
    if query:
        attributes["url.query"] = redaction.query(_short(query.decode("latin-1")))
    client = scope.get("client")
    if client:
        attributes["client.address"] = client[0]
    agent = given.get(b"user-agent")
    if agent:
        attributes["user_agent.original"] = _short(agent.decode("latin-1"))
    address, port = _server_address(scope, given, scheme)
    if address:
        attributes["server.address"] = address
        if port is not None:
            attributes["server.port"] = port
    return attributes, "HTTP" if method == "_OTHER" else method


def _server_address(
    scope: Scope, given: dict[bytes, bytes], scheme: str
) -> tuple[str | None, int | None]:
    named = given.get(b"host")
    if named is None:
        address = scope.get("server")
        return (address[0], address[1]) if address else (None, None)
    text = _short(named.decode("latin-1"))
    name, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and len(port) < 6:
        return name, int(port)
    return text, _PORTS.get(scheme)


def _request_id(given: bytes | None) -> str:
    if given is not None and 0 < len(given) <= _REQUEST_ID_MAX:
        text = given.decode("latin-1")
        if _REQUEST_ID_CHARS.issuperset(text):
            return text
    return f"{getrandbits(128):032x}"


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX]
