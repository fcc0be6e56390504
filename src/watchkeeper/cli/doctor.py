"""Looks for what commonly keeps telemetry from arriving, and says how to mend each finding in a line."""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["CHECKS", "HELP", "NAME", "Finding", "arguments", "run"]

NAME = "doctor"
HELP = "find out why telemetry does not arrive"

Level = Literal["ok", "warn", "bad"]

_OLDEST_PYTHON = (3, 11)
_OLDEST = {
    "structlog": (26, 1),
    "prometheus-client": (0, 26),
    "opentelemetry-api": (1, 45),
    "orjson": (3, 11),
}
_INSTRUMENTATIONS = (
    "opentelemetry-instrumentation-fastapi",
    "opentelemetry-instrumentation-starlette",
    "opentelemetry-instrumentation-asgi",
    "opentelemetry-instrumentation-sqlalchemy",
    "prometheus-fastapi-instrumentator",
    "logfire",
    "ddtrace",
    "sentry-sdk",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: how bad, what was found, and what to do about it."""

    level: Level
    text: str
    fix: str = ""


def check_python() -> list[Finding]:
    """Python is one that watchkeeper runs on."""
    have = ".".join(map(str, sys.version_info[:3]))
    if (sys.version_info.major, sys.version_info.minor) < _OLDEST_PYTHON:
        return [Finding("bad", f"Python {have} is too old", "use Python 3.11 or newer")]
    return [Finding("ok", f"Python {have}")]


def check_packages() -> list[Finding]:
    """The few packages that every installation needs are there and new enough."""
    found = []
    for name, oldest in _OLDEST.items():
        wanted = ".".join(map(str, oldest))
        try:
            have = version(name)
        except PackageNotFoundError:
            found.append(Finding("bad", f"{name} is missing", f"pip install '{name}>={wanted}'"))
            continue
        numbers = tuple(int(part) for part in have.split(".")[:2] if part.isdigit())
        if numbers < oldest:
            fix = f"pip install -U '{name}>={wanted}'"
            found.append(Finding("bad", f"{name} {have} is too old", fix))
        else:
            found.append(Finding("ok", f"{name} {have}"))
    return found


def check_server_extra() -> list[Finding]:
    """The embedded server's packages are installed."""
    missing = [
        name
        for name in ("duckdb", "starlette", "uvicorn", "numpy")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        text = f"the embedded server cannot run here (missing: {', '.join(missing)})"
        return [Finding("warn", text, "pip install 'watchkeeper[server]'")]
    return [Finding("ok", "the embedded server can run here")]


def check_double_instrumentation() -> list[Finding]:
    """No other package that instruments the same libraries is installed."""
    found = []
    for name in _INSTRUMENTATIONS:
        try:
            have = version(name)
        except PackageNotFoundError:
            continue
        found.append(
            Finding(
                "warn",
                f"{name} {have} is installed: if it is switched on, spans and metrics double",
                f"do not switch it on, or pass instrument=[] to configure() / pip uninstall {name}",
            )
        )
    return found or [Finding("ok", "no second instrumentation is installed")]


def check_environment() -> list[Finding]:
    """No environment variable works against us."""
    found = []
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        found.append(
            Finding(
                "warn",
                "PROMETHEUS_MULTIPROC_DIR is set; watchkeeper needs no such folder",
                "unset it unless other metrics of the application need it",
            )
        )
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        found.append(Finding("warn", "OTEL_SDK_DISABLED=true is set", "unset it"))
    return found or [Finding("ok", "no environment variable is in the way")]


def check_endpoint(url: str) -> list[Finding]:
    """Something listens where telemetry is sent."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not parts.hostname:
        return [Finding("bad", f"endpoint {url!r} is not a URL", "use http://host:port")]
    try:
        with socket.create_connection((parts.hostname, port), timeout=2.0):
            return [Finding("ok", f"endpoint {url} accepts connections")]
    except OSError as error:
        fix = "start it with 'watchkeeper serve', or set WATCHKEEPER_ENDPOINT to your collector"
        return [Finding("bad", f"endpoint {url} does not answer ({error})", fix)]


def check_port(port: int) -> list[Finding]:
    """The server's port is free, or the server itself holds it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fix = f"if that is not watchkeeper: watchkeeper serve --port {port + 1}"
            return [Finding("warn", f"port {port} is in use", fix)]
    return [Finding("ok", f"port {port} is free for the server")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_python,
    check_packages,
    check_server_extra,
    check_double_instrumentation,
    check_environment,
)
"""The checks that need no argument, in the order in which they are shown."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--endpoint", help="OTLP/HTTP endpoint to try",
        default=os.environ.get("WATCHKEEPER_ENDPOINT", "http://127.0.0.1:8400"))  # fmt: skip
    add("--port", type=int, default=8400, help="port that the server would use (default: 8400)")


def run(args: argparse.Namespace) -> int:
    """Print every finding; return 1 if one of them is bad."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    findings = [finding for check in CHECKS for finding in check()]
    findings += check_endpoint(args.endpoint) + check_port(args.port)
    marks = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "bad": "[red]bad [/]"}
    for finding in findings:
        console.print(f"{marks[finding.level]} {escape(finding.text)}")
        if finding.fix:
            console.print(f"       fix: {escape(finding.fix)}")
    bad = sum(finding.level == "bad" for finding in findings)
    console.print(f"{len(findings)} checks, {bad} bad")
    return 1 if bad else 0
