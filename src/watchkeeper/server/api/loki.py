"""Loki's HTTP API: log queries, labels and series.

Source: Grafana Loki documentation, "Loki HTTP API".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchkeeper.clock import Clock
from watchkeeper.errors import QueryError, QueryLimitError, QueryParseError
from watchkeeper.server.api.params import integer, moment_ns
from watchkeeper.server.logsearch.ast import LogQuery
from watchkeeper.server.logsearch.evaluate import Numbers, evaluate, lines, streams
from watchkeeper.server.logsearch.parser import parse, parse_selector
from watchkeeper.server.logsearch.scan import Kept
from watchkeeper.server.series import Matcher, MatchOp
from watchkeeper.server.store.store import Store
from watchkeeper.server.tokens import duration_ns
from watchkeeper.vocabulary.limits import limit

__all__ = ["routes"]

_HOUR_NS = 3_600_000_000_000
_ALL = (Matcher("service_name", MatchOp.REGEX, ".+"),)
_CATEGORIZE = "categorize-labels"

Answer = Callable[[Store, int, Mapping[str, str], Request], Response]


def routes(store: Store, clock: Clock) -> list[Route]:
    """Return Loki's routes over *store*."""

    def on(path: str, answer: Answer) -> Route:
        return Route(path, _handler(store, clock, answer), methods=["GET", "POST"])

    return [
        on("/loki/api/v1/query_range", _query_range),
        on("/loki/api/v1/query", _query),
        on("/loki/api/v1/labels", _labels),
        on("/loki/api/v1/label/{name}/values", _label_values),
        on("/loki/api/v1/series", _series),
        on("/loki/api/v1/status/buildinfo", lambda *_: _json({"version": "3.0.0"})),
    ]


