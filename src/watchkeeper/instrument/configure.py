"""`configure`: one call that makes the process observable, and its counterparts."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TextIO, Unpack

from watchkeeper.clock import SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument import host, integrations, provider, redaction
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.runtime import Runtime, build
from watchkeeper.instrument.settings import TABLE, ExportArguments, Settings, load

__all__ = [
    "Arguments",
    "configure",
    "configure_softly",
    "current",
    "flush",
    "instrument",
    "shutdown",
    "uninstrument",
]

_LOGGER = logging.getLogger("watchkeeper")


class Arguments(ExportArguments, total=False):
    """The settings as keyword arguments; `watchkeeper.instrument.settings` describes each."""

    service: str
    version: str
    environment: str
    enabled: bool
    resource: Mapping[str, str]
    sample_ratio: float
    sample_parent: bool
    sample_rules: str | Mapping[str, float] | Sequence[tuple[str, float]]
    sample_exclude: Sequence[str]
    sample_tail: bool
    sample_slow_s: float
    sample_new_s: float
    sample_kept_per_s_max: int
    sample_held_spans_max: int
    sample_held_traces_max: int
    sample_held_s_max: int
    sample_trace_spans_max: int
    sample_decisions_max: int
    sample_seen_max: int
    propagators: Sequence[str]
    baggage_keys: Sequence[str]
    baggage_value_chars_max: int
    log_level: str | int
    log_format: str
    log_stream: TextIO
    log_color: bool
    log_levels: Mapping[str, str | int] | str
    log_level_signal: str
    log_sampling: Mapping[str, float] | str
    log_stdout: bool
    log_file: str | PathLike[str]
    log_file_rotate: str | int
    log_file_compress: bool
    admin_token: str
    targets_dir: str | PathLike[str]
    metrics_port: int
    metrics_path: str
    metrics_group: str
    metrics_token: str
    metrics_allow: Sequence[str]
    include_prometheus_client: bool
    capture_content: bool
    access_log_exclude: Sequence[str]
    redact: bool
    redact_keys: Sequence[str]
    redact_keys_allowed: Sequence[str]
    redact_kinds_off: Sequence[str]
    redact_patterns: Mapping[str, str]
    redact_mode: str
    redact_hash_key: str
    export_interval_s: float
    export_timeout_s: float
    instrument: str | Sequence[str]
    fastapi_operation_spans: bool
    send_request_id: bool
    log_line_bytes_max: int
    log_fields_max: int
    log_burst_lines_max: int
    log_lines_per_s_max: int
    log_repeats_max: int
    log_events_max: int
    log_levels_max: int
    log_file_bytes_max: int
    log_file_days_max: int
    log_file_total_bytes_max: int
    metric_series_max: int
    scrape_connections_max: int
    content_chars_max: int
    llm_prices: Mapping[str, Mapping[str, float]]
    genai_latest: bool
    users_dir: str | PathLike[str]
    active_users_max: int
    agent_loop_repeats: int
    agent_calls_kept_max: int
    slow_query_s: float
    slow_query_events_max: int
    reject_reasons_max: int


class _State:
    """The one runtime of this process."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.soft = False
        self.lock = threading.RLock()


_STATE = _State()


def configure(**settings: Unpack[Arguments]) -> Runtime:
    """Make this process observable: logs, metrics, traces and automatic instrumentation.

    A second call with the same settings returns the same runtime. A second call with others keeps
    the first and logs a warning that names the differences, since two parts of a program that
    disagree about the service's name have to be told; call `shutdown` first to replace it. What
    ``watchkeeper run`` configured by itself is always replaced.

    Args:
        settings: See `watchkeeper.instrument.settings.Settings`; what is not given comes from the
            environment, then from ``watchkeeper.toml``, then from the defaults.

    Returns:
        The runtime.

    Raises:
        SettingError: A setting is unknown, or its value cannot be read.
        StartError: `metrics_port` was given and is in use.
    """
    wanted = load(settings)
    with _STATE.lock:
        present = _STATE.runtime
        if present is not None and _STATE.soft:
            shutdown()
            present = None
        if present is None:
            return _start(wanted)
        differing = _differences(present.settings, wanted)
        if differing:
            _LOGGER.warning(
                "watchkeeper.configure was called again with other settings (%s); the first call "
                "stays in force. Call watchkeeper.shutdown() before, or configure once.",
                ", ".join(differing),
            )
        return present


