"""Our own read-only endpoints for the UI: dashboards and notifications."""

from __future__ import annotations

from typing import Any

import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.define.render.ui import dashboard_json, listing_json
from watchkeeper.errors import QueryParseError
from watchkeeper.server.alerts.history import listed
from watchkeeper.server.api.params import integer
from watchkeeper.server.rules.persist import StateStore

__all__ = ["routes"]

_BASE = "/api/watchkeeper/v1"
_NOTIFICATIONS, _NOTIFICATIONS_MAX = 100, 1_000


def routes(store: StateStore) -> list[Route]:
    """Return the routes; notifications are read from *store*."""
    boards = {board.uid: _json(dashboard_json(board)) for board in DASHBOARDS}
    listing = _json(listing_json(DASHBOARDS))

    async def dashboards(_: Request) -> Response:
        return _answer(listing)

    async def dashboard(request: Request) -> Response:
        uid = request.path_params["uid"]
        if uid in boards:
            return _answer(boards[uid])
        known = ", ".join(boards)
        return _refused(404, f"no dashboard has the uid {uid[:100]!r}. Accepted: {known}.")

    async def notifications(request: Request) -> Response:
        try:
            most = integer(request.query_params, "limit", _NOTIFICATIONS, most=_NOTIFICATIONS_MAX)
        except QueryParseError as error:
            return _refused(400, str(error))
        return _answer(_json({"notifications": await to_thread.run_sync(read, most)}))

    def read(most: int) -> list[dict[str, Any]]:
        with store.state_read() as cursor:
            return listed(cursor, most)

    return [
        Route(f"{_BASE}/dashboards", dashboards, methods=["GET"]),
        Route(f"{_BASE}/dashboards/{{uid}}", dashboard, methods=["GET"]),
        Route(f"{_BASE}/notifications", notifications, methods=["GET"]),
    ]


def _json(value: object) -> bytes:
    return orjson.dumps(value)


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _refused(status: int, error: str) -> Response:
    return _answer(_json({"status": "error", "error": error}), status)
