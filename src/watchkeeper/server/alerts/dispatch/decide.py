"""Whether a receiver is told now, given what it was told last: Alertmanager's decision table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LogEntry", "LogKey", "reason"]

_EXPIRY_MS_MIN = 60 * 60_000


@dataclass(frozen=True, slots=True, order=True)
class LogKey:
    """Who is told about what: one integration about one group."""

    group_key: str
    receiver: str
    kind: str
    index: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What an integration was told last about a group."""

    firing: frozenset[str]
    """Fingerprints of the alerts that fired."""
    resolved: frozenset[str]
    at_ms: int
    expires_ms: int
    """When the entry may be forgotten, if its group is gone."""
    thread: Mapping[str, str] = field(default_factory=dict)
    """What the integration wants back at the next message; see `Delivery.thread`."""

    @staticmethod
    def expiry_ms(at_ms: int, repeat_ms: int) -> int:
        """Return when an entry of *at_ms* may be forgotten: after two repeat intervals or more."""
        return at_ms + 2 * max(repeat_ms, _EXPIRY_MS_MIN)


def reason(
    entry: LogEntry | None,
    firing: frozenset[str],
    resolved: frozenset[str],
    *,
    send_resolved: bool,
    repeat_ms: int,
    now_ms: int,
) -> str:
    """Return why an integration has to be told about a group now, or "" if it has not.

    Args:
        entry: What it was told last; None if nothing.
        firing: Fingerprints of the group's alerts that fire.
        resolved: Fingerprints of those that have ended.
        send_resolved: Whether the integration wants to know what is resolved.
        repeat_ms: Milliseconds after which an unchanged group is told again.
        now_ms: Now.
    """
    if entry is None:
        return "first" if firing else ""
    if not firing <= entry.firing:
        return "more firing"
    if not firing:
        # Told whatever send_resolved says: the entry must not go on saying that they fire.
        return "all resolved" if entry.firing else ""
    if send_resolved and not resolved <= entry.resolved:
        return "some resolved"
    return "repeated" if entry.at_ms < now_ms - repeat_ms else ""
