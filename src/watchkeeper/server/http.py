"""What every request to the server passes: who may ask, which headers go back, what is counted."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchkeeper.clock import Clock
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.vocabulary.limits import limit

__all__ = ["Gate"]

_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_FORM = "form_bytes_max"
_BODIES = {"/api/v2/alerts": "alerts_request_bytes_max"}
"""Paths whose bodies have a limit of their own."""
_SAFE = {"GET", "HEAD", "OPTIONS"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """ASGI middleware around the whole server.

    - A ``Host`` that is not loopback is answered 421: a web page cannot reach us by rebinding
      its own name to 127.0.0.1.
    - A request that a browser sends from another site with a method that changes something is
      answered 403, by ``Sec-Fetch-Site`` or ``Origin``.
    - A body, except of OTLP's routes, is cut at ``form_bytes_max``, one that sends alerts at
      ``alerts_request_bytes_max``, and answered 413.
    - Strict headers go back with every answer; requests are counted by route.
    """

    def __init__(self, app: ASGIApp, metrics: ServerMetrics, clock: Clock) -> None:
        """Wrap *app*."""
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = _refusal(scope["method"], headers)
        began_ns = self._clock.monotonic_ns()
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                outgoing = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    outgoing.setdefault(name, value)
                if not scope["path"].startswith("/assets/"):
                    outgoing.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await (refusal or self._app)(scope, _Bounded(scope, receive), counted)
        finally:
            endpoint = getattr(scope.get("route"), "path", "") or "other"
            took_s = (self._clock.monotonic_ns() - began_ns) / 1e9
            self._metrics.count("watchkeeper.server.requests", endpoint, str(status or 500))
            self._metrics.observe("watchkeeper.server.request.duration", took_s, endpoint)


class _Bounded:
    """Hands on a request's body up to the limit; OTLP's own routes have their own limit."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._limit = _BODIES.get(scope["path"], _FORM)
        self._left = None if scope["path"].startswith("/v1/") else limit(self._limit)

    async def __call__(self) -> Message:
        message = await self._receive()
        if self._left is not None and message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                most = limit(self._limit)
                raise HTTPException(
                    413,
                    f"request too large: got more than {most} bytes. "
                    f"Accepted: up to {most} ({self._limit}). Next: send less.",
                )
        return message


def _refusal(method: str, headers: Headers) -> PlainTextResponse | None:
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.lower() not in _HOSTS:
        return PlainTextResponse(
            f"unknown Host: got {host[:80]!r}. Accepted: 127.0.0.1 and localhost. "
            "Next: open the server by one of these names.\n",
            status_code=421,
        )
    if method in _SAFE:
        return None
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    foreign = site not in (None, "same-origin", "none") or (
        site is None and origin is not None and urlsplit(origin).netloc != host
    )
    if foreign:
        return PlainTextResponse(
            f"cross-site request refused: got origin {(origin or site or '')[:80]!r}. "
            "Accepted: requests of this server's own pages. Next: use the page itself.\n",
            status_code=403,
        )
    return None
