"""Prometheus' HTTP API over our engine and store.

Source: Prometheus documentation, "HTTP API", version 3, and its OpenAPI description.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import (
    IngestError,
    QueryError,
    QueryLimitError,
    QueryParseError,
    QueryRefusedError,
    WatchkeeperError,
)
from watchkeeper.server.api import prometheus_status as status
from watchkeeper.server.api.prometheus_json import failure, query_answer, success
from watchkeeper.server.api.prometheus_params import Params, unescaped_label
from watchkeeper.server.promql.ast import Selector, walk
from watchkeeper.server.promql.budget import (
    QueryCanceledError,
    QueryExecutionError,
    QueryShapeError,
    QueryTimeoutError,
)
from watchkeeper.server.promql.engine import Engine, Options, Result
from watchkeeper.server.promql.numbers import sample_text
from watchkeeper.server.promql.parser import parse
from watchkeeper.server.series import Exemplar, Labels, Matcher
from watchkeeper.server.store.rows import Family
from watchkeeper.vocabulary.limits import limit

__all__ = ["MetricStore", "RulesView", "TargetsView", "routes"]

_BOTH = ("GET", "POST")
_FOREVER_MS = 9_000_000_000_000_000


class MetricStore(Protocol):
    """What the API asks of a store beside samples. Thread-safe; bounds inclusive, in Unix ms."""

    def exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Exemplar]:
        """Return exemplars of matching series, oldest first."""
        ...

    def label_names(
        self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int | None, end_ms: int | None
    ) -> list[str]:
        """Return the label names of series that satisfy at least one set; all if none is given."""
        ...

    def label_values(
        self,
        name: str,
        matcher_sets: Sequence[Sequence[Matcher]],
        start_ms: int | None,
        end_ms: int | None,
    ) -> list[str]:
        """Return the values of one label, over series as in `label_names`."""
        ...

    def series(
        self, matcher_sets: Iterable[Sequence[Matcher]], start_ms: int | None, end_ms: int | None
    ) -> list[Labels]:
        """Return the series that satisfy at least one set."""
        ...

    def families(self) -> list[Family]:
        """Return the metadata of metric families."""
        ...


class RulesView(Protocol):
    """Where rules and alerts are read."""

    def groups(self) -> list[dict[str, Any]]:
        """Return rule groups in the JSON shape of Prometheus' ``/api/v1/rules``."""
        ...

    @property
    def errors(self) -> Mapping[str, str]:
        """What was wrong at the last load, by file."""
        ...

    @property
    def good_ms(self) -> int:
        """When everything was last loaded without an error, Unix milliseconds."""
        ...


class TargetsView(Protocol):
    """Where scrape targets are read."""

    def targets(self) -> list[dict[str, Any]]:
        """Return active targets in the shape of Prometheus' ``/api/v1/targets``.

        The time of the last scrape is ``last_scrape_ms`` (Unix milliseconds, 0 for never).
        """
        ...


class _Parts(NamedTuple):
    engine: Engine
    store: MetricStore
    clock: Clock
    started_ns: int


Answer = Callable[[_Parts, Params, Callable[[], bool]], bytes]


