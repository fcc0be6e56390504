"""What every HTTP server integration has in common: one request from its head to its end.

`Front` reads heads and keeps what is shared between requests; `Exchange` is one request: its span,
its place among the requests in flight, and at its end the access event. How bytes travel is up to
`asgi` and `wsgi`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from random import getrandbits
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from watchkeeper.instrument import redaction
from watchkeeper.instrument.context import BOUND, Bound, remember
from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.integrations.scrape import Scraper
from watchkeeper.instrument.metrics import Gauge
from watchkeeper.instrument.recorder.contexts import current_span
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["HOOK", "MARK", "TEXT_MAX", "Exchange", "Front", "body_size", "host_and_port"]

MARK = "watchkeeper"
"""Key of a request's `Exchange` in its ASGI scope or WSGI environ, so that nobody records it twice."""

HOOK = "http.server"
TEXT_MAX = 2_048
_NAMES_MAX = 4_096
"""Names that are remembered; the memory starts anew past it."""
METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_REQUEST_ID_CHARS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+=@"
)
_REQUEST_ID_MAX = 128
_SIZE_DIGITS_MAX = 15
_PORTS = {"http": 80, "https": 443}
_SCHEMES = frozenset(_PORTS)
_LEVELS = ("info", "info", "info", "info", "warning", "error")


class Front:
    """What the requests of one kind of server share.

    Args:
        host: The running instrumentation.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.metrics_path = host.settings.metrics_path
        self.pages = host.pages
        self.scraper = Scraper(host)
        self.baggage_keys = host.settings.baggage_keys
        self.quiet = frozenset(host.settings.access_log_exclude)
        self._active = host.metrics.gauge("http.server.active_requests")
        self._children: dict[tuple[str, str], Gauge] = {}
        self.names: dict[tuple[str, str], str] = {}
        """Names of spans by method and route: one text for each, whose hash is known."""

    def start(
        self, attributes: dict[str, Any], method: str, scheme: str, parent: Context | None
    ) -> tuple[RecordedSpan, Gauge]:
        """Start the server span of a request, and return it with its gauge of requests in flight.

        Args:
            attributes: Attributes of the span; method and scheme are added.
            method: As the client gave it.
            scheme: ``http`` or ``https``; others are not counted apart.
            parent: The remote parent, or None.
        """
        name, active = self.named(attributes, method, scheme)
        return self.host.recorder.start(name, SpanKind.SERVER, attributes, parent), active

    def named(self, attributes: dict[str, Any], method: str, scheme: str) -> tuple[str, Gauge]:
        """Add method and scheme to *attributes*; return the span's name and the gauge."""
        name = method
        if method not in METHODS:
            method, name = "_OTHER", "HTTP"
        if scheme not in _SCHEMES:
            scheme = "http"
        attributes["http.request.method"] = method
        attributes["url.scheme"] = scheme
        key = (method, scheme)
        active = self._children.get(key)
        if active is None:
            active = self._children[key] = self._active.child(key)
        return name, active


