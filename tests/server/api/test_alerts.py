"""Our own endpoints for dashboards and notifications."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.server.alerts.history import Row, save_rows
from watchkeeper.server.api.alerts import routes
from watchkeeper.server.promql import Engine
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock

BASE = "/api/watchkeeper/v1"


@pytest.fixture
def http(store: Store) -> httpx.AsyncClient:
    """Return a client of the routes."""
    app = Starlette(routes=routes(store))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_dashboards_are_listed_and_shown(http: httpx.AsyncClient) -> None:
    """Each listed uid leads to a dashboard with rows and panels."""
    listing = (await http.get(f"{BASE}/dashboards")).json()["dashboards"]
    for entry in listing:
        board = (await http.get(f"{BASE}/dashboards/{entry['uid']}")).json()
        assert entry == {name: board[name] for name in ("uid", "title", "description")}
        assert all(row["panels"] and row["question"] for row in board["rows"])

    assert ["overview", "agents"] == [entry["uid"] for entry in listing][:2]


async def test_an_unknown_dashboard_is_explained(http: httpx.AsyncClient) -> None:
    """404 names what there is."""
    answer = await http.get(f"{BASE}/dashboards/nope")

    assert 404 == answer.status_code
    assert "overview" in answer.json()["error"]


async def test_notifications_are_listed_newest_first(http: httpx.AsyncClient, store: Store) -> None:
    """Each carries what the UI shows; the limit is honoured, and checked."""
    rows = [
        Row(
            group_key="{}:{}", receiver="ops", integration="slack/0", created_ms=1000 + n, rule="A",
            labels={"alertname": "A"}, status="firing", reason="first", alerts=2,
            outcome="delivered", answer="ok", attempts=1, sent_ms=2000,
        )
        for n in range(3)
    ]  # fmt: skip
    with store.state_write() as cursor:
        save_rows(cursor, rows)
    found = (await http.get(f"{BASE}/notifications", params={"limit": "2"})).json()["notifications"]

    assert [1002, 1001] == [entry["created_ms"] for entry in found]
    assert {
        "id": rows[2].id,
        "rule": "A",
        "labels": {"alertname": "A"},
        "status": "firing",
        "receiver": "ops",
        "integration": "slack/0",
        "group_key": "{}:{}",
        "reason": "first",
        "alerts": 2,
        "created_ms": 1002,
        "sent_ms": 2000,
        "attempts": 1,
        "next_attempt_ms": None,
        "outcome": "delivered",
        "answer": "ok",
    } == found[0]
    assert 400 == (await http.get(f"{BASE}/notifications", params={"limit": "-1"})).status_code


def test_every_query_of_every_panel_is_answered(store: Store, clock: FixedClock) -> None:
    """Our own engine takes each shipped expression; nothing in a dashboard is refused."""
    engine = Engine(store, clock=clock)
    now_ms = clock.now_ns() // 1_000_000
    for board in DASHBOARDS:
        for panel in (panel for row in board.rows for panel in row.panels):
            for query in panel.queries:
                expr = query.expr.replace("$__rate_interval", "20s").replace("$__range", "1h")
                result = engine.instant(expr, now_ms)
                assert "vector" == result.type, f"{board.uid}/{panel.id}"
