"""Real workers in processes of their own, and what they deliver."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.house.rooms import ROOT
from tests.instrument.recorder.collector import Collector

from watchkeeper.testing import wait_until

HERE = Path(__file__).parent


def environment(
    collector: Collector, tmp_path: Path, side: str = "", **more: str
) -> dict[str, str]:
    """Return the environment of a worker that delivers to *collector*."""
    # Copied: beside the tests lies a module `http`, which must not be found there.
    for program in HERE.glob("*app.py"):
        shutil.copy(program, tmp_path)
    paths = [str(ROOT / "src"), str(tmp_path)]
    if side:
        paths.insert(0, str(ROOT / "build" / "side" / side))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "WATCHKEEPER_ENDPOINT": collector.url,
        "WATCHKEEPER_SPOOL_DIR": str(tmp_path / "spool"),
        **more,
    }


@contextmanager
def worker(
    arguments: list[str], env: dict[str, str], tmp_path: Path, stop: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python *arguments*`` for the length of a ``with`` block; end it with *stop*."""
    out = (tmp_path / "worker.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, *arguments], env=env, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT
    )
    try:
        yield process
        process.send_signal(stop)
        process.wait(80)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(40)
        out.close()


def said(tmp_path: Path) -> str:
    """Return what the worker wrote."""
    return (tmp_path / "worker.log").read_text("utf-8", "replace")[-4000:]


def attributes(span: Span) -> dict[str, Any]:
    """Return the attributes of a span as plain values."""
    found: dict[str, Any] = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found


def named(collector: Collector, name: str) -> list[Span]:
    """Return the spans called *name* that arrived, in order of their start."""
    found = [span for span in collector.spans() if span.name == name]
    return sorted(found, key=lambda span: span.start_time_unix_nano)


def arrived(collector: Collector, name: str, count: int, timeout_s: float = 30.0) -> list[Span]:
    """Wait until *count* spans called *name* arrived, and return them."""
    assert wait_until(lambda: len(named(collector, name)) >= count, timeout_s), (
        name,
        sorted(span.name for span in collector.spans()),
    )
    return named(collector, name)
