"""The recorder: composes sampler, lane, pipeline and exporter, and follows forks and exits."""

from __future__ import annotations

import atexit
import os
import random
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import get_ident
from typing import Any, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, TracerProvider, TraceState
from opentelemetry.util.types import AnyValue, AttributeValue

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.recorder.clean import clean_attributes
from watchkeeper.instrument.recorder.contexts import current_span
from watchkeeper.instrument.recorder.courier import Courier, exponential
from watchkeeper.instrument.recorder.current import SilentSpan
from watchkeeper.instrument.recorder.encode import (
    BatchEncoder,
    ItemEncoder,
    LogEncoder,
    TraceEncoder,
)
from watchkeeper.instrument.recorder.exporters import Exporter
from watchkeeper.instrument.recorder.ids import IdSource
from watchkeeper.instrument.recorder.lane import EndHook, Lane, Nowhere, as_it_is, forget
from watchkeeper.instrument.recorder.pipeline import Pipeline, QueueLimits
from watchkeeper.instrument.recorder.protocols import Tail
from watchkeeper.instrument.recorder.records import (
    LogFields,
    RecorderLimits,
    RecorderStats,
    Signal,
)
from watchkeeper.instrument.recorder.sampling import ParentRatioSampler, Sampler
from watchkeeper.instrument.recorder.span import (
    EXCLUDED,
    OWN_SCOPE,
    RECORDED,
    SAMPLED,
    RecordedSpan,
    Scope,
    Template,
)
from watchkeeper.instrument.recorder.spool import Spool
from watchkeeper.instrument.recorder.tracer import RecorderTracerProvider
from watchkeeper.instrument.redaction import MARGIN, Redactor

__all__ = ["Recorder"]

T = TypeVar("T")

_RANDOM_TRACE_ID = 0x02
_DECIDED = SAMPLED | EXCLUDED
_ALIVE: weakref.WeakSet[Recorder] = weakref.WeakSet()


