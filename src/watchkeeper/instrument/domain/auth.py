"""Authentication attempts."""

from __future__ import annotations

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain.attempts import claim
from watchkeeper.instrument.guard import guard

__all__ = ["auth_event"]


@guard("domain.auth_event")
def auth_event(
    action: str,
    *,
    method: str,
    provider: str = "local",
    outcome: str,
    reason: str | None = None,
    user_id: str | None = None,
) -> None:
    """Record that somebody tried to authenticate: one count and one log event.

    All but *user_id* become metric labels: give words from a small fixed set.

    Args:
        action: ``login``, ``register``, ``logout``, ``refresh``.
        method: ``password``, ``oauth``, ``token``.
        provider: The identity provider, ``local`` for our own passwords.
        outcome: ``success`` or ``failure``.
        reason: Why it failed: ``bad_password``, ``locked``.
        user_id: Who it was, as far as that is known; goes into the log only.
    """
    host = hosts.current()
    if host is None or (method == "oauth" and claim(action, outcome)):
        return
    labels = (action, method, provider, outcome, reason or "")
    host.metrics.counter("auth.attempts").child(labels).inc()
    host.event(
        "auth.attempt",
        "info" if outcome == "success" else "warning",
        {
            "auth.action": action,
            "auth.method": method,
            "auth.provider": provider,
            "auth.outcome": outcome,
            "auth.reason": reason,
            "user.id": user_id,
        },
    )
