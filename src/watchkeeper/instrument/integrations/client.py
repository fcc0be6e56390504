"""What every HTTP client integration has in common: one client span per request that is sent.

The span covers what the caller waits for: redirects that the library follows, and the answer's head
(its body too, if it is not streamed). The metric ``http.client.request.duration`` derives from it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from opentelemetry import context as api
from opentelemetry.trace import SpanKind, StatusCode

from watchkeeper.instrument import context, redaction
from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["HOOK", "begin", "end", "full_url", "suppressed"]

HOOK = "http.client"
_URL_MAX = 2_048
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_SUPPRESSED: tuple[str, ...] = tuple(
    getattr(api, name)
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    if hasattr(api, name)
)
"""Keys by which exporters of the OpenTelemetry SDK, and its other integrations, ask for silence."""


def suppressed() -> bool:
    """Tell whether whoever sends now does not want to be traced: an exporter of telemetry."""
    values = api.get_current()
    return any(values.get(key) for key in ("suppress_instrumentation", *_SUPPRESSED))


def begin(
    host: Host,
    *,
    method: str,
    url: str,
    address: str,
    port: int | None,
    headers: MutableMapping[str, Any] | None,
) -> RecordedSpan | None:
    """Start the span of one request and write its trace context into *headers*.

    Args:
        host: The running instrumentation.
        method: Method of the request.
        url: The whole address, as `full_url` returns it.
        address: Name of the host.
        port: Its port.
        headers: The request's headers; a trace context that is there stays. None writes nothing.

    Returns:
        The span for `end`, or None if this request is not recorded.
    """
    if suppressed():
        return None
    name = method if method in _METHODS else "HTTP"
    attributes: dict[str, Any] = {
        "http.request.method": method if name == method else "_OTHER",
        "url.full": url,
        "server.address": address,
    }
    if port is not None:
        attributes["server.port"] = port
    span = host.recorder.start(name, SpanKind.CLIENT, attributes)
    if headers is not None:
        if "traceparent" not in headers:
            propagation.inject(span, headers.__setitem__)
        if host.settings.send_request_id and "x-request-id" not in headers:
            name_of = context.request_id()
            if name_of:
                headers["x-request-id"] = name_of
    return span


def end(span: RecordedSpan | None, status: int | None, error: BaseException | None) -> None:
    """End the span of a request with the status of its answer, or with its error."""
    if span is None:
        return
    try:
        if error is not None:
            span.attributes["error.type"] = error_type(error)
            span.fail(error, record=isinstance(error, Exception))
        elif status is not None:
            span.attributes["http.response.status_code"] = status
            if status >= 400:
                span.attributes["error.type"] = str(status)
                span.set_status(StatusCode.ERROR)
        span.end()
    except Exception as failure:  # noqa: BLE001 - never into the application
        record_failure(HOOK, failure)


def full_url(scheme: str, authority: str, path: str, query: str) -> str:
    """Return an address as a span may show it.

    Args:
        scheme: ``http`` or ``https``.
        authority: Host and port; user information in it is left out.
        path: Path, encoded.
        query: Query without its question mark; values of sensitive names are masked.
    """
    _, _, server = authority.rpartition("@")
    full = f"{scheme}://{server}{path}"
    if query:
        full = f"{full}?{redaction.query(query[: _URL_MAX + redaction.MARGIN])}"
    return full if len(full) <= _URL_MAX else redaction.cut(full, _URL_MAX)
