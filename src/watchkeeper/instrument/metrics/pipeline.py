"""What became of the telemetry itself: the recorder's counts as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from watchkeeper.instrument.metrics.registry import MetricSet
from watchkeeper.instrument.recorder import RecorderStats

__all__ = ["register_pipeline_metrics"]

Values = Mapping[tuple[str, ...], float]

_WANTED = frozenset({"sampled", "tail", "excluded", "quota", "unfinished"})
"""Reasons for leaving spans out that are not a loss."""


def register_pipeline_metrics(metrics: MetricSet, stats: Callable[[], RecorderStats]) -> None:
    """Add the recorder's counts to *metrics*, read at each exposition."""
    counters: tuple[tuple[str, Callable[[RecorderStats], float]], ...] = (
        ("otel.sdk.span.started", lambda now: now.spans_started),
        ("otel.sdk.log.created", lambda now: now.logs_created),
        ("watchkeeper.sampling.names_refused", lambda now: now.names_refused),
    )
    gauges: tuple[tuple[str, Callable[[RecorderStats], float]], ...] = (
        ("otel.sdk.processor.span.queue.size", lambda now: now.span_queue),
        ("otel.sdk.processor.log.queue.size", lambda now: now.log_queue),
        ("watchkeeper.spool.size", lambda now: now.spool_bytes),
    )
    for name, read in counters:
        family = metrics.counter(name)
        family.remove(())
        family.collect_from(_one(stats, read))
    for name, read in gauges:
        metrics.gauge(name).collect_from(_one(stats, read))
    metrics.counter("otel.sdk.processor.span.processed").collect_from(lambda: _processed(stats()))
    metrics.counter("otel.sdk.exporter.span.exported").collect_from(
        lambda: _exported(stats().spans_exported, stats().spans_dropped)
    )
    metrics.counter("otel.sdk.exporter.log.exported").collect_from(
        lambda: _exported(stats().logs_exported, stats().logs_dropped)
    )
    metrics.counter("watchkeeper.telemetry.sampled_out").collect_from(lambda: _left_out(stats()))
    metrics.counter("watchkeeper.sampling.kept").collect_from(lambda: _kept(stats()))
    metrics.counter("watchkeeper.telemetry.dropped").collect_from(lambda: _dropped(stats()))


_HELD = frozenset({"held_full", "trace_size"})
"""Reasons of losses before the processor's queue."""


def _one(
    stats: Callable[[], RecorderStats], read: Callable[[RecorderStats], float]
) -> Callable[[], Values]:
    return lambda: {(): float(read(stats()))}


def _processed(now: RecorderStats) -> Values:
    """Queue overflows are what a processor fails at; the rest is the exporter's."""
    full = now.spans_dropped.get("queue_full", 0)
    sampled = sum(now.spans_dropped.get(reason, 0) for reason in (*_WANTED, *_HELD))
    found: dict[tuple[str, ...], float] = {("",): float(now.spans_ended - sampled - full)}
    if full:
        found["queue_full",] = float(full)
    return found


def _exported(exported: int, dropped: Mapping[str, int]) -> Values:
    found: dict[tuple[str, ...], float] = {("",): float(exported)}
    for reason in ("refused", "rejected"):
        if dropped.get(reason):
            found[reason,] = float(dropped[reason])
    return found


def _left_out(now: RecorderStats) -> Values:
    drops = now.spans_dropped
    return {(reason,): float(drops[reason]) for reason in _WANTED if reason in drops}


def _kept(now: RecorderStats) -> Values:
    return {(reason,): float(count) for reason, count in now.traces_kept.items()}


def _dropped(now: RecorderStats) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for signal, drops in (("traces", now.spans_dropped), ("logs", now.logs_dropped)):
        for reason, count in drops.items():
            if reason not in _WANTED:
                found[signal, reason] = float(count)
    return found
