# ruff: noqa: INP001 - a folder of the module search path, not a package
"""Runs at the start of every Python process below ``watchkeeper run``.

Most of them are no application: supervisors, package managers, shells. So nothing is imported here
but what every interpreter has loaded; watchkeeper starts when one of the libraries below is first
imported. Another ``sitecustomize`` further down the path runs too.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader

_LIBRARIES = frozenset(
    (
        "aiohttp", "anthropic", "apscheduler", "arq", "asyncpg", "authlib", "celery", "django",
        "fastapi", "flask", "httpx", "httpx2", "huey", "langchain_core", "loguru", "openai",
        "psycopg", "psycopg_pool", "pydantic_ai", "redis", "requests", "sqlalchemy", "starlette",
        "taskiq",
    )
)  # fmt: skip
"""All that are observed but those of the standard library, which every program may import."""
_TOOLS = frozenset(
    (
        "conda", "flit", "hatch", "honcho", "nox", "pdm", "pip", "pip3", "pipenv", "pipx", "poetry",
        "pre-commit", "rye", "supervisord", "tox", "twine", "uv",
    )
)  # fmt: skip
"""Programs that start others and use such libraries themselves."""


class _Starter:
    """A finder that finds nothing, but learns what is about to be imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Start watchkeeper if *name* is a library that it instruments."""
        del path, target
        if name not in _LIBRARIES or _is_tool():
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        try:
            importlib.import_module("watchkeeper.instrument.autoload").start()
        except Exception as error:  # noqa: BLE001 - the application's own import must go on
            sys.stderr.write(f"watchkeeper: not started: {error}\n")
        # The list of finders has changed under the import system's loop, so ask it again.
        spec: ModuleSpec | None = importlib.import_module("importlib.util").find_spec(name)
        return spec


def _is_tool() -> bool:
    words = getattr(sys, "argv", None) or [""]
    return words[0].rpartition("/")[2] in _TOOLS


def _run_next() -> None:
    """Run the ``sitecustomize`` that ours hides, if there is one."""
    here = __file__.rpartition("/")[0]
    rest = [entry for entry in sys.path if entry.rstrip("/") != here]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        return
    code = spec.loader.get_code("sitecustomize")
    if code is not None:
        exec(code, {"__name__": "sitecustomize", "__file__": spec.origin})  # noqa: S102 - as Python would


def _asked() -> bool:
    import os  # noqa: PLC0415 - loaded at start-up in any case

    return os.environ.get("WATCHKEEPER_AUTOLOAD") == "1"


if _asked():
    sys.meta_path.insert(0, _Starter())
_run_next()
