"""What `watchkeeper doctor` looks at: each check returns what it found and a fix of one line."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from watchkeeper.errors import WatchkeeperError

__all__ = ["CHECKS", "Finding", "check_port", "check_process_list"]

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
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-django",
    "opentelemetry-instrumentation-sqlalchemy",
    "opentelemetry-instrumentation-langchain",
    "prometheus-fastapi-instrumentator",
    "asgi-correlation-id",
    "logfire",
    "ddtrace",
    "sentry-sdk",
    "elastic-apm",
)
_LANGCHAIN_PACKAGE = "openinference-instrumentation-langchain"
_PEERS_SWITCHED_ON = {
    "SENTRY_DSN": "sentry-sdk",
    "DD_TRACE_ENABLED": "ddtrace",
    "LOGFIRE_TOKEN": "logfire",
    "ELASTIC_APM_SERVER_URL": "elastic-apm",
    "OTEL_PYTHON_CONFIGURATOR": "opentelemetry-distro",
}


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


def check_prices() -> list[Finding]:
    """LLM calls can be priced."""
    llms = [name for name in ("openai", "anthropic") if importlib.util.find_spec(name) is not None]
    if llms and importlib.util.find_spec("genai_prices") is None:
        text = f"{' and '.join(llms)} can be called, but no call can be priced"
        return [Finding("warn", text, "pip install 'watchkeeper[cost]'")]
    return [Finding("ok", "LLM calls can be priced" if llms else "no LLM client is installed")]


def check_frameworks() -> list[Finding]:
    """What the tracing of an installed framework needs is installed too."""
    if importlib.util.find_spec("langchain_core") is None:
        return [Finding("ok", "no framework needs a package to be traced")]
    try:
        have = version(_LANGCHAIN_PACKAGE)
    except PackageNotFoundError:
        text = f"LangChain is installed, but not traced without {_LANGCHAIN_PACKAGE}"
        return [Finding("warn", text, f"pip install {_LANGCHAIN_PACKAGE}")]
    return [Finding("ok", f"LangChain can be traced ({_LANGCHAIN_PACKAGE} {have})")]


def check_double_instrumentation() -> list[Finding]:
    """No other package that instruments the same libraries is installed, or even switched on."""
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
                f"do not switch it on, or leave its library out of the setting `instrument`, "
                f"or pip uninstall {name}",
            )
        )
    for variable, name in _PEERS_SWITCHED_ON.items():
        if os.environ.get(variable):
            text = f"{variable} is set: {name} observes the same application"
            found.append(Finding("warn", text, f"unset {variable} if watchkeeper replaces {name}"))
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
    if os.environ.get("PYTHONPATH", "").find("opentelemetry/instrumentation/auto") >= 0:
        text = "opentelemetry-instrument wraps this program: libraries are instrumented twice"
        found.append(Finding("warn", text, "start it with 'watchkeeper run --' alone"))
    return found or [Finding("ok", "no environment variable is in the way")]


def check_settings() -> list[Finding]:
    """The environment and watchkeeper.toml can be read, and nothing in them is passed over."""
    from watchkeeper.instrument.settings import load

    try:
        settings = load({})
    except WatchkeeperError as error:
        return [Finding("bad", str(error), "watchkeeper config show")]
    found = [
        Finding("warn", sentence, "correct or unset the variable") for sentence in settings.ignored
    ]
    if settings.service == "unknown_service":
        text = "the service has no name: everything arrives as unknown_service"
        found.append(Finding("warn", text, "configure(service=…), or set WATCHKEEPER_SERVICE"))
    if not settings.enabled:
        fix = f"unset {settings.origins['enabled']}"
        found.append(Finding("bad", "watchkeeper is switched off", fix))
    if not settings.endpoint:
        text = "no endpoint is set: spans and log records go nowhere"
        found.append(Finding("warn", text, "set WATCHKEEPER_ENDPOINT"))
    if settings.sample_ratio == 0.0:
        text = f"no trace is kept ({settings.origins['sample_ratio']})"
        found.append(Finding("warn", text, "set WATCHKEEPER_SAMPLE_RATIO above 0"))
    return found or [Finding("ok", "the settings can be read")]


def check_spool() -> list[Finding]:
    """Telemetry can wait on disk while its endpoint is away, and not much of it waits."""
    from watchkeeper.instrument.runtime import spool_dir
    from watchkeeper.instrument.settings import load

    try:
        settings = load({})
    except WatchkeeperError:
        return []
    folder = spool_dir(settings)
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        text = f"the spool {folder} cannot be written: telemetry is lost when its endpoint is away"
        return [Finding("bad", text, "set WATCHKEEPER_SPOOL_DIR to a directory of this user")]
    waiting = sum(path.stat().st_size for path in _files(folder))
    if waiting > settings.spool_bytes_max // 10:
        text = f"{waiting / 1e6:.0f} MB of telemetry wait in {folder}"
        return [Finding("warn", text, "start the endpoint; they are sent by the next process")]
    return [Finding("ok", f"the spool {folder} can be used")]


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()


def check_group(base: Path | None = None) -> list[Finding]:
    """Workers of a service can meet, so that one metrics page shows all of them.

    Makes and removes what a worker would make.

    Args:
        base: Where groups are; by default where this user's processes look.
    """
    from watchkeeper.instrument.metrics import group
    from watchkeeper.instrument.metrics.cells import FileCells

    place = base or group.base_dir()
    made = [path for path in (place / group.own(), place, place.parent) if not path.exists()]
    try:
        FileCells(group.group_dir(place, group.own())).remove()
    except OSError as error:
        text = "the metrics page of one worker cannot show the others: "
        reason, fix = _unusable(place, error)
        return [Finding("warn", text + reason, fix)]
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
    return [Finding("ok", f"workers can share their metrics in {place}")]


def _unusable(place: Path, error: OSError) -> tuple[str, str]:
    """Return why groups cannot be below *place*, and what to do about it."""
    elsewhere = "set XDG_RUNTIME_DIR to a directory of this user"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return f"{place} is full ({error.strerror})", f"make room there, or {elsewhere} with room"
    for path in (place.parent, place):
        if not path.is_symlink() and not path.exists():
            break
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return f"{path} is not a directory", f"rm {path}"
        if found.st_uid != os.getuid():
            return f"{path} belongs to user {found.st_uid}", f"sudo rm -r {path}, or {elsewhere}"
        if found.st_mode & 0o777 != 0o700:
            return f"{path} has mode {found.st_mode & 0o777:o}", f"chmod 700 {path}"
    return f"{place} cannot be made or written ({error})", elsewhere


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


def check_process_list(commands: Mapping[int, list[str]] | None = None) -> list[Finding]:
    """No server of this user runs in a way that loses telemetry.

    Args:
        commands: Command lines by process id; by default those of this user's processes.
    """
    found = []
    for pid, words in (_commands() if commands is None else commands).items():
        line = " ".join(words)
        started = any("watchkeeper" in word for word in words[:3])
        if "celery" in line and "--pool=gevent" in line:
            text = f"process {pid}: celery with gevent, which replaces the threads that export"
            found.append(Finding("warn", text, "use --pool=prefork or --pool=threads"))
        if "opentelemetry-instrument" in line and not started:
            text = f"process {pid} runs under opentelemetry-instrument: libraries are traced twice"
            found.append(Finding("warn", text, "start it with 'watchkeeper run --' alone"))
        if "uvicorn" in line and "--no-access-log" not in words and "--log-config" in words:
            text = f"process {pid}: uvicorn logs by a configuration of its own, outside our format"
            fix = "drop --log-config: access lines are written by watchkeeper, with trace ids"
            found.append(Finding("warn", text, fix))
    return found or [
        Finding("ok", "no process of this user is started in a way that doubles or loses telemetry")
    ]


def _commands() -> dict[int, list[str]]:
    if importlib.util.find_spec("psutil") is None:
        return {}
    import psutil

    mine = os.getuid()
    found: dict[int, list[str]] = {}
    for process in psutil.process_iter(["pid", "cmdline", "uids"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == mine and process.info["cmdline"]:
            found[process.info["pid"]] = process.info["cmdline"]
    return found


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_python,
    check_packages,
    check_server_extra,
    check_prices,
    check_frameworks,
    check_double_instrumentation,
    check_environment,
    check_settings,
    check_spool,
    check_group,
    check_process_list,
)
"""The checks that need no argument, in the order in which they are shown."""