def configure_softly() -> Runtime:
    """Configure from the environment alone; a later `configure` of the application replaces it."""
    with _STATE.lock:
        if _STATE.runtime is None:
            _start(load({}))
            _STATE.soft = True
        assert _STATE.runtime is not None  # noqa: S101 - just set
        return _STATE.runtime


def current() -> Runtime | None:
    """Return the runtime of this process, or None before `configure` and after `shutdown`."""
    return _STATE.runtime


def flush(timeout_s: float = 10.0) -> bool:
    """Deliver what was recorded so far.

    Args:
        timeout_s: Seconds to wait at most.

    Returns:
        Whether everything was delivered in time; True if nothing is configured.
    """
    runtime = _STATE.runtime
    return runtime is None or runtime.flush(timeout_s)


def shutdown(timeout_s: float = 5.0) -> bool:
    """Deliver what was recorded, stop, and put back everything that `configure` changed.

    Runs by itself at the interpreter's exit.

    Args:
        timeout_s: Seconds for the delivery; the rest is spooled.

    Returns:
        Whether everything was delivered; True if nothing is configured.
    """
    with _STATE.lock:
        runtime, _STATE.runtime, _STATE.soft = _STATE.runtime, None, False
        if runtime is None:
            return True
        atexit.unregister(_at_exit)
        host.detach()
        with guard("shutdown.integrations"):
            integrations.uninstall()
            propagation.use()
        with guard("shutdown.provider"):
            provider.withdraw(runtime.recorder.tracer_provider)
        with guard("shutdown.logs"):
            runtime.api_logs.withdraw()
            runtime.log_system.uninstall()
            redaction.use(None)
        return runtime.stop(timeout_s)


def instrument(*names: str) -> tuple[str, ...]:
    """Instrument libraries by name, beside those that `configure` chose.

    A library that is not imported yet is instrumented right after its import; one that is
    instrumented already stays as it is.

    Args:
        names: Names of integrations, ``redis`` for example; none means all.

    Returns:
        The names of all libraries that are instrumented now.

    Raises:
        SettingError: A name is unknown, or `configure` was not called before.
    """
    runtime = _STATE.runtime
    if runtime is None:
        raise SettingError.explain(
            "libraries cannot be instrumented yet",
            got=names or "all",
            accepted="a call after watchkeeper.configure()",
            next_step="call watchkeeper.configure() first",
        )
    if runtime.settings.enabled:
        integrations.install(runtime, names or "auto")
    return integrations.installed()


def uninstrument(*names: str) -> None:
    """Put libraries back as they were; none means all. Libraries that are not instrumented stay.

    Args:
        names: Names of integrations.

    Raises:
        SettingError: A name is unknown.
    """
    integrations.uninstall(names or None)


def _start(settings: Settings) -> Runtime:
    runtime = build(settings, clock=SystemClock())
    if settings.enabled:
        runtime.start()
        redaction.use(runtime.redactor)
        runtime.log_system.install()
        note = provider.offer(runtime.recorder.tracer_provider, runtime.derived)
        propagation.use(settings.propagators)
        runtime.api_logs.offer()
        host.attach(runtime)
        integrations.install(runtime, settings.instrument)
        integrations.after_import("logging.config", runtime.stdlib.watch_config)
        for line in (note, *settings.ignored):
            if line:
                _LOGGER.warning("watchkeeper: %s", line)
        atexit.register(_at_exit)
    _STATE.runtime = runtime
    return runtime


def _differences(present: Settings, wanted: Settings) -> list[str]:
    return [name for name in TABLE if getattr(present, name) != getattr(wanted, name)]


def _at_exit() -> None:
    with guard("exit"):
        shutdown()


def _before_fork() -> None:
    runtime = _STATE.runtime
    if runtime is not None and runtime.settings.enabled:
        with guard("fork"):
            runtime.before_fork()


def _after_fork() -> None:
    _STATE.lock = threading.RLock()
    runtime = _STATE.runtime
    if runtime is None or not runtime.settings.enabled:
        return
    with guard("fork"):
        runtime.after_fork()
        util: Any = sys.modules.get("multiprocessing.util")
        if util is not None:
            # Children of multiprocessing leave by os._exit, past atexit, and forget finalizers
            # that exist when they begin; this is called after that.
            util.register_after_fork(runtime, _finalize)


def _finalize(runtime: Any) -> None:
    util: Any = sys.modules["multiprocessing.util"]
    util.Finalize(runtime, runtime.leave, exitpriority=0)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
