"""The scrape loops: one task for each target, targets found anew all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import structlog
from anyio import to_thread

from watchkeeper.clock import Clock
from watchkeeper.errors import IngestError, StoreError
from watchkeeper.server.scrape.discovery import TargetSpec, read_targets
from watchkeeper.server.scrape.target import Target
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store
from watchkeeper.vocabulary.limits import limit

__all__ = ["Scraper"]

_DISCOVERY_S = 1.0
_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
_MS_NS = 1_000_000

_log = structlog.get_logger("watchkeeper.server.scrape")
Fetch = Callable[[], Awaitable[str]]


class Scraper:
    """Scrapes every target of a folder of ``file_sd`` files, and the server itself."""

    def __init__(
        self, store: Store, metrics: ServerMetrics, clock: Clock, *, directory: Path,
        interval_s: float, itself: str,
    ) -> None:  # fmt: skip
        """Prepare; `start` begins.

        Args:
            store: Where samples go.
            metrics: Our own metrics: counted into, and scraped in process.
            clock: Times of scrapes.
            directory: Folder of ``file_sd`` files, read again every second.
            interval_s: Seconds between two scrapes of a target, and the timeout of one.
            itself: ``host:port`` of this server, the ``instance`` of its own series.
        """
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._directory = directory
        self._interval_s = interval_s
        self._itself = itself
        self._tasks: dict[TargetSpec, asyncio.Task[None]] = {}
        self._targets: dict[TargetSpec, Target] = {}
        self._discovery: asyncio.Task[None] | None = None
        self._http: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Begin to scrape; call from the running event loop."""
        self._http = httpx.AsyncClient(timeout=self._interval_s, headers={"Accept": _ACCEPT})
        self._discovery = asyncio.create_task(self._discover())

    async def stop(self) -> None:
        """End every loop."""
        running = [self._discovery, *self._tasks.values()]
        tasks = [task for task in running if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if self._http is not None:
            await self._http.aclose()

    def targets(self) -> list[dict[str, Any]]:
        """Return active targets in the shape of Prometheus' ``/api/v1/targets``."""
        found = []
        for spec, target in sorted(self._targets.items()):
            last = target.last
            found.append(
                {
                    "discoveredLabels": {"__address__": spec.address, **dict(spec.labels)},
                    "labels": target.labels,
                    "scrapePool": target.labels["job"],
                    "scrapeUrl": spec.url,
                    "globalUrl": spec.url,
                    "lastError": last.error,
                    "last_scrape_ms": last.at_ms,
                    "lastScrapeDuration": last.took_s,
                    "health": "unknown" if not last.at_ms else "down" if last.error else "up",
                    "scrapeInterval": f"{self._interval_s:g}s",
                    "scrapeTimeout": f"{self._interval_s:g}s",
                }
            )
        return found

    async def _discover(self) -> None:
        me = TargetSpec(self._itself, (("job", "watchkeeper"),))
        while True:
            found = {me, *await to_thread.run_sync(read_targets, self._directory)}
            for spec in found - set(self._tasks):
                labels = {"job": "unknown", **dict(spec.labels), "instance": spec.address}
                target = Target({k: v for k, v in labels.items() if not k.startswith("__")})
                self._targets[spec] = target
                fetch = self._fetch_self if spec == me else self._fetch(spec)
                self._tasks[spec] = asyncio.create_task(self._loop(target, fetch))
            for spec in set(self._tasks) - found:
                self._tasks.pop(spec).cancel()
                await self._keep(self._targets.pop(spec).gone(self._now_ms(), for_good=True))
            await asyncio.sleep(_DISCOVERY_S)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // _MS_NS

    async def _loop(self, target: Target, fetch: Fetch) -> None:
        """Scrape at a steady pace: a late scrape is not made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._scrape(target, fetch)
            due = max(due + self._interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _scrape(self, target: Target, fetch: Fetch) -> None:
        t_ms, began_ns = self._now_ms(), self._clock.monotonic_ns()

        def took_s() -> float:
            return (self._clock.monotonic_ns() - began_ns) / 1e9

        try:
            page = await fetch()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = "timeout" if isinstance(error, httpx.TimeoutException) else "unreachable"
            self._metrics.count("watchkeeper.server.scrape.failures", reason)
            batch = target.failure(str(error) or type(error).__name__, t_ms, took_s())
        else:
            batch = await to_thread.run_sync(target.page, page, t_ms, took_s())
            if target.last.error:
                self._metrics.count("watchkeeper.server.scrape.failures", "page")
        await self._keep(batch)

    async def _keep(self, batch: Batch) -> None:
        try:
            await asyncio.wrap_future(self._store.ingest(batch))
        except (IngestError, StoreError) as error:
            self._metrics.count("watchkeeper.server.refused", "metrics", "overload")
            _log.warning("a scrape could not be stored", error=str(error))

    async def _fetch_self(self) -> str:
        return (await to_thread.run_sync(self._metrics.render)).decode()

    def _fetch(self, spec: TargetSpec) -> Fetch:
        most = limit("scrape_body_bytes_max")

        async def fetch() -> str:
            assert self._http is not None  # noqa: S101 - start() made it
            async with self._http.stream("GET", spec.url) as answer:
                answer.raise_for_status()
                chunks, size = [], 0
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > most:
                        raise ValueError(f"page larger than {most} bytes (scrape_body_bytes_max)")
                    chunks.append(chunk)
            return b"".join(chunks).decode("utf-8")

        return fetch
