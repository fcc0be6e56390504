"""Ingestion pipelines: runs, their stages, rejects, freshness and backlog."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from datetime import datetime

from opentelemetry.trace import SpanKind

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain.scope import Scope, ended_at, fail, seconds, start
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["Pipeline", "Stage", "pipeline"]

_LOCK = threading.Lock()


class Stage(Scope):
    """One stage of a pipeline run; made by `Pipeline.stage`."""

    hook = "domain.pipeline"

    def __init__(self, pipeline_name: str, name: str, items_in: int | None) -> None:
        super().__init__()
        self._pipeline = pipeline_name
        self._name = name
        self._items_in = items_in
        self._passed = 0
        self._rejected = 0
        self._reasons: dict[str, int] = {}

    def passed(self, n: int = 1) -> None:
        """Count *n* items that the stage passed on."""
        try:
            self._passed += operator.index(n)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(self.hook, error)

    def rejected(self, n: int = 1, reason: str | None = None) -> None:
        """Count *n* items that the stage rejected, for *reason* (a few fixed words)."""
        try:
            count = operator.index(n)
            if reason is not None:
                self._reasons[reason] = self._reasons.get(reason, 0) + count
            self._rejected += count
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(self.hook, error)

    def _start(self, host: Host) -> RecordedSpan:
        return start(
            host,
            f"stage {self._name}",
            SpanKind.INTERNAL,
            {
                "pipeline.name": self._pipeline,
                "pipeline.stage": self._name,
                "pipeline.items_in": self._items_in,
            },
        )

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        counts: dict[str, int | None] = {
            "pipeline.items_in": self._items_in,
            "pipeline.items_out": self._passed,
            "pipeline.items_rejected": self._rejected or None,
        }
        span.set_attributes({name: count for name, count in counts.items() if count is not None})
        if self._reasons:
            reasons = tuple(f"{reason}={count}" for reason, count in self._reasons.items())
            span.set_attribute("pipeline.reject_reasons", reasons)
        kind = None if error is None else fail(span, error)
        end_ns = ended_at(span)
        host.event(
            "pipeline.stage",
            "info" if error is None else "error",
            {
                "pipeline.name": self._pipeline,
                "pipeline.stage": self._name,
                **counts,
                "duration_s": (end_ns - span.start_ns) / 1e9,
                "error.type": kind,
            },
        )
        span.end(end_ns)


class Pipeline(Scope):
    """One run of an ingestion pipeline; made by `pipeline`."""

    hook = "domain.pipeline"

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def stage(self, name: str, items_in: int | None = None) -> Stage:
        """Return one stage of this run, for a ``with`` or ``async with`` block.

        Args:
            name: Name of the stage; becomes a metric label.
            items_in: How many items it is given, if that is known beforehand.
        """
        return Stage(self._name, name, items_in)

    def watermark(self, timestamp: float | datetime) -> None:
        """Say how new the newest item is that this run took in; older ones change nothing.

        Args:
            timestamp: Time of the item: seconds since the epoch, or a datetime (UTC if it has no
                zone).
        """
        host = hosts.current()
        if host is None:
            return
        with guard("domain.pipeline"):
            at = seconds(timestamp)
            with _LOCK:
                gauge = host.metrics.gauge("pipeline.watermark.time").child((self._name,))
                if at > gauge.read():
                    gauge.set(at)

    def backlog(self, items: float | Callable[[], float]) -> None:
        """Say how many items wait for this pipeline.

        Args:
            items: The number now, or a quick function that returns it, called at each scrape.
        """
        host = hosts.current()
        if host is None:
            return
        with guard("domain.pipeline"):
            gauge = host.metrics.gauge("pipeline.backlog").child((self._name,))
            if callable(items):
                gauge.set_function(items)
            else:
                gauge.set_function(None)
                gauge.set(items)

    def _start(self, host: Host) -> RecordedSpan:
        name = f"pipeline {self._name}"
        return start(host, name, SpanKind.INTERNAL, {"pipeline.name": self._name})

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        del host
        if error is not None:
            fail(span, error)
        span.end()


def pipeline(name: str) -> Pipeline:
    """Record one run of an ingestion pipeline, and its stages through `Pipeline.stage`.

    ::

        with watchkeeper.pipeline("documents") as run:
            with run.stage("parse", items_in=len(files)) as parse:
                parse.passed(40)
                parse.rejected(2, reason="encoding")

    Args:
        name: Name of the pipeline; becomes a metric label, so keep the number of names small.
    """
    return Pipeline(name)
