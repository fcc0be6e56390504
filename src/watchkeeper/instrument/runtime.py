"""The running instrumentation of one process."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.util.types import AnyValue

from watchkeeper.clock import Clock
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.derive import Derived
from watchkeeper.instrument.exporting import exporters
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.integrations.sql import sanitised
from watchkeeper.instrument.logs import LEVELS, ApiLoggerProvider, LogSystem
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.metrics.access import Access
from watchkeeper.instrument.metrics.listener import MetricsListener
from watchkeeper.instrument.metrics.loop import LoopMonitor
from watchkeeper.instrument.metrics.pipeline import register_pipeline_metrics
from watchkeeper.instrument.metrics.process import (
    register_process_metrics,
    restart_process_metrics,
)
from watchkeeper.instrument.metrics.workers import Workers
from watchkeeper.instrument.pages import Pages
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.recorder import (
    ConsoleSpans,
    Exporter,
    IdSource,
    RandomIds,
    Recorder,
    RecorderLimits,
)
from watchkeeper.instrument.redaction import Redactor
from watchkeeper.instrument.redaction.build import build as build_redactor
from watchkeeper.instrument.sampling import samplers
from watchkeeper.instrument.servers import watch_uvicorn
from watchkeeper.instrument.settings import Settings, limits_of
from watchkeeper.instrument.slow import SlowQueries
from watchkeeper.instrument.users import ActiveUsers

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Runtime", "build", "resource", "spool_dir"]


class Runtime:
    """Settings, recorder, metrics, logs and listener of one process, put together by `build`.

    Fits `watchkeeper.instrument.host.Host`. Safe to use from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        recorder: Recorder,
        metrics: MetricSet,
        logs: LogSystem,
        listener: MetricsListener | None,
        redactor: Redactor,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.recorder = recorder
        self.metrics = metrics
        self.log_system = logs
        self.logs = logs.pipeline
        self.pages = logs.pages
        self.listener = listener
        self.workers = Workers(metrics, clock, settings.metrics_group)
        self.redactor = redactor
        self.derived = Derived(
            metrics,
            partial(price, own=settings.llm_prices),
            genai_latest=settings.genai_latest,
            own_prices=settings.llm_prices,
        )
        self.users = ActiveUsers(
            _users_dir(settings),
            settings.service,
            clock=clock,
            users_max=settings.active_users_max,
            dropped=metrics.counter("watchkeeper.telemetry.dropped")
            .child(("users", "active_users"))
            .inc,
        )
        metrics.gauge("users.active").collect_from(self.users.counts)
        self.stdlib = logs.stdlib
        self.api_logs = ApiLoggerProvider()
        self.loops = LoopMonitor()
        self._serving = False

    def event(
        self,
        name: str,
        level: str,
        attributes: Mapping[str, object],
        texts: tuple[object, ...] | None = None,
    ) -> None:
        """Write one named log event of the vocabulary; None values are left out.

        Args:
            name: Name of the event.
            level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
            attributes: Its attributes.
            texts: As `LogPipeline.write` takes them.
        """
        rank = LEVELS[level]
        if rank.number < self.log_system.thresholds["watchkeeper"]:
            return
        self.logs.write(rank, "watchkeeper", name, attributes, None, 0, name, "", texts)

    def logging_was_configured(self) -> None:
        """Take over the standard library's logging again: somebody has configured it anew."""
        with guard("logs.reconfigured"):
            self.stdlib.reclaim()

    def start_loop_monitor(self, loop: AbstractEventLoop | None = None) -> None:
        """Watch the lag of an event loop and take over its server's loggers, once per loop.

        Args:
            loop: The loop, on whose thread this must be called; default the running one.
        """
        with guard("loop_monitor"):
            if self.loops.watch(loop or _running_loop()):
                if self.listener is not None and self._serving:
                    self.listener.announce()
                lag = self.metrics.gauge("event_loop.lag").child()
                lag.set_function(self.loops.worst_s)
                # Servers configure logging after the application was imported.
                self.stdlib.take_over()
                self.stdlib.silence_access_log()
                watch_uvicorn(_ending)

    def start(self) -> None:
        """Join the other workers, if there are any, and start the side listener, if there is one."""
        if self._serving:
            return
        self._serving = True
        with guard("metrics.group"):
            self.workers.start()
        if self.listener is not None:
            self.listener.start(self.workers.crew)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Return whether everything recorded so far was delivered within *timeout_s* seconds."""
        return self.recorder.flush(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop every part; what cannot be delivered within *timeout_s* seconds is spooled.

        Integrations whose workers end by ``os._exit``, past exit handlers, call this as the last
        thing: even a request that an endpoint leaves hanging is on disk when it returns.

        Returns:
            Whether everything was delivered.
        """
        self.loops.stop()
        self.leave()
        return self.recorder.shutdown(timeout_s)

    def leave(self) -> None:
        """Leave the metrics to the other workers: this process ends."""
        if self.listener is not None:
            self.listener.stop()
        self.workers.stop()
        self.users.flush()

    def settle(self, timeout_s: float = 3.0) -> None:
        """Deliver what was recorded and withdraw the announcement: the process may end any moment.

        What an endpoint does not take within *timeout_s* seconds is put on disk.
        Everything keeps working if it does not; the announcement returns with the next event loop.
        """
        if self.listener is not None:
            self.listener.withdraw()
        if not self.flush(timeout_s):
            self.recorder.secure()
        self.workers.say()
        self.users.flush()

    def before_fork(self) -> None:
        """Found a group with the child that is about to be, unless there is one already."""
        if self.workers.before_fork() and self.listener is not None and self.workers.crew:
            self.listener.join(self.workers.crew)

    def after_fork(self) -> None:
        """Begin anew in a forked child; the recorder has done so by itself."""
        restart_process_metrics()
        self.workers.after_fork()
        self.log_system.after_fork()
        if self.listener is not None:
            self.listener.after_fork(self.workers.crew)


