"""Exceptions that nobody caught become entries, and the hooks of others still run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.instrument.logs.rig import Rig

from watchkeeper.instrument.logs import LEVELS, StdlibLogging, route
from watchkeeper.instrument.logs.uncaught import Uncaught


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Rig, list[str]]]:
    """Return a rig whose hooks are installed, and what the hooks before them were called with."""
    rig, called = Rig(), list[str]()
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: called.append(kind.__name__))
    monkeypatch.setattr(threading, "excepthook", lambda a: called.append(a.exc_type.__name__))
    monkeypatch.setattr(sys, "unraisablehook", lambda a: called.append(a.exc_type.__name__))
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    uncaught = Uncaught(
        lambda level, event, fields, error: rig.pipeline.write(
            LEVELS[level], "py.uncaught", event, fields, error
        )
    )
    uncaught.install()
    yield rig, called
    uncaught.uninstall()
    assert before == (sys.excepthook, threading.excepthook, sys.unraisablehook)


def raised(error: BaseException) -> tuple[type[BaseException], BaseException, Any]:
    """Return what ``sys.exc_info`` would."""
    return type(error), error, error.__traceback__


def test_the_last_exception_is_an_entry(hooks: tuple[Rig, list[str]]) -> None:
    """What ends the program is written at level critical, then the hook before ours runs."""
    rig, called = hooks
    sys.excepthook(*raised(ValueError("bad")))

    assert ("critical", "py.uncaught", "ValueError", "MainThread") == (
        rig.line()["level"],
        rig.line()["logger"],
        rig.line()["exception"]["type"],
        rig.line()["thread"],
    )
    assert ["ValueError"] == called


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_interrupts_are_no_errors(hooks: tuple[Rig, list[str]], error: BaseException) -> None:
    """Ctrl-C and exits write nothing and reach the hook before ours."""
    rig, called = hooks
    sys.excepthook(*raised(error))

    assert [] == rig.lines()
    assert [type(error).__name__] == called


def test_a_thread_that_dies_is_an_entry(hooks: tuple[Rig, list[str]]) -> None:
    """An exception that ends a thread is written with the thread's name."""
    rig, called = hooks

    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="worker-7")
    thread.start()
    thread.join()

    assert ("error", "worker-7", "in a thread") == (
        rig.line()["level"],
        rig.line()["thread"],
        rig.line()["exception"]["message"],
    )
    assert ["ValueError"] == called


def test_an_exception_in_a_finaliser_is_an_entry(hooks: tuple[Rig, list[str]]) -> None:
    """What ``__del__`` raises is written with the place, though not with the object's repr."""
    rig, called = hooks

    class Dying:
        def __del__(self) -> None:
            raise ValueError("in a finaliser")

        def __repr__(self) -> str:
            raise AssertionError("half destroyed objects are not shown")

    Dying()

    assert rig.line()["exception"]["message"] == "in a finaliser"
    assert rig.line()["where"].endswith("Dying.__del__")
    assert ["ValueError"] == called


def test_hooks_in_front_of_ours_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hooked in after us is not removed by our end, and ours passes on to what was before."""
    called = list[str]()
    monkeypatch.setattr(sys, "excepthook", lambda *_: called.append("before"))
    wrote = list[str]()
    uncaught = Uncaught(lambda *_: wrote.append("entry"))
    uncaught.install()
    ours = sys.excepthook

    def later(*args: Any) -> None:
        called.append("later")
        ours(*args)

    sys.excepthook = later
    uncaught.uninstall()
    sys.excepthook(*raised(ValueError()))

    assert (["later", "before"], []) == (called, wrote)
    assert later is sys.excepthook


def test_a_failing_log_does_not_hide_the_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the entry cannot be written the hook before ours still runs."""
    called = list[str]()
    monkeypatch.setattr(threading, "excepthook", lambda _: called.append("before"))

    def broken(*_: object) -> None:
        raise OSError("full")

    uncaught = Uncaught(broken)
    uncaught.install()
    threading.excepthook(
        SimpleNamespace(exc_type=ValueError, exc_value=ValueError(), thread=None)  # type: ignore[arg-type]
    )
    uncaught.uninstall()

    assert ["before"] == called


def test_errors_of_tasks_and_callbacks_arrive_already() -> None:
    """A loop's default handler logs to ``asyncio``: one entry with the exception, none twice."""
    rig = Rig()
    bridge = StdlibLogging()
    route(rig.pipeline, 20)
    bridge.install(20)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    bridge.uninstall()
    route(None, 20)

    assert [("asyncio", "error", "ZeroDivisionError")] == [
        (line["logger"], line["level"], line["exception"]["type"]) for line in rig.lines()
    ]


def test_a_real_warning_is_an_entry() -> None:
    """``warnings.warn`` arrives as an entry of ``py.warnings`` with its text."""
    rig = Rig()
    bridge = StdlibLogging()
    route(rig.pipeline, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        bridge.install(20)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
        bridge.uninstall()
    route(None, 20)

    assert ("py.warnings", "warning", True) == (
        rig.line()["logger"],
        rig.line()["level"],
        "DeprecationWarning: old thing" in rig.line()["event"],
    )


def test_a_program_that_dies_says_so_in_its_log(tmp_path: Path) -> None:
    """A real process writes the entry to its log and the traceback to stderr, and exits with 1."""
    code = (
        "import watchkeeper\n"
        "watchkeeper.configure(endpoint='', service='dying')\n"
        "raise RuntimeError('the end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        check=False,
    )  # fmt: skip
    line = json.loads(done.stdout)

    assert (1, "critical", "dying", "the end") == (
        done.returncode,
        line["level"],
        line["service"],
        line["exception"]["message"],
    )
    assert done.stderr.endswith("RuntimeError: the end\n")
