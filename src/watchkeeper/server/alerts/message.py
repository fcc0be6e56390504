"""What a receiver is told: alerts of one name that fire, or that are resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Message", "Notice", "Receiver"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: float
    """Value of the rule's expression."""
    since_ms: int
    """When the condition began to hold, Unix milliseconds."""
    dedup_key: str
    """The same for every notification about this alert."""


@dataclass(frozen=True, slots=True)
class Message:
    """Alerts of one name in one state."""

    alertname: str
    firing: bool
    notices: tuple[Notice, ...]
    """At least one."""


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """Shown in the list of notifications; no secret."""
        ...

    async def send(self, message: Message) -> str:
        """Deliver *message*; return what was answered.

        Raises:
            NotifyError: It was not delivered; says whether a retry can help.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
