"""The demo's stage: the server and AgentDesk's processes, started, disturbed and ended."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path
from types import FrameType
from typing import Any, Self

import httpx
from rich.console import Console

from watchkeeper.clock import SystemClock
from watchkeeper.define.render.prometheus import rule_file
from watchkeeper.define.rules import shipped_rules
from watchkeeper.demo.control import Faults
from watchkeeper.demo.plan import DemoSettings, processes
from watchkeeper.errors import StartError
from watchkeeper.testing.processes import ProcessSpec, Supervisor, free_port
from watchkeeper.verify.check import DemoCheck

__all__ = ["Stage", "check", "show"]

ALERT = "ApiErrorRate"
_CALM_S, _FAULT_S = 20.0, 60.0
"""The show: traffic first, then faults, again and again."""
_FAULTS = {"errors": 0.4, "agent_loops": 0.3, "slow_reports": 1.0, "database_down": 0.05}
"""What goes wrong at once, and how badly; the errors alone make the alert fire."""
_WARM_UP_S = 12.0
_DOWN_S = 10.0
_FIRE_S, _RESOLVE_S = 60.0, 90.0
_DISTURBED_S = 15.0
"""The faults last as long at least, so that each of them shows."""
_SECOND_NS = 1_000_000_000

console = Console(highlight=False, stderr=True)


class Stage:
    """A running demo; a context manager that leaves no process and no file behind."""

    def __init__(self, *, port: int, keep: Path | None) -> None:
        """Prepare to run on *port*, with everything below *keep* or a temporary folder."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._keep = keep is not None
        self.base = keep or Path(tempfile.mkdtemp(prefix="watchkeeper-demo-"))
        self.targets_dir = self.base / "targets"
        self.supervisor = Supervisor(self.base / "logs")
        self.settings = DemoSettings(
            base_dir=self.base,
            endpoint=self.url,
            targets_dir=self.targets_dir,
            app_port=free_port(),
            world_port=free_port(),
            traffic_port=free_port(),
        )
        self.faults = Faults(self.settings)
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop_all()
        if not self._keep:
            shutil.rmtree(self.base, ignore_errors=True)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping.set()

    def pause(self, seconds: float) -> bool:
        """Wait; return False if Ctrl-C came meanwhile."""
        return not self._stopping.wait(seconds)

    def start(self) -> None:
        """Start the server, then AgentDesk, each when what it needs is ready.

        Raises:
            StartError: A process did not become ready; holds the tail of its output.
        """
        self.targets_dir.mkdir(parents=True, exist_ok=True)
        rules = self.base / "rules.yml"
        rules.write_text(rule_file(shipped_rules("demo")), encoding="utf-8")
        parts = [
            ProcessSpec(part.name, part.argv, part.env, part.ready_url)
            for part in processes(self.settings)
        ]
        for spec in (self.server_spec(rules), *parts):
            console.print(f"starting [bold]{spec.name}[/]")
            self.supervisor.start(spec)
            self.supervisor.wait_ready(spec.name)

    def server_spec(self, rules: Path) -> ProcessSpec:
        """Return how the server is started."""
        argv = [
            sys.executable, "-m", "watchkeeper.cli", "serve", "--port", str(self.port),
            "--otlp-port", "0", "--data-dir", str(self.base / "data"),
            "--targets-dir", str(self.targets_dir), "--scrape-interval", "1",
            "--rules", str(rules), "--eval-interval", "1",
        ]  # fmt: skip
        env = {"WATCHKEEPER_SLACK_WEBHOOK_URL": self.settings.slack_hook_url}
        return ProcessSpec("server", argv, env, f"{self.url}/-/ready")

    def traffic(self, after: int = 0) -> dict[str, Any]:
        """Return the traffic generator's exact counters; latencies leave out *after* answers."""
        counters: dict[str, Any] = httpx.get(
            self.settings.traffic_status_url, params={"after": after}, timeout=5.0
        ).json()
        return counters

    def still_running(self) -> None:
        """Complain about a process that ended by itself.

        Raises:
            StartError: One did; holds the tail of its output.
        """
        for name, code in self.supervisor.ended().items():
            raise StartError(
                f"{name} ended by itself: got exit code {code}. Accepted: none while the demo "
                f"runs. Next: read its output:\n{self.supervisor.tail(name)}"
            )