class Exchange:
    """One request being served.

    Args:
        front: What it shares with others.
        span: Its server span.
        active: Counts it while it is served.
        request_id: Its id.
    """

    route: str | None = None
    """Template of the route, where the framework's integration has told it."""
    status: int | None = None
    size = 0
    """Bytes of the body so far."""
    complete = False
    """The whole answer was handed to the server, or is about to be."""
    finished = False
    at_end: Callable[[], None] | None = None
    """Called once when the request ends, within its context."""
    end_ns: int | None = None
    _error: BaseException | None = None
    _outside: Token[Context] | None = None
    _bound: Bound | None = None
    _unbind: Token[Bound] | None = None

    def __init__(self, front: Front, span: RecordedSpan, active: Gauge, request_id: str) -> None:
        self._front = front
        self.span = span
        self.request_id = request_id
        self._active = active
        active.inc()

    def enter(self, parent: Context | None = None) -> None:
        """Make the span, the request id and what came in with *parent* current."""
        bound = self._bound
        if bound is None:
            outside = BOUND.get()
            fields = outside.fields
            if parent is not None and self._front.baggage_keys:
                fields = self._carried(parent, fields)
            bound = self._bound = Bound(
                self.request_id, outside.user_id, outside.tenant_id, fields, []
            )
        self._unbind = BOUND.set(bound)
        self._outside = activate(self.span, parent)

    def leave(self) -> None:
        """Make current what was so before; what the application bound comes back with `enter`."""
        outside, unbind = self._outside, self._unbind
        if outside is None or unbind is None:
            return
        self._outside = None
        deactivate(outside)
        found = BOUND.get()
        if found.request_id == self.request_id:
            self._bound = found
        self._unbind = None
        deactivate(unbind)

    def failed(self, error: BaseException) -> None:
        """Learn what the application raised, or what its framework made an answer of."""
        self._error = error
        try:
            span = self.span
            remember(error, span.trace_id, span.span_id, span.flags, self._last_bound())
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(HOOK, failure)

    def template(self) -> str:
        """Return the template of the route, or "" if no route matched."""
        return self.route or ""

    def finish(self) -> None:
        """Count the request, write its access event and end its span, once."""
        if self.finished:
            return
        self.finished = True
        try:
            self._active.dec()
            if self.at_end is not None:
                self.at_end()
            self._describe()
            span = self.span
            end_ns = span.lane.now() if self.end_ns is None else self.end_ns
            # The host's clock may have been set back; an own reading never makes a span negative.
            end_ns = max(end_ns, span.start_ns)
            if span.attributes["url.path"] not in self._front.quiet:
                self._log((end_ns - span.start_ns) / 1e9)
            span.end(end_ns)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(HOOK, error)

    def _last_bound(self) -> Bound:
        """Return what is bound, with user and tenant of a `bind` block that an exception left."""
        bound = BOUND.get()
        own = self._bound
        if own is not None and bound.request_id != self.request_id:
            bound = own
        if not bound.passed:
            return bound
        _, user_id, tenant_id = bound.passed
        return bound.but(
            {"user_id": bound.user_id or user_id, "tenant_id": bound.tenant_id or tenant_id}
        )

    def _carried(
        self, parent: Context, fields: dict[str, object] | None
    ) -> dict[str, object] | None:
        """Put the wanted baggage of *parent* on the span; return *fields* for log lines with it."""
        front = self._front
        carried = propagation.wanted(
            parent, front.baggage_keys, front.host.settings.baggage_value_chars_max
        )
        for name, value in carried.items():
            if name not in self.span.attributes:
                self.span.set_attribute(name, value)
        return {**(fields or {}), **carried} if carried else fields

    def _describe(self) -> None:
        span, status, error = self.span, self.status, self._error
        attributes = span.attributes
        if status is None and isinstance(error, Exception):
            # The server answers 500 for an exception that nobody handled.
            status = self.status = 500
        if status is not None:
            attributes["http.response.status_code"] = status
            attributes["http.response.body.size"] = self.size
        route = self.template()
        if route:
            attributes["http.route"] = route
            names = self._front.names
            named = names.get((span.name, route))
            if named is None:
                if len(names) >= _NAMES_MAX:
                    names.clear()
                named = names[span.name, route] = f"{span.name} {route}"
            span.name = named
        if error is None and self.complete:
            if status is not None and status >= 500:
                attributes["error.type"] = str(status)
                span.set_status(StatusCode.ERROR)
            return
        self._describe_failure(error)

    def _describe_failure(self, error: BaseException | None) -> None:
        span = self.span
        if isinstance(error, Exception) and type(error).__name__ != "ClientDisconnect":
            span.attributes["error.type"] = error_type(error)
            span.fail(error)
        elif error is not None and not isinstance(error, Exception):
            # Cancelled while the answer was on its way: the client went, or the server stops.
            span.attributes["error.type"] = "cancelled"
        elif not self.complete:
            missing = self.status is None and error is None
            kind = "incomplete_response" if missing else "client_disconnect"
            span.attributes["error.type"] = kind

    def _log(self, duration_s: float) -> None:
        attributes = self.span.attributes
        get = attributes.get
        status = self.status
        method, path = attributes["http.request.method"], attributes["url.path"]
        route, client = get("http.route"), get("client.address")
        fields: dict[str, object] = {
            "http.request.method": method,
            "url.path": path,
            "http.route": route,
            "http.response.status_code": status,
            "http.response.body.size": None if status is None else self.size,
            "client.address": client,
            "duration_s": duration_s,
        }
        texts: tuple[object, ...] | None = (method, path, route, client)
        if status is None or "error.type" in attributes:
            fields["error.type"] = get("error.type")
            texts = None
        level = "error" if status is None else _LEVELS[status // 100 if status < 600 else 5]
        event = self._front.host.event
        bound = self._bound
        if bound is not None and bound.passed and (status is None or status >= 400):
            bound = self._last_bound()
        elif bound is None or BOUND.get().request_id == self.request_id:
            if current_span(None) is self.span:
                event("http.request", level, fields, texts)
                return
            bound = BOUND.get()
        # The last part may be sent from elsewhere: from a task, under a span of the application.
        unbind, token = BOUND.set(bound), activate(self.span)
        event("http.request", level, fields, texts)
        deactivate(token)
        BOUND.reset(unbind)


def request_id(given: str | None) -> str:
    """Return the caller's id if it is harmless, else a new one."""
    if (
        given is not None
        and 0 < len(given) <= _REQUEST_ID_MAX
        and _REQUEST_ID_CHARS.issuperset(given)
    ):
        return given
    return f"{getrandbits(128):032x}"


def masked_query(query: str) -> str:
    """Return a query string as a span may show it."""
    shown = redaction.query(query[: TEXT_MAX + redaction.MARGIN])
    return shown if len(shown) <= TEXT_MAX else redaction.cut(shown, TEXT_MAX)


def host_and_port(named: str, scheme: str) -> tuple[str, int | None]:
    """Return name and port of a ``Host`` header."""
    text = named[:TEXT_MAX]
    name, _, port = text.rpartition(":")
    if name and port.isdecimal() and len(port) < 6:
        return name, int(port)
    return text, _PORTS.get(scheme)


def body_size(length: str | bytes | None) -> int | None:
    """Return the number in a ``Content-Length``, or None if there is none."""
    if length and len(length) <= _SIZE_DIGITS_MAX and length.isdigit():
        return int(length)
    return None
