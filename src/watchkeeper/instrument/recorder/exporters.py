"""What an exporter is, and the one for tests."""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple, Protocol

from watchkeeper.instrument.recorder.records import Signal

__all__ = ["Exporter", "MemoryExporter", "Outcome"]


class Outcome(NamedTuple):
    """How one attempt to export one batch ended."""

    kind: Literal["delivered", "refused", "retry", "too_large"]
    """``refused``: the endpoint's answer forbids a retry. ``retry``: the same bytes may go again.
    ``too_large``: the endpoint takes fewer items at once."""
    rejected: int = 0
    """Items that the endpoint left out of a delivered batch (partial success)."""
    retry_after_s: float | None = None
    """Seconds that the endpoint asked to wait before a retry."""
    reachable: bool = True
    """Whether an endpoint answered at all."""
    detail: str = ""
    """What went wrong, for the log."""


class Exporter(Protocol):
    """Makes one attempt at a time; retries are the caller's. Called from one thread at a time."""

    def export(self, signal: Signal, body: bytes, items: int) -> Outcome:
        """Send one batch; returns within a bounded time and does not raise."""
        ...

    def after_fork(self) -> None:
        """Forget open connections; runs in a forked child."""
        ...

    def close(self) -> None:
        """Close open connections."""
        ...


class MemoryExporter:
    """Keeps what it is given, for tests.

    Attributes:
        batches: Pairs of signal and protobuf body, oldest first.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[Signal, bytes]] = []
        self._lock = threading.Lock()

    def export(self, signal: Signal, body: bytes, items: int) -> Outcome:  # noqa: ARG002 - protocol
        """Keep the batch."""
        with self._lock:
            self.batches.append((signal, body))
        return Outcome("delivered")

    def bodies(self, signal: Signal) -> list[bytes]:
        """Return the bodies of one signal, oldest first."""
        with self._lock:
            return [body for kept, body in self.batches if kept == signal]

    def after_fork(self) -> None:
        """Start empty: the parent's batches are the parent's."""
        self._lock = threading.Lock()
        self.batches = []

    def close(self) -> None:
        """Do nothing."""