def routes(
    engine: Engine,
    store: MetricStore,
    rules_view: RulesView | None = None,
    targets_view: TargetsView | None = None,
    *,
    clock: Clock | None = None,
    concurrency: int = limit("query_concurrency_max"),
) -> list[Route]:
    """Return the routes below ``/api/v1``.

    Args:
        engine: Answers queries.
        store: Answers for labels, series, exemplars and metadata.
        rules_view: Where rules and alerts are read; none means no rules.
        targets_view: Where targets are read; none means no targets.
        clock: The present, for queries that name no time.
        concurrency: Requests that are worked on at once (``query_concurrency_max``).
    """
    clock = clock or SystemClock()
    gate = _Gate(_Parts(engine, store, clock, clock.now_ns()), concurrency)

    def on(path: str, answer: Answer, methods: tuple[str, ...] = ("GET",)) -> Route:
        return Route(f"/api/v1/{path}", gate.handler(answer), methods=list(methods))

    def groups() -> list[dict[str, Any]]:
        return [] if rules_view is None else rules_view.groups()

    def targets() -> list[dict[str, Any]]:
        return [] if targets_view is None else targets_view.targets()

    return [
        on("query", _query, _BOTH),
        on("query_range", _query_range, _BOTH),
        on("query_exemplars", _query_exemplars, _BOTH),
        on("series", _series, _BOTH),
        on("labels", _labels, _BOTH),
        Route("/api/v1/label/{name:path}/values", gate.label_values, methods=["GET"]),
        on("metadata", _metadata),
        on("rules", lambda _, params, __: status.rules(groups(), params)),
        on("alerts", lambda *_: status.alerts(groups())),
        on("targets", lambda _, params, __: status.targets(targets(), params)),
        on("alertmanagers", lambda *_: status.alertmanagers()),
        on("status/buildinfo", lambda *_: status.buildinfo()),
        on("status/flags", lambda parts, *_: status.flags(parts.engine.timeout_s)),
        on(
            "status/runtimeinfo",
            lambda parts, *_: status.runtimeinfo(
                parts.started_ns,
                parts.clock,
                loaded=rules_view is None or not rules_view.errors,
                loaded_ms=0 if rules_view is None else rules_view.good_ms,
            ),
        ),
        on("status/tsdb", lambda parts, params, _: _tsdb(parts, params)),
    ]


