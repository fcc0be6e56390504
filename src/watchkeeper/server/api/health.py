"""Health, readiness, the server's own metrics, and its status for the UI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from watchkeeper.clock import Clock
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.store import Store

__all__ = ["routes"]


def routes(
    store: Store,
    metrics: ServerMetrics,
    clock: Clock,
    rule_errors: Callable[[], Mapping[str, str]] = dict,
) -> list[Route]:
    """Return ``/-/healthy``, ``/-/ready``, ``/metrics`` and the status route.

    Health is about committing: a server whose writer has died answers 503.

    Args:
        store: The store.
        metrics: The server's own metrics.
        clock: Read for the moment of the start.
        rule_errors: Returns what was wrong at the last load of rules, by file.
    """
    started_ms = clock.now_ns() // 1_000_000

    async def healthy(_request: Request) -> Response:
        if store.healthy:
            return PlainTextResponse("watchkeeper is healthy.\n")
        return PlainTextResponse("the store does not commit any more.\n", status_code=503)

    async def own_metrics(_request: Request) -> Response:
        page = await to_thread.run_sync(metrics.render)
        return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(_request: Request) -> Response:
        found = await to_thread.run_sync(store.status)
        return JSONResponse(
            {
                "version": version("watchkeeper"),
                "started_ms": started_ms,
                "store": found,
                "rule_errors": dict(rule_errors()),
            }
        )

    return [
        Route("/-/healthy", healthy),
        Route("/-/ready", healthy),
        Route("/metrics", own_metrics),
        Route("/api/watchkeeper/v1/status", status),
    ]
