"""Switching integrations on and off, at once or after an import."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from tests.house.rooms import ROOT
from tests.instrument.rig import Rig

import watchkeeper
from watchkeeper.errors import SettingError
from watchkeeper.instrument.integrations import TABLE, install, installed, uninstall
from watchkeeper.instrument.integrations.imports import ImportWatch

CHECK = """
import sys
sys.path[:0] = {path!r}
from tests.instrument.rig import Rig
from watchkeeper.instrument.integrations import install, installed
heavy = {{"starlette", "fastapi", "sqlalchemy", "huey", "httpx", "httpx2", "openai", "anthropic", "asyncpg",
    "psycopg", "redis", "celery", "arq", "taskiq", "apscheduler", "langchain_core", "openinference", "pydantic_ai"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
rig = Rig()
install(rig)
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert installed() == ("threading",)
import fastapi, sqlalchemy, huey, httpx
assert set(installed()) >= {{"starlette", "fastapi", "sqlalchemy", "huey", "httpx"}}, installed()
assert type(sys.modules["fastapi.applications"].__loader__).__name__ == "SourceFileLoader"
from sqlalchemy import create_engine, text
with create_engine("sqlite://").connect() as c:
    c.execute(text("SELECT 1"))
assert [s.name for s in rig.spans] == ["SELECT"], rig.spans
"""


@pytest.fixture
def watch() -> Iterator[ImportWatch]:
    """Return a running watch."""
    made = ImportWatch()
    made.start()
    yield made
    made.stop()


def test_nothing_is_imported_before_the_application_does() -> None:
    """In a fresh process installing imports no library; importing one instruments it."""
    code = CHECK.format(path=[str(Path.cwd()), str(Path.cwd() / "src")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


LATER = {
    "authlib": "import authlib.integrations.base_client",
    "apscheduler": "import apscheduler.schedulers.background",
    "celery": "from celery import Celery",
    "django": "import django.core.wsgi",
    "fastapi": "from fastapi import FastAPI",
    "flask": "from flask import Flask",
    "huey": "from huey import SqliteHuey",
    "langchain": "import langchain_core.runnables.base",
    "starlette": "import starlette.applications",
    "taskiq": "from taskiq import InMemoryBroker",
    "urllib": "import urllib.request",
}
"""How an application first imports a library whose name alone would not do."""


@pytest.mark.parametrize("name", [row.name for row in TABLE])
def test_a_library_may_be_imported_after_configuring(name: str) -> None:
    """Every library is observed also if `configure` comes before its first import."""
    code = f"""
import watchkeeper
runtime = watchkeeper.configure(endpoint="")
{LATER.get(name, f"import {name}")}
from watchkeeper.instrument.guard import hook_errors
from watchkeeper.instrument.integrations import installed
print({name!r} in installed(), hook_errors())
"""
    sides = sorted(str(path) for path in (ROOT / "build" / "side").glob("arq"))
    paths = os.pathsep.join([*(sides if name == "arq" else ()), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "True {}") == (done.returncode, done.stdout.strip()), done.stderr


def test_the_named_libraries_are_switched_on(rig: Rig) -> None:
    """Names choose; an unknown one is refused with the accepted ones."""
    import httpx

    before = httpx.Client.send
    install(rig, ["httpx"])
    try:
        assert ("httpx",) == installed()
        assert before is not httpx.Client.send
    finally:
        uninstall()
    assert () == installed()
    assert before is httpx.Client.send
    with pytest.raises(SettingError, match="no integration has this name") as caught:
        install(rig, ["httpy"])
    assert all(row.name in str(caught.value) for row in TABLE)


def test_a_watched_import_is_announced_once(watch: ImportWatch, tmp_path: Path) -> None:
    """The module runs first, the callback after, and the module keeps its own loader."""
    (tmp_path / "wk_watched.py").write_text("value = 1\n")
    sys.path.insert(0, str(tmp_path))
    seen: list[int] = []
    watch.after("wk_watched", lambda: seen.append(sys.modules["wk_watched"].value))
    try:
        import wk_watched  # type: ignore[import-not-found] # written above

        del sys.modules["wk_watched"]
        import wk_watched  # noqa: F811 - again
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("wk_watched", None)
    assert [1] == seen
    assert isinstance(wk_watched.__spec__.loader, SourceFileLoader)


def test_a_missing_module_stays_missing(watch: ImportWatch) -> None:
    """A watched module that does not exist raises the usual error."""
    watch.after("wk_missing", lambda: None)
    with pytest.raises(ModuleNotFoundError, match="wk_missing"):
        __import__("wk_missing")


def test_a_callback_that_fails_stops_no_import(watch: ImportWatch, tmp_path: Path) -> None:
    """The import goes through, the error is swallowed and counted."""
    from watchkeeper.instrument.guard import hook_errors

    (tmp_path / "wk_unlucky.py").write_text("")
    sys.path.insert(0, str(tmp_path))

    def fail() -> None:
        raise ZeroDivisionError

    watch.after("wk_unlucky", fail)
    before = hook_errors().get("integrations.import", 0)
    try:
        __import__("wk_unlucky")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("wk_unlucky", None)
    assert before + 1 == hook_errors()["integrations.import"]


def test_the_door_instruments_by_name_and_puts_back() -> None:
    """`watchkeeper.instrument` adds one library, `uninstrument` takes just that one away."""
    watchkeeper.configure(endpoint="", instrument="starlette", log_level="error")
    try:
        assert "httpx" in watchkeeper.instrument("httpx")
        watchkeeper.uninstrument("httpx")
        assert ("starlette",) == watchkeeper.instrument("starlette")
    finally:
        watchkeeper.shutdown()


def test_instrumenting_before_configuring_says_what_to_do() -> None:
    """The error names `configure`."""
    with pytest.raises(SettingError, match=r"call watchkeeper\.configure\(\) first"):
        watchkeeper.instrument("httpx")
