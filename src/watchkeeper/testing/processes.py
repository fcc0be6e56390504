"""Child processes started together, watched, and ended together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import StartError
from watchkeeper.testing.patience import patience

__all__ = ["ProcessSpec", "Supervisor", "free_port", "wait_until"]

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.05
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How one process is started."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of this process."""
    ready_url: str | None = None
    """Answers 2xx once the process is ready; None needs no wait."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago; another program may take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], timeout_s: float, clock: Clock | None = None) -> bool:
    """Return whether *condition* came true within *timeout_s* seconds; asks every 50 ms.

    On a slow machine set ``WATCHKEEPER_TEST_PATIENCE``: real waits are that many times as long.
    """
    time = clock or SystemClock()
    factor = patience() if clock is None else 1.0
    deadline = time.monotonic_ns() + round(timeout_s * factor * _SECOND_NS)
    pause = threading.Event()
    while True:
        if condition():
            return True
        if time.monotonic_ns() >= deadline:
            return False
        pause.wait(_POLL_S)


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, however the parent dies."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Starts processes in sessions of their own and leaves none behind.

    Use as a context manager from the main thread; output goes to ``<log_dir>/<name>.log``.
    """

    def __init__(self, log_dir: Path) -> None:
        """Keep the processes' output in *log_dir*, which is made if it is missing."""
        self._log_dir = log_dir
        log_dir.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._specs: dict[str, ProcessSpec] = {}
        self._groups: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start(self, spec: ProcessSpec) -> int:
        """Start a process and return its pid; does not wait until it is ready."""
        log = (self._log_dir / f"{spec.name}.log").open("ab")
        with log:
            process = subprocess.Popen(  # noqa: S603 - the caller chose the program
                list(spec.argv),
                env={**os.environ, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one prctl, before any thread
            )
        self._running[spec.name] = process
        self._specs[spec.name] = spec
        self._groups.append(process.pid)
        return process.pid

    def wait_ready(self, name: str, timeout_s: float = 30.0) -> None:
        """Wait until the process answers on its ``ready_url``.

        Raises:
            StartError: It ended or did not answer in time; holds the tail of its output.
        """
        url = self._specs[name].ready_url
        if url is None:
            return
        process = self._running[name]

        def ready() -> bool:
            if process.poll() is not None:
                return True
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(url, timeout=2.0).is_success
            return False

        if not wait_until(ready, timeout_s) or process.poll() is not None:
            raise StartError(
                f"{name} did not become ready: got exit code {process.poll()} "
                f"within {timeout_s:.0f} s. Accepted: an answer from {url}. "
                f"Next: read its output:\n{self.tail(name)}"
            )

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines of a process's output."""
        path = self._log_dir / f"{name}.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def pid(self, name: str) -> int:
        """Return the pid of a started process."""
        return self._running[name].pid

    def ended(self) -> dict[str, int]:
        """Return the exit codes of the processes that have ended by themselves."""
        return {
            name: code
            for name, process in self._running.items()
            if (code := process.poll()) is not None
        }

    def kill(self, name: str) -> None:
        """End a process at once, as the kernel would (SIGKILL), and wait until it is gone."""
        process = self._running.pop(name)
        process.kill()
        process.wait(10)

    def restart(self, name: str) -> int:
        """Start an ended process again from its specification."""
        return self.start(self._specs[name])

    def stop(self, name: str, grace_s: float = 15.0) -> int | None:
        """Ask a process to end (SIGTERM), end it if it does not, and return its exit code."""
        process = self._running.pop(name, None)
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(10)

    def stop_all(self, grace_s: float = 15.0, *, kill_orphans: bool = True) -> None:
        """End every process, last started first, and whatever they started themselves."""
        for name in reversed(list(self._running)):
            self.stop(name, grace_s)
        if not kill_orphans:
            return
        for group in self.orphans():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def orphans(self) -> list[int]:
        """Return the process groups we started in which something is still alive."""
        running = {process.pid for process in self._running.values()}
        alive = []
        for group in self._groups:
            if group in running:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, 0)
                alive.append(group)
        return alive
