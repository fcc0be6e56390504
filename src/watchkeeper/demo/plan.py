"""Which processes AgentDesk is made of, and how each is started. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DemoSettings", "PlannedProcess", "processes"]


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Where AgentDesk's parts listen and keep their files; everything on 127.0.0.1."""

    base_dir: Path
    """Database, queue and fault switches are kept here."""
    endpoint: str
    """OTLP/HTTP endpoint of the observing server."""
    targets_dir: Path
    """Where processes announce themselves to be scraped."""
    app_port: int
    world_port: int
    """LLM provider, identity provider and Slack endpoint: the outside world."""
    traffic_port: int
    """The traffic generator's counters."""
    rate: float = 15.0
    """Requests a second that the traffic generator aims at, on average over a day."""
    day_s: float = 600.0
    """Length of a day of the traffic's rhythm, seconds."""
    speed: float = 1.0
    """The provider's latencies are divided by this."""

    @property
    def app_url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.app_port}"

    @property
    def world_url(self) -> str:
        """Base URL of the outside world."""
        return f"http://127.0.0.1:{self.world_port}"

    @property
    def slack_hook_url(self) -> str:
        """Slack's incoming webhook."""
        return f"{self.world_url}/slack/hook"

    @property
    def slack_messages_url(self) -> str:
        """Lists the messages that the webhook took."""
        return f"{self.world_url}/slack/messages"

    @property
    def traffic_status_url(self) -> str:
        """The traffic generator's counters as JSON."""
        return f"http://127.0.0.1:{self.traffic_port}/status"

    @property
    def faults_file(self) -> Path:
        """Which faults are switched on."""
        return self.base_dir / "faults.json"


@dataclass(frozen=True, slots=True)
class PlannedProcess:
    """One process: how it is started and when it is ready."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready_url: str | None


def processes(settings: DemoSettings) -> tuple[PlannedProcess, ...]:
    """Return AgentDesk's processes in the order in which they must be started.

    ``DATABASE_URL`` and ``REDIS_URL`` of the surrounding environment reach the application and
    the worker; without them both use SQLite files below ``base_dir``.
    """
    common = {
        "AGENTDESK_BASE_DIR": str(settings.base_dir),
        "AGENTDESK_FAULTS_FILE": str(settings.faults_file),
        "AGENTDESK_WORLD_URL": settings.world_url,
        "AGENTDESK_APP_URL": settings.app_url,
    }
    observed = {
        **common,
        "WATCHKEEPER_ENDPOINT": settings.endpoint,
        "WATCHKEEPER_TARGETS_DIR": str(settings.targets_dir),
        "WATCHKEEPER_SPOOL_DIR": str(settings.base_dir / "spool"),
        "WATCHKEEPER_USERS_DIR": str(settings.base_dir / "users"),
        "WATCHKEEPER_ENVIRONMENT": "demo",
    }

    def python(part: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", f"watchkeeper.demo.{part}", *arguments)

    return (
        PlannedProcess(
            "world",
            python("world", "--port", str(settings.world_port), "--speed", f"{settings.speed:g}"),
            common,
            f"{settings.world_url}/ready",
        ),
        PlannedProcess(
            "api",
            python("app", "--port", str(settings.app_port)),
            observed,
            f"{settings.app_url}/healthz",
        ),
        PlannedProcess("worker", python("worker"), observed, None),
        PlannedProcess(
            "traffic",
            python(
                "traffic",
                *("--port", str(settings.traffic_port)),
                *("--rate", f"{settings.rate:g}", "--day", f"{settings.day_s:g}"),
            ),
            common,
            settings.traffic_status_url,
        ),
    )
