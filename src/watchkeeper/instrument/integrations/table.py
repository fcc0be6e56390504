"""Which libraries are instrumented, and when: at once if imported, else right after their import.

Nothing heavy is imported by `install`: a library that the application never imports costs nothing.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from watchkeeper.errors import SettingError
from watchkeeper.instrument.guard import guard, log_once, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.imports import ImportWatch
from watchkeeper.instrument.integrations.missing import MissingPackage

__all__ = ["TABLE", "Integration", "after_import", "install", "installed", "uninstall"]


class Integration(NamedTuple):
    """One row: a library and the module of ours that instruments it."""

    name: str
    """What `configure(instrument=…)` calls it."""
    library: str
    """The library's module whose import is waited for."""
    module: str
    """Our module, with ``instrument(host) -> undo``."""


_OURS = "watchkeeper.instrument.integrations."

TABLE: tuple[Integration, ...] = (
    Integration("threading", "threading", f"{_OURS}threading"),
    Integration("loguru", "loguru", f"{_OURS}loguru"),
    Integration("starlette", "starlette.applications", f"{_OURS}starlette"),
    Integration("fastapi", "fastapi.applications", f"{_OURS}fastapi"),
    Integration("flask", "flask.app", f"{_OURS}flask"),
    Integration("django", "django.core.handlers.base", f"{_OURS}django"),
    Integration("sqlalchemy", "sqlalchemy", f"{_OURS}sqlalchemy"),
    Integration("asyncpg", "asyncpg", f"{_OURS}asyncpg"),
    Integration("psycopg", "psycopg", f"{_OURS}psycopg"),
    Integration("psycopg_pool", "psycopg_pool", f"{_OURS}psycopg_pool"),
    Integration("redis", "redis", f"{_OURS}redis"),
    Integration("celery", "celery.app.base", f"{_OURS}celery"),
    Integration("arq", "arq.worker", f"{_OURS}arq"),
    Integration("taskiq", "taskiq.receiver.receiver", f"{_OURS}taskiq"),
    Integration("apscheduler", "apscheduler.executors.base", f"{_OURS}apscheduler"),
    Integration("huey", "huey.api", f"{_OURS}huey"),
    Integration("httpx", "httpx", f"{_OURS}httpx"),
    Integration("httpx2", "httpx2", f"{_OURS}httpx2"),
    Integration("urllib", "urllib.request", f"{_OURS}urllib"),
    Integration("requests", "requests.sessions", f"{_OURS}requests"),
    Integration("aiohttp", "aiohttp.client", f"{_OURS}aiohttp"),
    Integration("authlib", "authlib.integrations.base_client", f"{_OURS}authlib"),
    Integration("openai", "openai", f"{_OURS}openai"),
    Integration("anthropic", "anthropic", f"{_OURS}anthropic"),
    # Late enough that what OpenInference imports of it is there.
    Integration("langchain", "langchain_core.runnables.base", f"{_OURS}langchain"),
    Integration("pydantic_ai", "pydantic_ai", f"{_OURS}pydantic_ai"),
)


class _Installed:
    """What is installed in this process."""

    def __init__(self) -> None:
        self.undo: dict[str, Callable[[], None]] = {}
        self.watch: ImportWatch | None = None


_STATE = _Installed()


def install(host: Host, names: str | Iterable[str] = "auto") -> None:
    """Instrument libraries; one that is instrumented already stays as it is.

    An integration that fails, because its library is of an unknown version for example, is
    counted and logged once, and the others still work.

    Args:
        host: The running instrumentation.
        names: ``auto`` for all, or names from `TABLE`.

    Raises:
        SettingError: A name is not in `TABLE`.
    """
    rows = _chosen(names)
    watch = _STATE.watch
    if watch is None:
        watch = _STATE.watch = ImportWatch()
    for row in rows:
        if row.name in _STATE.undo:
            continue
        if row.library in sys.modules:
            _switch_on(host, row)
        else:
            watch.after(row.library, partial(_switch_on, host, row))
    watch.start()


def after_import(name: str, callback: Callable[[Any], None]) -> None:
    """Call *callback* with the module *name* once it is imported; to be called after `install`.

    Args:
        name: Name of the module.
        callback: What to call, at once if the module is imported already.
    """
    if name in sys.modules:
        callback(sys.modules[name])
    elif _STATE.watch is not None:
        _STATE.watch.after(name, lambda: callback(sys.modules[name]))


def uninstall(names: Iterable[str] | None = None) -> None:
    """Undo what `install` did, and wait for no further imports.

    Args:
        names: Names from `TABLE`; None means everything.

    Raises:
        SettingError: A name is not in `TABLE`.
    """
    rows = list(TABLE) if names is None else _chosen(names)
    watch = _STATE.watch
    if watch is not None:
        for row in rows:
            watch.forget(row.library)
        if names is None:
            watch.stop()
            _STATE.watch = None
    wanted = {row.name for row in rows}
    for name in reversed([name for name in _STATE.undo if name in wanted]):
        with guard("integrations.uninstall"):
            _STATE.undo.pop(name)()


def installed() -> tuple[str, ...]:
    """Return the names of the libraries that are instrumented now."""
    return tuple(_STATE.undo)


def _chosen(names: str | Iterable[str]) -> list[Integration]:
    if names == "auto":
        return list(TABLE)
    wanted = [names] if isinstance(names, str) else list(names)
    by_name = {row.name: row for row in TABLE}
    for name in wanted:
        if name not in by_name:
            raise SettingError.explain(
                "no integration has this name",
                got=name,
                accepted="auto, or " + ", ".join(by_name),
                next_step="correct the setting `instrument`",
            )
    return [by_name[name] for name in wanted]


def _switch_on(host: Host, row: Integration) -> None:
    if row.name in _STATE.undo:
        return
    try:
        module = importlib.import_module(row.module)
        _STATE.undo[row.name] = module.instrument(host)
    except MissingPackage as missing:
        log_once(
            (row.name, missing.package),
            logging.WARNING,
            "watchkeeper: %s. Fix: %s, or leave %s out of the setting `instrument`.",
            missing,
            missing.fix,
            row.name,
        )
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(f"integrations.{row.name}", error)
