"""A Prometheus API over a real store, for the tests beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from starlette.applications import Starlette
from tests.server.sample_rows import NOON_NS

from watchkeeper.clock import Clock
from watchkeeper.server.api.prometheus import routes
from watchkeeper.server.promql import Engine
from watchkeeper.server.series import Exemplar, sorted_labels
from watchkeeper.server.store.rows import Batch, Family, Sample
from watchkeeper.server.store.store import Store

NOON_S = NOON_NS // 1_000_000_000
STARTED = "2026-01-01T11:00:00.000Z"
ALERT = {
    "labels": {"alertname": "Down"},
    "annotations": {},
    "state": "firing",
    "activeAt": STARTED,
    "value": "1e+00",
}


class Rules:
    """Two groups, one alert, nothing wrong with them."""

    errors: Mapping[str, str] = {}
    good_ms = NOON_S * 1000

    def groups(self) -> list[dict[str, Any]]:
        """Return them."""
        shared = {"interval": 15, "limit": 0, "evaluationTime": 0.1, "lastEvaluation": STARTED}
        alerting = {"type": "alerting", "name": "Down", "alerts": [ALERT], "state": "firing"}
        recording = {"type": "recording", "name": "job:up:sum", "query": "sum(up)"}
        return [
            {"name": "a", "file": "a.yml", "rules": [alerting, recording], **shared},
            {"name": "b", "file": "b.yml", "rules": [recording], **shared},
        ]


class Targets:
    """One target that was scraped at noon."""

    def targets(self) -> list[dict[str, Any]]:
        """Return it."""
        return [
            {
                "discoveredLabels": {},
                "labels": {"job": "api"},
                "scrapePool": "api",
                "scrapeUrl": "http://127.0.0.1:1/metrics",
                "globalUrl": "http://127.0.0.1:1/metrics",
                "lastError": "",
                "last_scrape_ms": NOON_S * 1000,
                "lastScrapeDuration": 0.01,
                "health": "up",
                "scrapeInterval": "15s",
                "scrapeTimeout": "15s",
            }
        ]


def fill(store: Store) -> None:
    """Store ten minutes of two series until noon, an exemplar and metadata."""
    batch = Batch()
    for instance in ("a:1", "b:1"):
        for name in ("up", "req_total"):
            labels = sorted_labels({"__name__": name, "job": "api", "instance": instance})
            for back in range(40, -1, -1):
                t_ms = (NOON_S - 15 * back) * 1000
                value = 1.0 if name == "up" else 30.0 * (40 - back)
                batch.samples.append(Sample(labels, t_ms, value))
    series = sorted_labels({"__name__": "req_total", "job": "api", "instance": "a:1"})
    batch.exemplars.append(
        Exemplar(series, sorted_labels({"trace_id": "ab", "span_id": "cd"}), NOON_S * 1000, 2.5)
    )
    batch.families.append(Family("req", "counter", "Requests.", ""))
    store.ingest(batch).result(timeout=10)


def application(store: Store, clock: Clock, **settings: Any) -> Starlette:
    """Return the API as an application."""
    engine = Engine(store, clock=clock, **settings)
    return Starlette(routes=routes(engine, store, Rules(), Targets(), clock=clock))


def client(app: Starlette) -> httpx.AsyncClient:
    """Return a client of *app*."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
