"""The metrics that HTTP spans stand for, of servers and of clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.trace import StatusCode

from watchkeeper.instrument.exemplars import left_out
from watchkeeper.instrument.metrics import Histogram, MetricSet
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["HttpMetrics"]

_CACHE_MAX = 4_096
"""Label combinations that a cache holds before it starts again; the families have their own limit."""

_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_OURS = "watchkeeper"


class _Served(NamedTuple):
    """The series of one combination of labels."""

    duration: Histogram
    sent: Histogram
    labels: tuple[str, ...]


class HttpMetrics:
    """Updates the HTTP metrics of one process from its ended spans.

    Args:
        metrics: The process's metrics.
    """

    def __init__(self, metrics: MetricSet) -> None:
        self._server = metrics.histogram("http.server.request.duration")
        self._sent = metrics.histogram("http.server.response.body.size")
        self._received = metrics.histogram("http.server.request.body.size")
        self._client = metrics.histogram("http.client.request.duration")
        self._servers: dict[tuple[Any, ...], _Served] = {}
        self._clients: dict[tuple[Any, ...], Histogram] = {}

    def on_server(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        """Count a request that was served.

        A server span of another library below a span of the same process is a second view of a
        request that counts already: nothing is counted for it.
        """
        if span.parent_id and not span.parent_remote and span.scope_name != _OURS:
            return
        get = attributes.get
        template = span.template
        if template is not None and template.owner is self:
            found = template.series.get(
                (get("http.route"), get("http.response.status_code"), get("error.type"))
            )
        else:
            found = None
        if found is None:
            found = self._found(span, attributes)
        # The exemplar is written out here: a call less for each request.
        found.duration.observe(
            (span.end_ns - span.start_ns) / 1e9,
            (span.trace_id, span.span_id) if span.flags & 1 else left_out(span),
        )
        if "http.response.body.size" in attributes:
            found.sent.observe(attributes["http.response.body.size"])
        if "http.request.body.size" in attributes:
            self._received.child(found.labels).observe(attributes["http.request.body.size"])

    def _found(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> _Served:
        get = attributes.get
        method = get("http.request.method")
        if method is None:
            method = get("http.method")
        status = get("http.response.status_code")
        if status is None:
            status = get("http.status_code")
        key = (method, get("http.route"), status, get("url.scheme"), get("error.type"))
        found = self._servers.get(key)
        if found is None:
            found = self._served(key, span)
        template = span.template
        if template is not None:
            # Its method and scheme are those of the template.
            if template.owner is not self or len(template.series) >= _CACHE_MAX:
                template.owner, template.series = self, {}
            template.series[key[1], key[2], key[4]] = found
        return found

    def on_client(self, span: RecordedSpan, attributes: Mapping[str, Any]) -> None:
        """Count a request that was sent."""
        get = attributes.get
        key = (
            attributes["http.request.method"],
            get("server.address"),
            get("server.port"),
            get("http.response.status_code"),
            get("error.type"),
            span.status_code is StatusCode.ERROR,
        )
        child = self._clients.get(key)
        if child is None:
            method, address, port, status, error, failed = key
            labels = (
                method if method in _METHODS else "_OTHER",
                _text(address),
                _text(port),
                _text(status),
                _text(error) or ("_OTHER" if failed else ""),
            )
            if len(self._clients) >= _CACHE_MAX:
                self._clients.clear()
            child = self._clients[key] = self._client.child(labels)
        child.observe(
            (span.end_ns - span.start_ns) / 1e9,
            (span.trace_id, span.span_id) if span.flags & 1 else left_out(span),
        )

    def _served(self, key: tuple[Any, ...], span: RecordedSpan) -> _Served:
        method, route, status, scheme, error = key
        failed = span.status_code is StatusCode.ERROR
        labels = (
            method if method in _METHODS else "_OTHER",
            _text(route),
            _text(status),
            _text(scheme or span.attributes.get("http.scheme")),
        )
        child = self._server.child((*labels, _text(error) or ("_OTHER" if failed else "")))
        if len(self._servers) >= _CACHE_MAX:
            self._servers.clear()
        found = self._servers[key] = _Served(child, self._sent.child(labels), labels)
        return found


def _text(value: object) -> str:
    return "" if value is None else str(value)