def _handler(
    store: Store, clock: Clock, answer: Answer
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        params: dict[str, str] = dict(request.query_params)
        if request.method == "POST":
            form = await request.form()
            params |= {key: value for key, value in form.items() if isinstance(value, str)}
        try:
            return await to_thread.run_sync(answer, store, clock.now_ns(), params, request)
        except QueryLimitError as error:
            return Response(str(error), 422, media_type="text/plain; charset=utf-8")
        except QueryError as error:
            return Response(str(error), 400, media_type="text/plain; charset=utf-8")

    return handle


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _success(kind: str, result: list[dict[str, Any]], flags: list[str] | None = None) -> Response:
    data: dict[str, Any] = {"resultType": kind, "result": result, "stats": {}}
    if flags:
        data["encodingFlags"] = flags
    return _json({"status": "success", "data": data})


def _bounds(params: Mapping[str, str], now_ns: int) -> tuple[int, int]:
    end = moment_ns(params, "end")
    end = now_ns if end is None else end
    start = moment_ns(params, "start")
    if start is None:
        since = params.get("since")
        start = end - (duration_ns(since) if since else _HOUR_NS)
    if start > end:
        raise QueryParseError(
            f"start lies after end: got start={start} and end={end} (ns). "
            "Accepted: start before end. Next: swap them."
        )
    return start, end


def _step_ns(params: Mapping[str, str], start_ns: int, end_ns: int) -> int:
    text = params.get("step", "")
    if not text:
        return max(1_000_000_000, (end_ns - start_ns) // 250 // 1_000_000_000 * 1_000_000_000)
    try:
        step = round(float(text) * 1e9)
    except ValueError:
        step = duration_ns(text)
    if step <= 0:
        raise QueryParseError(
            f"step must be positive: got {text[:100]!r}. Accepted: seconds or a duration as 15s. "
            "Next: correct the parameter."
        )
    return step


def _query_range(
    store: Store, now_ns: int, params: Mapping[str, str], request: Request
) -> Response:
    query = parse(params.get("query", ""))
    start, end = _bounds(params, now_ns)
    if isinstance(query, LogQuery):
        return _log_answer(store, query, params, request, (start, end))
    step = _step_ns(params, start, end)
    if (end - start) // step + 1 > limit("query_points_max"):
        raise QueryLimitError(
            f"too many points: got {(end - start) // step + 1}. Accepted: up to "
            f"{limit('query_points_max')}. Next: use a longer step."
        )
    steps = np.arange(start, end + 1, step, dtype=np.int64)
    return _success("matrix", _matrix(evaluate(store, query, steps), steps))


def _query(store: Store, now_ns: int, params: Mapping[str, str], request: Request) -> Response:
    query = parse(params.get("query", ""))
    at = moment_ns(params, "time")
    at = now_ns if at is None else at
    if isinstance(query, LogQuery):
        return _log_answer(store, query, params, request, (at - _HOUR_NS, at + 1))
    numbers = evaluate(store, query, np.array([at], dtype=np.int64))
    result = [
        {"metric": dict(labels), "value": [at / 1e9, _number(values[0])]}
        for labels, values in sorted(numbers.series.items())
        if not np.isnan(values[0])
    ]
    return _success("vector", result)


def _log_answer(
    store: Store,
    query: LogQuery,
    params: Mapping[str, str],
    request: Request,
    bounds: tuple[int, int],
) -> Response:
    most = integer(params, "limit", 100, most=limit("log_lines_max"))
    forward = params.get("direction", "backward").lower() == "forward"
    kept = lines(store, query, *bounds, most=most, forward=forward)
    flags = request.headers.get("x-loki-response-encoding-flags", "")
    if _CATEGORIZE in flags:
        return _success("streams", _categorized(kept), [_CATEGORIZE])
    return _success("streams", _merged(kept))


def _merged(kept: list[Kept]) -> list[dict[str, Any]]:
    found: dict[tuple[tuple[str, str], ...], list[list[str]]] = {}
    for entry in kept:
        labels = {**entry.metadata, **entry.stream, **entry.parsed}
        values = found.setdefault(tuple(sorted(labels.items())), [])
        values.append([str(entry.line.time_ns), entry.line.body])
    return [{"stream": dict(labels), "values": values} for labels, values in found.items()]


def _categorized(kept: list[Kept]) -> list[dict[str, Any]]:
    found: dict[tuple[tuple[str, str], ...], list[list[Any]]] = {}
    for entry in kept:
        values = found.setdefault(tuple(sorted(entry.stream.items())), [])
        extra: dict[str, dict[str, str]] = {}
        if entry.metadata:
            extra["structuredMetadata"] = entry.metadata
        if entry.parsed:
            extra["parsed"] = entry.parsed
        values.append([str(entry.line.time_ns), entry.line.body, extra])
    return [{"stream": dict(labels), "values": values} for labels, values in found.items()]


def _number(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def _matrix(numbers: Numbers, steps: Any) -> list[dict[str, Any]]:
    result = []
    for labels, values in sorted(numbers.series.items()):
        points = [
            [int(at) / 1e9, _number(value)]
            for at, value in zip(steps, values, strict=True)
            if not np.isnan(value)
        ]
        result.append({"metric": dict(labels), "values": points})
    return result


def _found_streams(
    store: Store, now_ns: int, params: Mapping[str, str], name: str = "query"
) -> list[dict[str, str]]:
    matchers = parse_selector(params[name]) if params.get(name) else _ALL
    return streams(store, LogQuery(matchers, ()), *_bounds(params, now_ns))


def _labels(store: Store, now_ns: int, params: Mapping[str, str], _request: Request) -> Response:
    found = _found_streams(store, now_ns, params)
    names = sorted({name for labels in found for name in labels})
    return _json({"status": "success", "data": names})


def _label_values(
    store: Store, now_ns: int, params: Mapping[str, str], request: Request
) -> Response:
    found = _found_streams(store, now_ns, params)
    name = request.path_params["name"]
    values = sorted({labels[name] for labels in found if name in labels})
    return _json({"status": "success", "data": values})


def _series(store: Store, now_ns: int, params: Mapping[str, str], _request: Request) -> Response:
    return _json({"status": "success", "data": _found_streams(store, now_ns, params, "match[]")})
