"""Threads and executors that carry the context of their work."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from opentelemetry.trace import get_current_span
from tests.instrument.rig import Rig

from watchkeeper.instrument import context
from watchkeeper.instrument.integrations import install, uninstall
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan


@pytest.fixture(autouse=True)
def _switched_on(rig: Rig) -> Iterator[None]:
    """Switch the integration on."""
    install(rig, ["threading"])
    yield
    uninstall()


@pytest.fixture
def request_span(rig: Rig) -> Iterator[RecordedSpan]:
    """Work inside a request with ids."""
    span = rig.recorder.start("request")
    token = activate(span)
    with context.bind(request_id="r-1", user_id="u-1", tenant_id="t-1"):
        yield span
    deactivate(token)


def seen(*_: object) -> tuple[object, ...]:
    """Return what the code sees of its context."""
    span = get_current_span()
    name = span.name if isinstance(span, RecordedSpan) else None
    return (name, context.request_id(), context.user_id(), context.tenant_id())


INSIDE = ("request", "r-1", "u-1", "t-1")
OUTSIDE = (None, "", "", "")


def test_a_thread_works_in_the_context_of_its_start(request_span: RecordedSpan) -> None:
    """Whether it has a target, a ``run`` of its own, or is a timer."""
    found: list[tuple[object, ...]] = []

    class Own(threading.Thread):
        def run(self) -> None:
            found.append(seen())

    threads = [
        threading.Thread(target=lambda: found.append(seen())),
        Own(),
        threading.Timer(0.0, lambda: found.append(seen())),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [INSIDE] * 3 == found
    assert ["run" in thread.__dict__ for thread in threads] == [False] * 3
    assert request_span.is_recording()


def test_a_span_of_a_thread_outlives_its_parent(rig: Rig, request_span: RecordedSpan) -> None:
    """A child that ends after the request has the request as its parent."""
    go = threading.Event()

    def work() -> None:
        go.wait(10)
        rig.recorder.start("late").end()

    thread = threading.Thread(target=work)
    thread.start()
    request_span.end()
    go.set()
    thread.join()
    late = rig.named("late")
    assert (request_span.trace_id, request_span.span_id) == (late.trace_id, late.parent_id)


@pytest.mark.usefixtures("request_span")
def test_an_executor_works_in_the_context_of_each_submission() -> None:
    """Its worker threads keep nothing of the request that started them."""
    with ThreadPoolExecutor(1) as executor:
        assert INSIDE == executor.submit(seen).result()
        with context.bind(request_id="r-2"):
            assert [("request", "r-2", "u-1", "t-1")] * 2 == list(executor.map(seen, "ab"))
        # What an executor's thread does by itself is nobody's.
        bare: list[tuple[object, ...]] = []
        queue: Any = executor._work_queue
        queue.put(_Bare(bare))
        executor.submit(seen).result()
    assert [OUTSIDE] == bare


class _Bare:
    """A work item that came by no ``submit``."""

    def __init__(self, found: list[tuple[object, ...]]) -> None:
        self._found = found

    def run(self, *_: object) -> None:
        self._found.append(seen())


@pytest.mark.usefixtures("request_span")
def test_asyncios_and_anyios_threads_carry_the_context() -> None:
    """``run_in_executor``, ``to_thread`` and anyio's worker threads show the request."""

    async def work() -> list[object]:
        loop = asyncio.get_running_loop()
        return [
            await loop.run_in_executor(None, seen),
            await asyncio.to_thread(seen),
            await anyio.to_thread.run_sync(seen),
        ]

    assert [INSIDE] * 3 == asyncio.run(work())


@pytest.mark.usefixtures("request_span")
def test_threads_that_serve_many_start_without_a_context() -> None:
    """A library's thread does not show the request that happened to start it for ever."""
    found: list[tuple[object, ...]] = []

    def serve() -> None:
        found.append(seen())

    serve.__module__ = "redis.client"
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    ours = threading.Thread(target=lambda: found.append(seen()), name="watchkeeper-x")
    ours.start()
    ours.join()
    assert [OUTSIDE] * 2 == found


@pytest.mark.usefixtures("request_span")
def test_nothing_is_kept_alive_by_a_thread() -> None:
    """After its work a thread object that is kept holds neither the context nor its target."""

    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)

    def started(big: Big) -> threading.Thread:
        thread = threading.Thread(target=seen, args=(big,))
        with context.bind(payload=big):
            thread.start()
        thread.join()
        return thread

    gc.collect()
    gc.disable()
    try:
        thread = started(big)
        del big
        assert gone() is None
    finally:
        gc.enable()
    assert not thread.is_alive()


def test_a_thread_that_cannot_start_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the application's, and a second start fails as it always did."""
    thread = threading.Thread(target=seen)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", _no_thread)
        with pytest.raises(RuntimeError, match="no more"):
            thread.start()
    assert "run" not in thread.__dict__
    done = threading.Thread(target=seen)
    done.start()
    done.join()
    with pytest.raises(RuntimeError, match="once"):
        done.start()
    assert "run" not in done.__dict__


def _no_thread(*_: object) -> None:
    raise RuntimeError("no more threads")


PROCESSES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import watchkeeper
from watchkeeper.instrument import context


def seen(_):
    return context.request_id()


if __name__ == "__main__":
    watchkeeper.configure(traces_exporter="none", logs_exporter="none")
    for way in ("fork", "spawn"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(way)) as pool:
            for name in ("r-1", "r-2"):
                with context.bind(request_id=name):
                    print(way, pool.submit(seen, 0).result() or "none")
"""


def test_processes_are_left_alone(tmp_path: Path) -> None:
    """One that is spawned begins without a context; a forked one has that of its fork for ever."""
    (tmp_path / "processes.py").write_text(PROCESSES, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "processes.py"],
        cwd=tmp_path,
        env={**os.environ, "WATCHKEEPER_SPOOL_DIR": str(tmp_path / "spool")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "fork r-1\nfork r-1\nspawn none\nspawn none\n" == done.stdout, done.stderr


def test_everything_can_be_put_back() -> None:
    """Uninstalled, the library is as it was."""
    uninstall()
    found: list[tuple[object, ...]] = []
    with context.bind(request_id="r-1"):
        thread = threading.Thread(target=lambda: found.append(seen()))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as executor:
            found.append(executor.submit(seen).result())
    assert [OUTSIDE] * 2 == found
