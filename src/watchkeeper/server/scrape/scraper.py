"""The scrape loops: one task for each target, targets found anew all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import structlog
from anyio import to_thread

from watchkeeper.clock import Clock
from watchkeeper.errors import IngestError, StoreError
from watchkeeper.server.scrape.discovery import TargetFolder, TargetSpec, static_target
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
Fetch = Callable[[], Awaitable[tuple[str, bool]]]
"""Returns a page and whether it is OpenMetrics."""


class Scraper:
    """Scrapes every target of a folder of ``file_sd`` files, and the server itself."""

    def __init__(
        self, store: Store, metrics: ServerMetrics, clock: Clock, *, directory: Path,
        interval_s: float, itself: str, static: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Prepare; `start` begins.

        Args:
            store: Where samples go.
            metrics: Our own metrics: counted into, and scraped in process.
            clock: Times of scrapes.
            directory: Folder of ``file_sd`` files, read again every second.
            interval_s: Seconds between two scrapes of a target, and the timeout of one.
            itself: ``host:port`` of this server, the ``instance`` of its own series.
            static: Further targets, see `discovery.static_target`.

        Raises:
            SettingError: A static target has the wrong form.
        """
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._folder = TargetFolder(directory)
        self._static = [static_target(text) for text in static]
        self._interval_s = interval_s
        self._itself = itself
        self._tasks: dict[TargetSpec, asyncio.Task[None]] = {}
        self._targets: dict[TargetSpec, Target] = {}
        self._discovery: asyncio.Task[None] | None = None
        self._http: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Begin to scrape; call from the running event loop."""
        # no proxy, no netrc: a scrape goes where the target says; no compression: targets are near
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity"}
        self._http = httpx.AsyncClient(timeout=self._interval_s, headers=headers, trust_env=False)
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
            try:
                await self._renew(me)
            except OSError as error:
                _log.warning("scrape.targets_folder", error=str(error))
            await asyncio.sleep(_DISCOVERY_S)

    async def _renew(self, me: TargetSpec) -> None:
        """Start loops of new targets, end those of targets that are gone."""
        found = {me, *self._static, *await to_thread.run_sync(self._folder.read)}
        for spec in found - set(self._tasks):
            labels = {"job": "unknown", **dict(spec.labels), "instance": spec.address}
            target = Target({k: v for k, v in labels.items() if not k.startswith("__")})
            self._targets[spec] = target
            fetch = self._fetch_self if spec == me else self._fetch(spec)
            self._tasks[spec] = asyncio.create_task(self._loop(target, fetch))
        for spec in set(self._tasks) - found:
            self._tasks.pop(spec).cancel()
            await self._keep(self._targets.pop(spec).gone(self._now_ms(), for_good=True))

    def _now_ms(self) -> int:
        return self._clock.now_ns() // _MS_NS

    async def _loop(self, target: Target, fetch: Fetch) -> None:
        """Scrape at a steady pace: a late scrape is not made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self._scrape(target, fetch)
            except Exception:  # noqa: BLE001 - a fault of ours must not end the target for good
                _log.exception("scrape.fault", target=target.labels["instance"])
            due = max(due + self._interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _scrape(self, target: Target, fetch: Fetch) -> None:
        t_ms, began_ns = self._now_ms(), self._clock.monotonic_ns()

        def took_s() -> float:
            return (self._clock.monotonic_ns() - began_ns) / 1e9

        try:
            async with asyncio.timeout(self._interval_s):
                page, openmetrics = await fetch()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            late = isinstance(error, (httpx.TimeoutException, TimeoutError))
            reason = "timeout" if late else "unreachable"
            self._metrics.count("watchkeeper.server.scrape.failures", reason)
            batch = target.failure(str(error) or type(error).__name__, t_ms, took_s())
        else:
            oldest_ns, newest_ns = self._store.window_ns()
            window_ms = (oldest_ns // _MS_NS, newest_ns // _MS_NS)
            work = partial(target.page, openmetrics=openmetrics, window_ms=window_ms)
            batch = await to_thread.run_sync(work, page, t_ms, took_s())
            if target.last.error:
                self._metrics.count("watchkeeper.server.scrape.failures", "page")
        await self._keep(batch)

    async def _keep(self, batch: Batch) -> None:
        try:
            await asyncio.wrap_future(self._store.ingest(batch))
        except (IngestError, StoreError) as error:
            self._metrics.count("watchkeeper.server.refused", "metrics", "overload")
            _log.warning("a scrape could not be stored", error=str(error))

    async def _fetch_self(self) -> tuple[str, bool]:
        return (await to_thread.run_sync(self._metrics.render)).decode(), False

    def _fetch(self, spec: TargetSpec) -> Fetch:
        most = limit("scrape_body_bytes_max")

        async def fetch() -> tuple[str, bool]:
            assert self._http is not None  # noqa: S101 - start() made it
            async with self._http.stream("GET", spec.url) as answer:
                answer.raise_for_status()
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise ValueError("the target compresses although it was asked not to")
                kind = answer.headers.get("content-type", "")
                chunks, size = [], 0
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > most:
                        raise ValueError(f"page larger than {most} bytes (scrape_body_bytes_max)")
                    chunks.append(chunk)
            text = b"".join(chunks).decode("utf-8")
            return text, kind.startswith("application/openmetrics-text")

        return fetch
