"""httpx: a client span per request, with W3C trace context out.

The span ends when the answer's head is there (or its body, if it is not streamed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from watchkeeper.instrument import redaction
from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument", "wrap_clients"]

_HOOK = "http.client"
_URL_MAX = 2_048


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every httpx client.

    Returns:
        A function that undoes it.
    """
    import httpx

    return wrap_clients(httpx, host)


def wrap_clients(library: Any, host: Host) -> Callable[[], None]:
    """Replace ``send`` of ``Client`` and ``AsyncClient`` of *library*; returns the undo function."""
    send, asend = library.Client.send, library.AsyncClient.send

    def call(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begin(host, request)
        try:
            response = send(self, request, *args, **kwargs)
        except BaseException as error:
            _end(span, None, error)
            raise
        _end(span, response, None)
        return response

    async def acall(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begin(host, request)
        try:
            response = await asend(self, request, *args, **kwargs)
        except BaseException as error:
            _end(span, None, error)
            raise
        _end(span, response, None)
        return response

    return all_of(
        replace(library.Client, "send", call), replace(library.AsyncClient, "send", acall)
    )


def _begin(host: Host, request: Any) -> RecordedSpan | None:
    try:
        url = request.url
        path = url.path
        attributes: dict[str, Any] = {
            "http.request.method": request.method,
            "url.full": _full(url, path),
            "server.address": url.host,
            "server.port": url.port or (443 if url.scheme == "https" else 80),
        }
        span = host.recorder.start(request.method, SpanKind.CLIENT, attributes)
        if "traceparent" not in request.headers:
            propagation.inject(span, request.headers.__setitem__)
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, error)
        return None
    return span


def _full(url: Any, path: str) -> str:
    # Without user information, and with sensitive values of the query masked.
    full = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{path}"
    query = url.query.decode("ascii", "replace")
    return (f"{full}?{redaction.query(query)}" if query else full)[:_URL_MAX]


def _end(span: RecordedSpan | None, response: Any, error: BaseException | None) -> None:
    if span is None:
        return
    try:
        if error is not None:
            span.attributes["error.type"] = error_type(error)
            span.fail(error, record=isinstance(error, Exception))
        else:
            status = response.status_code
            span.attributes["http.response.status_code"] = status
            if status >= 400:
                span.attributes["error.type"] = str(status)
                span.set_status(StatusCode.ERROR)
        span.end()
    except Exception as failure:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, failure)