def build(
    settings: Settings,
    *,
    clock: Clock,
    exporter: Exporter | None = None,
    ids: IdSource | None = None,
) -> Runtime:
    """Put a runtime together; nothing is started and nothing global is changed.

    Args:
        settings: The settings in force.
        clock: Where time comes from.
        exporter: Where telemetry goes; default OTLP as the settings say.
        ids: Where trace and span ids come from; random ones if None.
    """
    redactor = build_redactor(settings, sanitised)
    recorder = _recorder(settings, clock, exporter, ids or RandomIds(), redactor)
    metrics = MetricSet(
        clock=clock,
        series_max=settings.metric_series_max,
        include_prometheus_client=settings.include_prometheus_client,
    )
    logs = LogSystem(
        settings, clock=clock, metrics=metrics, emit=recorder.emit_log, redactor=redactor
    )
    runtime = Runtime(
        settings,
        clock=clock,
        recorder=recorder,
        metrics=metrics,
        logs=logs,
        listener=_listener(settings, metrics, logs.pages),
        redactor=redactor,
    )
    metrics.counter("watchkeeper.redactions").collect_from(redactor.totals)
    runtime.derived.watch_slow_queries(
        settings.slow_query_s,
        SlowQueries(
            runtime.event,
            clock,
            settings.slow_query_events_max,
            metrics.counter("watchkeeper.telemetry.dropped")
            .child(("logs", "slow_query_events"))
            .inc,
        ),
    )
    runtime.derived.tell_calls(
        runtime.event, settings.content_chars_max if settings.capture_content else 0
    )
    runtime.derived.bound_reject_reasons(settings.reject_reasons_max)
    # The method itself: an object that can be called takes longer to call.
    recorder.add_end_hook(runtime.derived.__call__, "derive")
    if settings.enabled and "console" in settings.traces_exporter:
        recorder.add_end_hook(ConsoleSpans(settings.log_stream, redactor), "console")
    target = (settings.service, settings.version, settings.environment)
    register_process_metrics(metrics, clock, _version(), target)
    register_pipeline_metrics(metrics, recorder.stats)
    return runtime


def resource(settings: Settings) -> dict[str, AnyValue]:
    """Return the attributes that say what this process is."""
    found: dict[str, AnyValue] = {
        "telemetry.sdk.name": "watchkeeper",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": _version(),
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
        **settings.resource,
        "service.name": settings.service,
    }
    if settings.version:
        found["service.version"] = settings.version
    if settings.environment:
        found["deployment.environment.name"] = settings.environment
    return found


def _running_loop() -> AbstractEventLoop:
    # Whoever runs a loop has imported asyncio; importing it ourselves would slow every start.
    loop: AbstractEventLoop = sys.modules["asyncio"].get_running_loop()
    return loop


def _ending() -> Callable[[], None] | None:
    host = hosts.current()
    return host.settle if isinstance(host, Runtime) else None


def _recorder(
    settings: Settings, clock: Clock, exporter: Exporter | None, ids: IdSource, redactor: Redactor
) -> Recorder:
    head, tail = samplers(settings, clock)
    return Recorder(
        lambda: resource(settings),
        clock=clock,
        ids=ids,
        exporter=exporters(settings, clock) if exporter is None else exporter,
        sampler=head,
        tail=tail,
        limits=limits_of(RecorderLimits, settings),
        redactor=redactor,
        spool_dir=spool_dir(settings),
        interval_s=settings.export_interval_s,
    )


def _users_dir(settings: Settings) -> Path | None:
    if settings.users_dir:
        return Path(settings.users_dir)
    return Path(settings.home, "users") if settings.home else None


def spool_dir(settings: Settings) -> Path:
    """Return where telemetry waits on disk for its endpoint."""
    if settings.spool_dir:
        return Path(settings.spool_dir)
    if settings.home:
        return Path(settings.home, "spool")
    # A user without a home; the spool itself refuses a directory that is not this user's.
    return Path(tempfile.gettempdir(), f"watchkeeper-{os.getuid()}", "spool")


def _listener(settings: Settings, metrics: MetricSet, pages: Pages) -> MetricsListener | None:
    if settings.metrics_port is None and not settings.targets_dir:
        return None
    return MetricsListener(
        metrics.scrape,
        service=settings.service,
        path=settings.metrics_path,
        port=settings.metrics_port or 0,
        targets_dir=Path(settings.targets_dir) if settings.targets_dir else None,
        pages=pages,
        refusal=Access(settings.metrics_token, settings.metrics_allow).refusal,
        crowded=metrics.counter("watchkeeper.telemetry.dropped")
        .child(("metrics", "scrape_connections"))
        .inc,
        connections_max=settings.scrape_connections_max,
    )


def _version() -> str:
    try:
        return version("watchkeeper")
    except PackageNotFoundError:
        return "0"
