"""Sign-ins that a library saw, and how they are counted once when the application tells them too.

A library sees whether the identity provider agreed; only the application knows whether it let the
person in. Its own `auth_event` therefore wins: an attempt waits until the request ends, and is told
only if the application has not spoken. Where nobody knows when the work ends it is told at once, and
the application's event with the same outcome is then the same attempt again: it counts nothing.
"""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["Attempt", "claim", "hold"]

_KINDS = {"login": "login", "register": "login", "refresh": "refresh"}


class Attempt:
    """One sign-in or refresh through an identity provider.

    Args:
        action: ``login`` or ``refresh``.
        provider: The identity provider.
        outcome: ``success`` or ``failure``.
        reason: Why it failed, from a closed set.
    """

    __slots__ = ("action", "claimed", "outcome", "provider", "reason", "told")

    def __init__(self, action: str, provider: str, outcome: str, reason: str | None) -> None:
        self.action = action
        self.provider = provider
        self.outcome = outcome
        self.reason = reason
        self.told = False
        """It was counted already."""
        self.claimed = False
        """The application told it."""


_CURRENT: ContextVar[Attempt | None] = ContextVar("watchkeeper_attempt", default=None)


def hold(attempt: Attempt) -> None:
    """Remember *attempt* from here to the end of the current context."""
    _CURRENT.set(attempt)


def claim(action: str, outcome: str) -> bool:
    """Take over the attempt that a library saw, if there is one of this kind.

    Args:
        action: The action that the application tells.
        outcome: Its outcome.

    Returns:
        Whether the attempt was counted already, and just so.
    """
    attempt = _CURRENT.get()
    if attempt is None or attempt.claimed or _KINDS.get(action) != attempt.action:
        return False
    attempt.claimed = True
    return attempt.told and attempt.outcome == outcome
