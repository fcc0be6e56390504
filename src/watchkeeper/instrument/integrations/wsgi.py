"""HTTP servers: one pass around each request of a WSGI application (PEP 3333).

As `asgi`, with what WSGI has instead of messages: ``start_response`` with its ``exc_info`` and
``write``, and an iterable whose ``close`` ends the request. An answer is counted before its last
part is handed to the server where that part is known (a list, or a ``Content-Length`` that is
reached), else at the end of the iteration, which is before the server marks the end of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from http import HTTPStatus
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_current_span

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
from watchkeeper.instrument.integrations.patch import replace
from watchkeeper.instrument.pages import BODY_BYTES_MAX, Ask, answered
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["MARK", "App", "Environ", "Server", "StartResponse", "WsgiMiddleware", "wrap_call"]

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class Server:
    """Records the requests of every WSGI application of this process.

    Args:
        host: The running instrumentation.
        route: Returns the template of the route, or "" or None if none matched. It is called when
            the answer begins, while the framework still knows.
    """

    def __init__(self, host: Host, route: Callable[[Environ], str | None] | None = None) -> None:
        self._host = host
        self._front = Front(host)
        self._route = route

    def serve(self, app: App, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run *app* for one request and record it.

        Args:
            app: The application; its exceptions pass through unchanged.
            environ: Not marked yet.
            start_response: As the WSGI server gave it.
        """
        path = environ.get("PATH_INFO", "")
        if (
            path == self._front.metrics_path
            and not environ.get("SCRIPT_NAME")
            and environ["REQUEST_METHOD"] in ("GET", "HEAD")
        ):
            return self._answer_scrape(environ, start_response)
        if self._front.pages and path in self._front.pages and not environ.get("SCRIPT_NAME"):
            return self._answer_page(environ, path, start_response)
        request = self._begin(environ, path, start_response)
        if request is None:
            return app(environ, start_response)
        try:
            parts = app(environ, request.start_response)
        except BaseException as error:
            request.failed(error)
            request.leave()
            request.finish()
            raise
        request.leave()
        return request.watch(parts)

    def _answer_scrape(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        status, headers, body = self._front.scraper.answer(
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_AUTHORIZATION", ""),
            environ.get("REMOTE_ADDR") or None,
        )
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer_page(
        self, environ: Environ, path: str, start_response: StartResponse
    ) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        body: bytes | None = None
        if length.isdecimal() and len(length) < 10 and int(length) <= BODY_BYTES_MAX:
            body = environ["wsgi.input"].read(int(length)) if int(length) else b""
        ask = Ask(environ["REQUEST_METHOD"], environ.get("HTTP_AUTHORIZATION", ""), body)
        found = answered(self._front.pages[path], ask)
        start_response(f"{found.status} {HTTPStatus(found.status).phrase}", found.all_headers())
        return [found.body]

    def _begin(self, environ: Environ, path: str, start_response: StartResponse) -> Request | None:
        try:
            current = get_current_span()
            if (
                isinstance(current, RecordedSpan)
                and current.kind is SpanKind.SERVER
                and current.is_recording()
            ):
                # Mounted in an application that is recorded already: this is the same request.
                return None
            get = environ.get
            name = request_id(get("HTTP_X_REQUEST_ID"))
            scheme = get("wsgi.url_scheme", "http")
            attributes = _attributes(environ, path, scheme)
            attributes["request.id"] = name
            parent = propagation.extract(
                lambda header: get("HTTP_" + header.upper().replace("-", "_"))
            )
            method = environ["REQUEST_METHOD"]
            span, active = self._front.start(attributes, method, scheme, parent)
            request = Request(self._front, span, active, name)
            request.begin(environ, start_response, self._route, parent)
            environ[MARK] = request
            request.enter(parent)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(HOOK, error)
            return None
        return request


_OVER: Environ = {}
"""Stands in for the environ of a request that is over."""


class Request(Exchange):
    """One request being served, and the iterable that its server gets."""

    __slots__ = (
        "_environ",
        "_find_route",
        "_left",
        "_parent",
        "_parts",
        "_source",
        "_start_response",
    )

    def begin(
        self,
        environ: Environ,
        start_response: StartResponse,
        find_route: Callable[[Environ], str | None] | None,
        parent: Context | None,
    ) -> None:
        """Take what the server gave, and the context that came in with the headers."""
        self._parent = parent
        self._environ = environ
        self._start_response = start_response
        self._find_route = find_route
        self._left: int | None = None
        self._source: Any = None
        self._parts: Iterator[bytes] | None = None

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Note what the application says, and pass it on with the request id."""
        try:
            headers = self._head(status, headers)
            if exc_info is not None and exc_info[1] is not None:
                self.failed(exc_info[1])
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(HOOK, error)
        if exc_info is None:
            write = self._start_response(status, headers)
        else:
            write = self._start_response(status, headers, exc_info)

        def counted(part: bytes) -> object:
            self.size += len(part)
            return write(part)

        return counted

    def watch(self, parts: Iterable[bytes]) -> Iterable[bytes]:
        """Return the iterable for the server: *parts*, or this object around them."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(parts, wrapper):
            return self._watch_file(parts)
        if type(parts) in (list, tuple) and self.status is not None:
            # The usual answer of a framework without streaming: nothing is left to happen.
            self.size += sum(map(len, parts))
            self.complete = True
            self.finish()
            return parts
        self._source = parts
        return self

    def _watch_file(self, parts: Any) -> Iterable[bytes]:
        # The server may send the file with a system call, for which it must see its own wrapper.
        self.size = self._left or 0
        self.complete = True
        close = getattr(parts, "close", None)

        def closed() -> None:
            try:
                if close is not None:
                    close()
            finally:
                self.finish()

        try:
            parts.close = closed
        except AttributeError:
            self.finish()
        return parts  # type: ignore[no-any-return] # what the application returned

    def template(self) -> str:
        """Return the template of the route below what the application is mounted under, or ""."""
        if not self.route:
            return ""
        mount: str = self._environ.get("SCRIPT_NAME") or ""
        return f"{mount.rstrip('/')}{self.route}"

    def __iter__(self) -> Iterator[bytes]:
        """Return the iterator over the parts."""
        return self

    def __next__(self) -> bytes:
        """Return the next part; generators of the application run under its span."""
        self.enter(self._parent)
        try:
            if self._parts is None:
                self._parts = iter(self._source)
            part = next(self._parts)
        except StopIteration:
            self._complete()
            raise
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            self.leave()
        self.size += len(part)
        if self._left is not None and self.size >= self._left:
            self._complete()
        return part

    def close(self) -> None:
        """Close what the application returned, and end what has not ended yet."""
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                self.enter(self._parent)
                try:
                    close()
                finally:
                    self.leave()
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            self.finish()

    def finish(self) -> None:
        """Count the request, write its access event and end its span, once."""
        Exchange.finish(self)
        # The environ refers to this object: without the way back both are freed at once, and not
        # when the garbage collector comes.
        self._environ = _OVER

    def _complete(self) -> None:
        # Also an answer of 5xx: unlike in ASGI, the application has returned by now.
        self.complete = True
        self.finish()

    def _head(self, status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        self.status = int(status[:3])
        if self._find_route is not None and self.route is None:
            self.route = self._find_route(self._environ)
        kept = []
        for pair in headers:
            name = pair[0].lower()
            if name == "content-length":
                self._left = body_size(pair[1])
            if name != "x-request-id":
                kept.append(pair)
        kept.append(("X-Request-ID", self.request_id))
        return kept


class WsgiMiddleware:
    """Records the requests of one WSGI application that no integration covers.

    Flask and Django applications need no middleware. Does nothing before `watchkeeper.configure`,
    and nothing to a request that is being recorded already.

    Args:
        app: The application to wrap.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._server: Server | None = None
        self._host: Host | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        host = hosts.current()
        if host is None or MARK in environ:
            return self.app(environ, start_response)
        server = self._server
        if server is None or self._host is not host:
            server = self._server = Server(host)
            self._host = host
        return server.serve(self.app, environ, start_response)


def wrap_call(cls: Any, server: Server) -> Callable[[], None]:
    """Replace ``__call__`` of a WSGI application class; returns the undo function."""
    original = cls.__dict__["__call__"]

    def call(self: Any, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if MARK in environ:
            return original(self, environ, start_response)  # type: ignore[no-any-return] # theirs
        return server.serve(original.__get__(self), environ, start_response)

    return replace(cls, "__call__", call)


def _attributes(environ: Environ, path: str, scheme: str) -> dict[str, Any]:
    get = environ.get
    # PEP 3333: bytes in the clothes of latin-1.
    whole = get("SCRIPT_NAME", "") + path
    protocol = get("SERVER_PROTOCOL", "HTTP/1.1")
    attributes: dict[str, Any] = {
        "url.path": whole[:TEXT_MAX].encode("latin-1", "replace").decode("utf-8", "replace"),
        "network.protocol.version": protocol.rpartition("/")[2],
    }
    query = get("QUERY_STRING")
    if query:
        attributes["url.query"] = masked_query(query)
    client = get("REMOTE_ADDR")
    if client:
        attributes["client.address"] = client
    agent = get("HTTP_USER_AGENT")
    if agent:
        attributes["user_agent.original"] = agent[:TEXT_MAX]
    size = body_size(get("CONTENT_LENGTH"))
    if size is not None:
        attributes["http.request.body.size"] = size
    named = get("HTTP_HOST")
    if named:
        address, port = host_and_port(named, scheme)
    else:
        address, port = get("SERVER_NAME", ""), body_size(get("SERVER_PORT"))
    if address:
        attributes["server.address"] = address
        if port is not None:
            attributes["server.port"] = port
    return attributes