class Recorder:
    """Records spans and log records of one process and delivers them in the background.

    Safe to use from any thread and from signal handlers. A forked child starts with empty queues,
    zeroed counts and fresh ids; spans that its parent had open end in the parent only. At the
    interpreter's exit everything is delivered within *exit_timeout_s*, or spooled.

    Args:
        resource: What this process is: ``service.name`` and other resource attributes; or a
            function that returns them, called anew in a forked child.
        clock: Where time comes from.
        ids: Where ids come from.
        exporter: Delivers batches, or one exporter by signal, of which a signal without one is
            not exported; None records for hooks only.
        sampler_ratio: Share of root spans to export, 0.0 to 1.0; ignored if *sampler* is given.
        sampler: Decides at the start of spans; default `ParentRatioSampler`.
        tail: Decides about the traces that *sampler* left out, when they end.
        limits: Bounds of queues, spans and batches.
        redactor: Masks secrets in spans when they are encoded, and in the resource; log records come
            without any. None leaves everything.
        spool_dir: Directory for undelivered batches; None keeps them in memory.
        interval_s: Seconds between two exports.
        exit_timeout_s: Seconds for the delivery at exit.
        jitter: Random numbers from 0.0 to 1.0 for the wait between retries.

    Raises:
        SettingError: *sampler_ratio* is not from 0.0 to 1.0.
    """

    def __init__(  # noqa: PLR0913 - every part is an argument
        self,
        resource: Mapping[str, AnyValue] | Callable[[], Mapping[str, AnyValue]],
        *,
        clock: Clock,
        ids: IdSource,
        exporter: Exporter | Mapping[Signal, Exporter] | None,
        sampler_ratio: float = 1.0,
        sampler: Sampler | None = None,
        tail: Tail | None = None,
        limits: RecorderLimits | None = None,
        redactor: Redactor | None = None,
        spool_dir: Path | None = None,
        interval_s: float = 1.0,
        exit_timeout_s: float = 5.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits or RecorderLimits()
        self._redactor = redactor
        self._describe = resource if callable(resource) else lambda: resource
        self._resource: Mapping[str, AnyValue] = {}
        self._clock = clock
        self._now = clock.now_ns
        self._ids = ids
        self._span_id = ids.span_id
        self._exporters = _by_signal(exporter)
        self._sampler = sampler or ParentRatioSampler(sampler_ratio)
        self._tail = tail
        self._spool_dir = spool_dir
        self._interval_s = interval_s
        self._exit_timeout_s = exit_timeout_s
        self._jitter = jitter
        self._hooks: tuple[tuple[str, EndHook], ...] = ()
        self._void = self._new_lane(None)
        self._pipeline: Pipeline | None = None
        self._lane = self._void
        self._at_exit_set = False
        self._begin()
        self.tracer_provider: TracerProvider = RecorderTracerProvider(self)
        _ALIVE.add(self)

    # recording

    def start(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: dict[str, AttributeValue] | None = None,
        parent_context: Context | None = None,
        start_ns: int | None = None,
        scope: Scope | None = None,
        template: Template | None = None,
    ) -> RecordedSpan:
        """Start a span for code of ours, which vouches for its arguments: nothing is cleaned.

        The span is not made current; see `activate`.

        Args:
            name: Name of the span.
            kind: Its kind.
            attributes: Its attributes, of the API's types; the span keeps this very dict.
            parent_context: Context with the parent span; default the current one.
            start_ns: Start, nanoseconds since the epoch; default now.
            scope: Instrumentation scope; default ``watchkeeper``.
            template: Attributes that many spans share, with which *attributes* begins.

        Returns:
            The span; end it with ``end()``.
        """
        # Any: no type checker follows a class into a set.
        parent: Any = current_span(parent_context)
        lane = self._lane
        state: TraceState | None
        tail: Tail | None = None
        if type(parent) in RECORDED:
            trace_id = parent.trace_id
            parent_id = parent.span_id
            flags = parent_flags = parent.flags
            state = parent.trace_state
            remote = False
            if parent.lane is self._void:
                lane = self._void
        else:
            if type(parent) is SilentSpan:
                lane = self._void
            if attributes is None:
                attributes = {}
            trace_id, parent_id, flags, parent_flags, remote, state = self._origin(
                parent, name, kind, attributes
            )
            if not flags & _DECIDED and (remote or not parent_id):
                tail = lane.tail
        lane.started += 1
        span = RecordedSpan(
            lane,
            name,
            kind,
            {} if attributes is None else attributes,
            scope or OWN_SCOPE,
            trace_id,
            self._span_id() or 1,
            flags,
            self._now() if start_ns is None else start_ns,
            parent_id,
            parent_flags,
            remote,
            state,
            template,
        )
        if tail is not None:
            lane.begin(span, tail)
        return span

    def _origin(
        self, parent: Span, name: str, kind: SpanKind, attributes: dict[str, AttributeValue]
    ) -> tuple[int, int, int, int, bool, TraceState | None]:
        """Return trace id, parent id, flags, the parent's flags, whether it is remote, and state.

        For a span whose parent, if there is one, is not a span of ours in this process.
        """
        context = None if parent is INVALID_SPAN else parent.get_span_context()
        if context is not None and context.is_valid:
            trace_id, parent_id, remote, parent_flags, state, _ = context
            sampled = bool(parent_flags & SAMPLED)
            flags = parent_flags & _RANDOM_TRACE_ID
            decision = self._sampler.sample(trace_id, sampled, name, kind, attributes)
            return trace_id, parent_id, flags | decision, parent_flags, remote, state
        trace_id = self._ids.trace_id() or 1
        flags = _RANDOM_TRACE_ID if self._ids.is_random else 0
        flags |= self._sampler.sample(trace_id, None, name, kind, attributes)
        return trace_id, 0, flags, 0, False, None

    def emit_log(self, record: LogFields) -> None:
        """Queue a log record for export."""
        pipeline = self._logs_to
        if pipeline is None:
            return
        logs = pipeline.logs
        if len(logs) < pipeline.calm_logs and get_ident() != pipeline.worker_id:
            pipeline.logs_created += 1
            logs.append(record)
        else:
            pipeline.add_log(record)

    def add_end_hook(self, hook: EndHook, name: str = "span_end") -> None:
        """Call *hook* with every span that ends, sampled or not, on the thread that ends it.

        Args:
            hook: Must be quick; what it raises is swallowed and counted.
            name: Under which its errors are counted.
        """
        self._hooks = (*self._hooks, (name, hook))
        self._lane.hooks = self._hooks

    # delivery

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Return whether everything recorded so far was delivered within *timeout_s* seconds."""
        return self._pipeline is None or self._pipeline.flush(timeout_s)

    def secure(self) -> None:
        """Put on disk what was recorded and not delivered; everything goes on as before."""
        if self._pipeline is not None:
            self._pipeline.secure()

    def shutdown(self, timeout_s: float = 5.0) -> bool:
        """Deliver within *timeout_s* seconds, spool the rest, and stop exporting.

        Spans still run their end hooks afterwards; they are counted as dropped. Calling it again
        does nothing.

        Returns:
            Whether everything was delivered.
        """
        if self._pipeline is None:
            return True
        self._drain()
        self._lane.wake_at = 0
        delivered = self._pipeline.shutdown(timeout_s)
        atexit.unregister(self._at_exit)
        return delivered

    def stats(self) -> RecorderStats:
        """Return the counts of this process so far."""
        lane, pipeline = self._lane, self._pipeline
        if pipeline is None:
            return RecorderStats(
                lane.started,
                lane.ended,
                spans_dropped=self._left_out(),
                traces_kept=self._kept(),
                names_refused=0 if self._tail is None else self._tail.names_refused,
            )
        couriers = pipeline.couriers
        spans = self._drops(pipeline, "traces") | self._left_out()
        return RecorderStats(
            spans_started=lane.started,
            spans_ended=lane.ended,
            spans_exported=sum(courier.exported["traces"] for courier in couriers),
            spans_dropped=spans,
            traces_kept=self._kept(),
            names_refused=0 if self._tail is None else self._tail.names_refused,
            logs_created=pipeline.logs_created,
            logs_exported=sum(courier.exported["logs"] for courier in couriers),
            logs_dropped=self._drops(pipeline, "logs"),
            span_queue=len(pipeline.spans),
            log_queue=len(pipeline.logs),
            spool_bytes=sum(c.spool.size for c in couriers if c.spool is not None),
            backlog_bytes=sum(courier.backlog_bytes for courier in couriers),
        )

    def _left_out(self) -> dict[str, int]:
        """Return the spans that sampling left out, by reason."""
        lane = self._lane
        spans = {} if self._tail is None else dict(self._tail.dropped)
        if lane.sampled_out:
            spans["sampled"] = lane.sampled_out
        if lane.excluded:
            spans["excluded"] = lane.excluded
        return spans

    def _kept(self) -> dict[str, int]:
        return {} if self._tail is None else dict(self._tail.kept)

    def _drain(self) -> None:
        """Let the tail decide about what it holds: nothing more will come."""
        lane = self._lane
        if lane.tail is None:
            return
        try:
            for span in lane.tail.drain():
                lane.push(span)
        except Exception as error:  # noqa: BLE001 - the rest must still be delivered
            record_failure("recorder.tail", error)

    @staticmethod
    def _drops(pipeline: Pipeline, signal: Signal) -> dict[str, int]:
        drops: dict[str, int] = {}
        for courier in pipeline.couriers:
            for reason, count in courier.drops(signal).items():
                drops[reason] = drops.get(reason, 0) + count
        for (kind, reason), count in list(pipeline.dropped.items()):
            if kind == signal:
                drops[reason] = drops.get(reason, 0) + count
        return drops

    # one process

    def _begin(self) -> None:
        """Set up queues and worker for the process that this is."""
        self._resource, _ = clean_attributes(
            self._describe(), 1 << 30, self.limits.attribute_value_chars_max
        )
        if self._redactor is not None:
            self._resource = self._redactor.attributes(
                self._resource, self.limits.attribute_value_chars_max
            )
        if self._exporters:
            self._pipeline = self._new_pipeline()
        self._logs_to = self._pipeline if "logs" in self._exporters else None
        self._lane = self._new_lane(self._pipeline if "traces" in self._exporters else None)
        self._lane.hooks = self._hooks
        self._lane.tail = self._tail

    def _new_lane(self, pipeline: Pipeline | None) -> Lane:
        limits = self.limits
        if self._redactor is not None and self._redactor.enabled:
            # The encoder cuts: a secret is recognised whole or not at all.
            limits = replace(
                limits, attribute_value_chars_max=limits.attribute_value_chars_max + MARGIN
            )
        lane = Lane(
            now=self._now,
            spans=Nowhere() if pipeline is None else pipeline.spans,
            crowded=forget if pipeline is None else pipeline.add_span,
            pack=as_it_is if pipeline is None else pipeline.pack,
            limits=limits,
        )
        if pipeline is None:
            lane.wake_at = 1
        return lane

    def _new_pipeline(self) -> Pipeline:
        limits = self.limits
        distinct = tuple(dict.fromkeys(self._exporters.values()))
        couriers: dict[Exporter, Courier] = {}
        for exporter in distinct:
            couriers[exporter] = self._new_courier(exporter, len(distinct))
        traces = TraceEncoder(self._redactor, limits.attribute_value_chars_max)
        return Pipeline(
            {signal: couriers[exporter] for signal, exporter in self._exporters.items()},
            self._batch_encoder(traces),
            self._batch_encoder(LogEncoder()),
            pack=traces.pack,
            limits=QueueLimits(
                limits.span_queue_items_max, limits.log_queue_items_max, limits.batch_items_max
            ),
            interval_s=self._interval_s,
            clock=self._clock,
            on_start=self._on_start,
        )

    def _new_courier(self, exporter: Exporter, of: int) -> Courier:
        limits = self.limits
        courier = Courier(
            exporter,
            None,
            clock=self._clock,
            backoff=exponential(self._jitter),
            backlog_bytes_max=limits.backlog_bytes_max // of,
        )
        if self._spool_dir is not None:
            service = str(self._resource.get("service.name") or "unknown_service")
            if of > 1:
                # Two endpoints, two spools: each is drained when its own endpoint is back.
                signals = [name for name, other in self._exporters.items() if other is exporter]
                service = f"{service} {signals[0]}"
            courier.spool = Spool(
                self._spool_dir,
                service,
                bytes_max=limits.spool_bytes_max // of,
                now_ns=self._clock.now_ns,
                on_drop=courier.on_drop,
            )
        return courier

    def _batch_encoder(self, encoder: ItemEncoder[T]) -> BatchEncoder[T]:
        return BatchEncoder(
            encoder,
            self._resource,
            items_max=self.limits.batch_items_max,
            bytes_max=self.limits.batch_bytes_max,
        )

    def _on_start(self) -> None:
        self._lane.wake_at = self.limits.batch_items_max
        if self._at_exit_set:
            return
        self._at_exit_set = True
        atexit.register(self._at_exit)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            # A child of multiprocessing leaves by os._exit, which skips atexit but not these.
            util.Finalize(None, self._at_exit, exitpriority=0)

    def _at_exit(self) -> None:
        try:
            self.shutdown(self._exit_timeout_s)
        except Exception as error:  # noqa: BLE001 - the exit of the host must not fail
            record_failure("recorder.exit", error)

    def _after_fork(self) -> None:
        """Leave the parent's work to the parent; runs in a forked child."""
        old, pipeline = self._lane, self._pipeline
        old.hooks = ()
        old.tail = None
        old.spans = Nowhere()
        old.crowded = forget
        self._ids.after_fork()
        if self._tail is not None:
            self._tail.after_fork()
        if pipeline is not None:
            for courier in pipeline.couriers:
                if courier.spool is not None:
                    courier.spool.release()
        for exporter in dict.fromkeys(self._exporters.values()):
            exporter.after_fork()
        self._at_exit_set = False
        atexit.unregister(self._at_exit)
        self._begin()


def _by_signal(exporter: Exporter | Mapping[Signal, Exporter] | None) -> dict[Signal, Exporter]:
    if exporter is None:
        return {}
    if isinstance(exporter, Mapping):
        return dict(exporter)
    return {"traces": exporter, "logs": exporter}


def _all_after_fork() -> None:
    for recorder in list(_ALIVE):
        try:
            recorder._after_fork()  # noqa: SLF001 - same module
        except Exception as error:  # noqa: BLE001 - the fork of the host must not fail
            record_failure("recorder.fork", error)


os.register_at_fork(after_in_child=_all_after_fork)
