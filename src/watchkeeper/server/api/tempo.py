"""Tempo's HTTP API: traces by id, search, tags and their values.

Source: Grafana Tempo documentation, "HTTP API".
"""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from anyio import to_thread
from google.protobuf.json_format import MessageToDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchkeeper.errors import QueryError, QueryLimitError, QueryParseError
from watchkeeper.server.api.params import integer, moment_ns
from watchkeeper.server.store.store import Store
from watchkeeper.server.tokens import duration_ns
from watchkeeper.server.tracesearch.ast import Comparison, Condition, Field, Logical, SpansetFilter
from watchkeeper.server.tracesearch.otlp import traces_data
from watchkeeper.server.tracesearch.parser import INTRINSICS, parse, parse_field
from watchkeeper.server.tracesearch.search import (
    TraceSummary,
    Window,
    search,
    tag_names,
    tag_values,
    trace_by_id,
)
from watchkeeper.vocabulary.limits import limit

__all__ = ["routes"]

Handler = Callable[[Request], Awaitable[Response]]


def routes(store: Store) -> list[Route]:
    """Return Tempo's routes over *store*."""

    def on(path: str, answer: Callable[[Store, Request], Response]) -> Route:
        return Route(path, _handler(store, answer), methods=["GET"])

    return [
        on("/api/echo", lambda _store, _request: Response("echo", media_type="text/plain")),
        on("/api/traces/{trace_id}", _trace_v1),
        on("/api/v2/traces/{trace_id}", _trace_v2),
        on("/api/search", _search),
        on("/api/search/tags", _tags_v1),
        on("/api/v2/search/tags", _tags_v2),
        on("/api/search/tag/{tag:path}/values", _values_v1),
        on("/api/v2/search/tag/{tag:path}/values", _values_v2),
    ]


def _handler(store: Store, answer: Callable[[Store, Request], Response]) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await to_thread.run_sync(answer, store, request)
        except QueryLimitError as error:
            return _text(422, str(error))
        except QueryError as error:
            return _text(400, str(error))

    return handle


def _text(status: int, message: str) -> Response:
    return Response(message, status_code=status, media_type="text/plain; charset=utf-8")


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _window(params: Mapping[str, str]) -> Window:
    return Window(moment_ns(params, "start"), moment_ns(params, "end"))


def _trace_id(text: str) -> bytes:
    if not 1 <= len(text) <= 32 or any(char not in string.hexdigits for char in text):
        raise QueryParseError(
            f"not a trace id: got {text[:100]!r}. Accepted: up to 32 hexadecimal digits. "
            "Next: copy the id from a log line or a trace link."
        )
    return bytes.fromhex(text.rjust(32, "0"))


def _trace_v1(store: Store, request: Request) -> Response:
    return _trace(store, request, version=1)


def _trace_v2(store: Store, request: Request) -> Response:
    return _trace(store, request, version=2)


def _trace(store: Store, request: Request, *, version: int) -> Response:
    trace_id = _trace_id(request.path_params["trace_id"])
    spans, left_out = trace_by_id(store, trace_id, _window(request.query_params))
    if not spans:
        return _text(404, f"trace not found: {trace_id.hex()}")
    data = traces_data(spans)
    if "application/protobuf" in request.headers.get("accept", ""):
        body = data.SerializeToString()
        if version == 2:
            body = b"\x0a" + _varint(len(body)) + body  # TraceByIDResponse.trace is field 1
        return Response(body, media_type="application/protobuf")
    groups = MessageToDict(data).get("resourceSpans", [])
    if version == 1:
        return _json({"batches": groups})
    answer: dict[str, Any] = {"trace": {"resourceSpans": groups}, "metrics": {}}
    if left_out:
        answer |= {"status": "PARTIAL", "message": f"{left_out} spans left out (trace_spans_max)"}
    return _json(answer)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _search(store: Store, request: Request) -> Response:
    params = request.query_params
    most = integer(params, "limit", 20, most=limit("search_traces_max"))
    query = parse(params.get("q", "")) if params.get("q") else _legacy(params)
    found = search(store, query, _window(params), limit_traces=most)
    return _json(
        {"traces": [_summary(trace) for trace in found], "metrics": {"inspectedTraces": len(found)}}
    )


def _summary(trace: TraceSummary) -> dict[str, Any]:
    return {
        "traceID": trace.trace_id,
        "rootServiceName": trace.root_service or "<root span not yet received>",
        "rootTraceName": trace.root_name,
        "startTimeUnixNano": str(trace.start_ns),
        "durationMs": (trace.end_ns - trace.start_ns) // 1_000_000,
        "spanSet": {"spans": [], "matched": trace.matched},
        "spanSets": [{"spans": [], "matched": trace.matched}],
        "serviceStats": {
            service: {"spanCount": stats.spans, "errorCount": stats.errors}
            for service, stats in sorted(trace.services.items())
        },
    }


def _legacy(params: Mapping[str, str]) -> SpansetFilter:
    """Return the search by ``tags``, ``minDuration`` and ``maxDuration`` as a spanset."""
    tests: list[Condition] = []
    for pair in params.get("tags", "").split():
        key, equals, value = pair.partition("=")
        if not equals:
            raise QueryParseError(
                f"tags is not logfmt: got {pair[:100]!r}. Accepted: key=value pairs. "
                "Next: separate name and value by '='."
            )
        value = value.strip('"')
        if key == "error" and value == "true":
            tests.append(Comparison(Field("intrinsic", "status"), "=", 2))
        else:
            field = parse_field(key) if key == "name" else Field("any", key)
            tests.append(Comparison(field or Field("any", key), "=", value))
    for name, op in (("minDuration", ">="), ("maxDuration", "<=")):
        if params.get(name):
            wanted = duration_ns(params[name])
            tests.append(Comparison(Field("intrinsic", "traceDuration"), op, wanted))
    condition: Condition | None = None
    for test in tests:
        condition = test if condition is None else Logical("&&", condition, test)
    return SpansetFilter(condition)


_SHOWN_INTRINSICS = sorted({name for name in INTRINSICS if ":" not in name})


def _tags_v1(store: Store, request: Request) -> Response:
    found = tag_names(store, _window(request.query_params))
    return _json({"tagNames": sorted({*found["span"], *found["resource"]})})


def _tags_v2(store: Store, request: Request) -> Response:
    found = tag_names(store, _window(request.query_params))
    scopes = [{"name": scope, "tags": tags} for scope, tags in found.items()]
    wanted = request.query_params.get("scope", "")
    scopes.append({"name": "intrinsic", "tags": _SHOWN_INTRINSICS})
    return _json({"scopes": [entry for entry in scopes if wanted in ("", entry["name"])]})


def _values(store: Store, request: Request) -> list[tuple[str, str]]:
    tag = request.path_params["tag"]
    if tag == "service.name":
        field = Field("resource", tag)
    else:
        field = parse_field(tag) or Field("any", tag)
    return tag_values(store, field.scope, field.name, _window(request.query_params))


def _values_v1(store: Store, request: Request) -> Response:
    return _json({"tagValues": [value for _, value in _values(store, request)]})


def _values_v2(store: Store, request: Request) -> Response:
    pairs = _values(store, request)
    return _json({"tagValues": [{"type": kind, "value": value} for kind, value in pairs]})
