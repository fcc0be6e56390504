"""The door is light: importing watchkeeper brings nothing that an application may not need."""

from __future__ import annotations

import subprocess
import sys

import watchkeeper

HEAVY = (
    "starlette", "fastapi", "sqlalchemy", "httpx", "opentelemetry.sdk", "duckdb", "numpy",
    "structlog", "prometheus_client", "rich", "asyncio", "google.protobuf", "requests",
)  # fmt: skip
SHOW = f"""
import sys
{{}}
print(",".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def loaded(code: str) -> str:
    """Return the heavy modules that *code* loads in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_the_import_is_light() -> None:
    """No framework, database, SDK, structlog or even asyncio is imported."""
    assert loaded("import watchkeeper") == ""


def test_configuring_is_light() -> None:
    """Libraries that are waited for are not imported by it."""
    code = "import watchkeeper; watchkeeper.configure(endpoint='', log_level='error')"

    assert loaded(code) == ""


def test_the_names_are_sorted_and_there() -> None:
    """Everything that the door promises can be had."""
    assert sorted(watchkeeper.__all__) == watchkeeper.__all__
    assert all(getattr(watchkeeper, name) is not None for name in watchkeeper.__all__)


def test_the_package_of_the_same_name_stays_reachable() -> None:
    """`watchkeeper.instrument` is called as a function and imported from as a package."""
    from watchkeeper.instrument import settings

    assert callable(watchkeeper.instrument)
    assert watchkeeper.instrument.settings is settings  # type: ignore[attr-defined] # the package