class _Gate:
    """Runs answers in threads, a bounded number at once, and stops those nobody waits for."""

    def __init__(self, parts: _Parts, concurrency: int) -> None:
        self._parts = parts
        self._limiter = anyio.CapacityLimiter(concurrency)

    def handler(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await self._respond(request, answer)

        return handle

    async def label_values(self, request: Request) -> Response:
        name = unescaped_label(request.path_params["name"])
        return await self._respond(request, partial(_label_values, name))

    async def _respond(self, request: Request, answer: Answer) -> Response:
        code, body = await self._result(request, answer)
        return Response(body, code, media_type="application/json")

    async def _result(self, request: Request, answer: Answer) -> tuple[int, bytes]:
        gone = threading.Event()
        try:
            params = await Params.of(request)
            with anyio.fail_after(self._parts.engine.timeout_s):
                borrower = object()
                await self._limiter.acquire_on_behalf_of(borrower)
        except ClientDisconnect:
            return 499, b""
        except TimeoutError:
            return 503, failure(
                "timeout",
                "query timed out in the queue: got no free place. Accepted: "
                f"{self._limiter.total_tokens:g} queries at once (query_concurrency_max). "
                "Next: ask again later.",
            )
        except IngestError as error:
            return 413, failure("bad_data", str(error))
        try:
            return await self._work(
                request, partial(answer, self._parts, params, gone.is_set), gone
            )
        finally:
            self._limiter.release_on_behalf_of(borrower)

    @staticmethod
    async def _work(
        request: Request, work: Callable[[], bytes], gone: threading.Event
    ) -> tuple[int, bytes]:
        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            gone.set()

        outcome: tuple[int, bytes] = (500, b"")
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            outcome = await to_thread.run_sync(_attempt, work)
            group.cancel_scope.cancel()
        return outcome


def _attempt(work: Callable[[], bytes]) -> tuple[int, bytes]:
    """Do *work* and translate what goes wrong into Prometheus' codes."""
    try:
        return 200, work()
    except QueryTimeoutError as error:
        return 503, failure("timeout", str(error))
    except QueryCanceledError as error:
        return 503, failure("canceled", str(error))
    except (QueryShapeError, QueryParseError, QueryRefusedError) as error:
        return 400, failure("bad_data", str(error))
    except (QueryLimitError, QueryExecutionError) as error:
        return 422, failure("execution", str(error))
    except QueryError as error:
        return 400, failure("bad_data", str(error))
    except RecursionError:
        return 422, failure("execution", "query nested too deeply to be evaluated")
    except WatchkeeperError as error:
        return 500, failure("internal", str(error))


def _options(params: Params, cancelled: Callable[[], bool]) -> Options:
    timeout, lookback = params.duration_ms("timeout"), params.duration_ms("lookback_delta")
    return Options(
        timeout_s=None if timeout is None else timeout / 1000,
        lookback_s=None if lookback is None else lookback / 1000,
        cancelled=cancelled,
    )


def _run(parts: _Parts, params: Params, query: Callable[[], Result]) -> bytes:
    most = params.count("limit")
    began_ns = parts.clock.monotonic_ns()
    result = query()
    took_s = (parts.clock.monotonic_ns() - began_ns) / 1e9
    stats = None
    if params.get("stats"):
        names = ("evalTotalTime", "innerEvalTime", "execTotalTime")
        stats = {"timings": dict.fromkeys(names, took_s)}
    return query_answer(result, limit=most, stats=stats)


def _query(parts: _Parts, params: Params, cancelled: Callable[[], bool]) -> bytes:
    t_ms = params.moment_ms("time")
    t_ms = parts.clock.now_ns() // 1_000_000 if t_ms is None else t_ms
    options = _options(params, cancelled)
    return _run(parts, params, lambda: parts.engine.instant(params.get("query"), t_ms, options))


def _query_range(parts: _Parts, params: Params, cancelled: Callable[[], bool]) -> bytes:
    start, end = params.need_moment_ms("start"), params.need_moment_ms("end")
    step = params.need_duration_ms("step")
    options = _options(params, cancelled)
    return _run(
        parts, params, lambda: parts.engine.range(params.get("query"), start, end, step, options)
    )


def _query_exemplars(parts: _Parts, params: Params, _cancelled: Callable[[], bool]) -> bytes:
    start, end = params.moment_ms("start"), params.moment_ms("end")
    start = -_FOREVER_MS if start is None else start
    end = _FOREVER_MS if end is None else end
    if end < start:
        raise QueryParseError(
            "end timestamp must not be before start timestamp: got "
            f"{params.get('start')!r} to {params.get('end')!r}. Accepted: an end not before the "
            "start. Next: correct them."
        )
    found: dict[Labels, dict[Exemplar, None]] = {}
    for node in walk(parse(params.get("query"))):
        if isinstance(node, Selector):
            for one in parts.store.exemplars(node.matchers, start, end):
                found.setdefault(one.series, {})[one] = None
    return success(
        [
            {
                "seriesLabels": dict(series),
                "exemplars": [
                    {
                        "labels": dict(one.labels),
                        "value": sample_text(float(one.value)),
                        "timestamp": one.t_ms / 1000,
                    }
                    for one in exemplars
                ],
            }
            for series, exemplars in sorted(found.items())
        ]
    )


def _limited(found: list[Any], params: Params) -> bytes:
    most = params.count("limit")
    if 0 < most < len(found):
        return success(found[:most], ("results truncated due to limit",))
    return success(found)


def _series(parts: _Parts, params: Params, _cancelled: Callable[[], bool]) -> bytes:
    selectors = params.selectors()
    if not selectors:
        raise QueryParseError(
            "no match[] parameter provided: got none. Accepted: one or more series selectors. "
            "Next: add match[]."
        )
    found = parts.store.series(selectors, params.moment_ms("start"), params.moment_ms("end"))
    return _limited([dict(labels) for labels in found], params)


def _labels(parts: _Parts, params: Params, _cancelled: Callable[[], bool]) -> bytes:
    bounds = params.moment_ms("start"), params.moment_ms("end")
    return _limited(sorted(parts.store.label_names(params.selectors(), *bounds)), params)


def _label_values(
    name: str, parts: _Parts, params: Params, _cancelled: Callable[[], bool]
) -> bytes:
    bounds = params.moment_ms("start"), params.moment_ms("end")
    return _limited(sorted(parts.store.label_values(name, params.selectors(), *bounds)), params)


def _metadata(parts: _Parts, params: Params, _cancelled: Callable[[], bool]) -> bytes:
    wanted, most = params.get("metric"), params.count("limit")
    params.count("limit_per_metric")
    found = {
        family.name: [{"type": family.type, "help": family.help, "unit": family.unit}]
        for family in parts.store.families()
        if wanted in {"", family.name}
    }
    return success(dict(list(found.items())[:most]) if most else found)


def _tsdb(parts: _Parts, params: Params) -> bytes:
    return status.tsdb(parts.store.series([()], None, None), params.count("limit") or 10)