def show(stage: Stage, *, duration_s: float | None, browser: bool) -> int:
    """Run the demo for a person, until Ctrl-C or for *duration_s* seconds."""
    stage.start()
    console.print(f"\n[bold green]watchkeeper is live:[/] [link]{stage.url}[/]  (Ctrl-C ends it)")
    console.print(f"Faults follow in {_CALM_S:.0f} s: watch {stage.url}/alerts\n")
    if browser:
        webbrowser.open(stage.url)
    clock = SystemClock()
    end_ns = None if duration_s is None else clock.monotonic_ns() + duration_s * _SECOND_NS
    faulty = False
    change_ns = clock.monotonic_ns() + _CALM_S * _SECOND_NS
    while stage.pause(0.5):
        stage.still_running()
        now_ns = clock.monotonic_ns()
        if end_ns is not None and now_ns >= end_ns:
            break
        if now_ns >= change_ns:
            faulty = not faulty
            _disturb(stage) if faulty else _mend(stage)
            change_ns = now_ns + _FAULT_S * _SECOND_NS
    console.print("stopping")
    return 0


def check(stage: Stage, *, duration_s: float, json_file: Path | None, kill_server: bool) -> int:
    """Drive one fault through its alert, check every promise, and write the figures."""
    clock = SystemClock()
    probe = DemoCheck(
        server_url=stage.url,
        slack_url=stage.settings.slack_messages_url,
        targets_dir=stage.targets_dir,
        clock=clock,
        alert=ALERT,
    )
    try:
        stage.start()
        end_ns = clock.monotonic_ns() + round(duration_s * _SECOND_NS)
        stage.pause(_WARM_UP_S)
        if kill_server:
            _kill_server(stage, probe)
        _disturb(stage)
        calm_ns = clock.monotonic_ns() + round(_DISTURBED_S * _SECOND_NS)
        probe.alert_fires(_FIRE_S)
        stage.pause(max(0.0, (calm_ns - clock.monotonic_ns()) / _SECOND_NS))
        _mend(stage)
        probe.alert_resolves(_RESOLVE_S)
        stage.pause(max(0.0, (end_ns - clock.monotonic_ns()) / _SECOND_NS))
        stage.still_running()
        console.print("checking what was stored")
        _look(stage, probe)
        memory = _peak_memory(stage.supervisor.pid("server"))
        probe.report.figures["server_memory_peak_bytes"] = memory
        probe.ended(stage.supervisor)
    finally:
        probe.close()
    return _tell(probe, json_file)


def _disturb(stage: Stage) -> None:
    for name, strength in _FAULTS.items():
        stage.faults.set(name, strength)
    console.print(f"[red]faults: {', '.join(_FAULTS)}[/]")


def _mend(stage: Stage) -> None:
    for name in _FAULTS:
        stage.faults.clear(name)
    console.print("[green]faults cleared[/]")


def _look(stage: Stage, probe: DemoCheck) -> None:
    counters = stage.traffic()
    stage.supervisor.stop("traffic")
    probe.settle()
    probe.requests(counters["sent"], counters["unanswered"])
    probe.report.figures["latency_ms"] = counters.get("latency_ms", {})
    probe.counts()
    probe.samples()
    probe.panels()
    probe.names()


def _kill_server(stage: Stage, probe: DemoCheck) -> None:
    """Kill the server under load, leave it down for a while, and start it again."""
    before = stage.traffic()
    console.print("[red]kill -9 server[/]")
    stage.supervisor.kill("server")
    stage.pause(_DOWN_S)
    during = stage.traffic(after=before["answered"])
    stage.supervisor.restart("server")
    stage.supervisor.wait_ready("server")
    console.print("[green]server is back[/]")
    probe.unnoticed(before, during)


def _peak_memory(pid: int) -> int:
    """Return the largest resident memory that a process has had, in bytes; 0 if unknown."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _tell(probe: DemoCheck, json_file: Path | None) -> int:
    report = probe.report
    for promise in report.promises:
        mark = "[green]held  [/]" if promise.held else "[red]BROKEN[/]"
        console.print(f"{mark} {promise.name}: {promise.detail}", markup=True)
    text = json.dumps(report.as_json(), indent=2)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(report.figures))
    return 0 if report.held else 1
