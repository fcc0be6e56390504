"""Switches faults on and off from outside."""

from __future__ import annotations

import json
from pathlib import Path

from watchkeeper.demo.faults import FAULTS
from watchkeeper.demo.plan import DemoSettings

__all__ = ["Faults"]


class Faults:
    """The switches of a running AgentDesk; its processes see a change at once."""

    def __init__(self, settings: DemoSettings) -> None:
        """Switch the faults of the AgentDesk that *settings* describe."""
        self._path: Path = settings.faults_file
        self._on: dict[str, float] = {}

    def set(self, name: str, strength: float = 0.4) -> None:
        """Switch a fault on.

        Args:
            name: One of `FAULTS`.
            strength: From 0 (off) to 1; for ``errors``, the share of requests.

        Raises:
            ValueError: There is no such fault.
        """
        if name not in FAULTS:
            raise ValueError(
                f"no such fault: got {name!r}. Accepted: {', '.join(FAULTS)}. Next: choose one."
            )
        self._on[name] = strength
        self._write()

    def clear(self, name: str) -> None:
        """Switch a fault off; harmless if it is off."""
        self._on.pop(name, None)
        self._write()

    def active(self) -> dict[str, float]:
        """Return the faults that are on, with their strengths."""
        return dict(self._on)

    def _write(self) -> None:
        part = self._path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(self._on), encoding="utf-8")
        part.replace(self._path)
