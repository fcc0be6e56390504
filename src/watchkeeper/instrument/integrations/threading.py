"""Threads and executors: work that they are given keeps the context that it was given in.

Covers ``threading.Thread`` (and ``Timer``) and ``ThreadPoolExecutor``, and with it
``loop.run_in_executor``; ``asyncio.to_thread`` and anyio's worker threads carry the context by
themselves. Processes are left alone: what they are given is pickled.

An executor's worker thread, and a thread of a library that serves many, is started by whichever
request comes first, and would show that request's ids for ever; such threads start without one, and
each submitted function brings its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace

__all__ = ["instrument"]

_HOOK = "threading"
_SHARED = frozenset(
    {
        "anyio",
        "apscheduler",
        "arq",
        "asyncio",
        "celery",
        "concurrent",
        "ddtrace",
        "grpc",
        "gunicorn",
        "kombu",
        "logging",
        "multiprocessing",
        "opentelemetry",
        "prometheus_client",
        "psycopg_pool",
        "pymongo",
        "redis",
        "sentry_sdk",
        "socketserver",
        "uvicorn",
        "watchkeeper",
    }
)
"""Packages whose threads outlive the work during which they are started."""


def instrument(host: Host) -> Callable[[], None]:  # noqa: ARG001 - the face of every integration
    """Let threads and executors carry the context.

    Returns:
        A function that undoes it.
    """
    return all_of(
        replace(threading.Thread, "start", _starting(threading.Thread.start)),
        replace(ThreadPoolExecutor, "submit", _submitting(ThreadPoolExecutor.submit)),
    )


class _Run:
    """What a thread runs instead of its ``run``, once: that, in the context of its start."""

    __slots__ = ("_context", "_own", "_run", "_thread")

    def __init__(self, thread: threading.Thread) -> None:
        self._thread: threading.Thread | None = thread
        self._own = thread.__dict__.get("run")
        self._run = thread.run
        self._context: Context | None = copy_context()

    def restore(self) -> None:
        """Give the thread its ``run`` back, and keep neither thread nor context alive."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._own is None:
                thread.__dict__.pop("run", None)
            else:
                thread.__dict__["run"] = self._own
        self._context = None

    def __call__(self) -> None:
        context, run = self._context, self._run
        self.restore()
        del self._run, self._own
        if context is None:
            run()
        else:
            context.run(run)


def _starting(original: Callable[..., None]) -> Callable[..., None]:
    def start(thread: threading.Thread, *args: Any, **kwargs: Any) -> None:
        run = None
        try:
            if thread.ident is None and not _is_shared(thread):
                run = thread.__dict__["run"] = _Run(thread)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
        try:
            original(thread, *args, **kwargs)
        except BaseException:
            # Out of threads, for example.
            if run is not None:
                run.restore()
            raise

    return start


def _is_shared(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    if target is None:
        module = type(thread).__module__
    else:
        module = getattr(target, "__module__", None) or type(target).__module__
    return module.partition(".")[0] in _SHARED or thread.name.startswith("watchkeeper")


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(executor: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if type(function) is partial and type(getattr(function.func, "__self__", None)) is Context:
            # asyncio.to_thread has wrapped it already.
            return original(executor, function, *args, **kwargs)
        return original(executor, copy_context().run, function, *args, **kwargs)

    return submit
