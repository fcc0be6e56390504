"""The door is light: importing watchkeeper brings nothing that an application may not need."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import watchkeeper

HEAVY = (
    "starlette", "fastapi", "sqlalchemy", "httpx", "opentelemetry.sdk", "duckdb", "numpy",
    "structlog", "prometheus_client", "rich", "asyncio", "google.protobuf", "requests",
    "decimal", "difflib", "tomllib", "genai_prices", "pydantic",
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


OURS = "import watchkeeper; watchkeeper.configure(endpoint='http://127.0.0.1:9', log_level='error')"
SDK = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint="http://127.0.0.1:9")))
trace.set_tracer_provider(provider)
"""
TIMED = """
import time
began = time.process_time_ns()
exec({!r})
print(time.process_time_ns() - began, flush=True)
import os
os._exit(0)
"""


def started(code: str, folder: Path) -> int:
    """Return the nanoseconds of CPU time that *code* takes in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(code)],
        capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "WATCHKEEPER_SPOOL_DIR": str(folder)},
    )  # fmt: skip
    return int(done.stdout.splitlines()[-1])


def test_the_start_is_quicker_than_the_sdks(tmp_path: Path) -> None:
    """Import and `configure`, all three signals, against the SDK with its exporter of spans alone."""
    pairs = [(started(OURS, tmp_path), started(SDK, tmp_path)) for _ in range(7)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))

    assert ours < theirs, f"{ours / 1e6:.0f} ms against {theirs / 1e6:.0f} ms"


def test_the_names_are_sorted_and_there() -> None:
    """Everything that the door promises can be had."""
    assert sorted(watchkeeper.__all__) == watchkeeper.__all__
    assert all(getattr(watchkeeper, name) is not None for name in watchkeeper.__all__)


def test_the_package_of_the_same_name_stays_reachable() -> None:
    """`watchkeeper.instrument` is called as a function and imported from as a package."""
    from watchkeeper.instrument import settings

    assert callable(watchkeeper.instrument)
    assert watchkeeper.instrument.settings is settings  # type: ignore[attr-defined] # the package
