"""Faults that can be switched on while AgentDesk runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["FAULTS", "FaultSwitch"]

FAULTS = {
    "errors": "a share of API requests ends in an internal error",
    "slowness": "API requests take a second longer",
    "database_down": "a share of connections to the database is refused",
    "slow_reports": "reports keep their connection for a second, so that others wait in vain",
    "queue_backlog": "background jobs take seconds, so that the queue grows",
    "cost_spike": "agents use the most expensive model and get long answers",
    "agent_loops": "a share of questions sends agents in circles: the same tool, again and again",
    "failed_logins": "somebody tries many passwords",
}
"""Every fault, and what it does."""


class FaultSwitch:
    """Reads the switches; a change is seen by the next call."""

    def __init__(self, path: Path | None = None) -> None:
        """Read from *path*, or from the file that AGENTDESK_FAULTS_FILE names."""
        self._path = path or Path(os.environ.get("AGENTDESK_FAULTS_FILE", "faults.json"))
        self._stamp: int | None = None
        self._on: dict[str, float] = {}

    def strength(self, name: str) -> float:
        """Return a fault's strength from 0 (off) to 1."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._on = json.loads(self._path.read_text(encoding="utf-8"))
                self._stamp = stamp
        except (OSError, ValueError):
            self._on, self._stamp = {}, None
        return self._on.get(name, 0.0)
