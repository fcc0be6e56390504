"""Authentication attempts."""

from __future__ import annotations

from watchkeeper.instrument import context
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.domain.attempts import claim
from watchkeeper.instrument.domain.users import user_active
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
    client_address: str | None = None,
    duration_s: float | None = None,
) -> None:
    """Record that somebody tried to authenticate: one count and one log event.

    All but *user_id* become metric labels: give words from a small fixed set.

    Args:
        action: ``login``, ``register``, ``logout``, ``refresh``.
        method: ``password``, ``oauth``, ``token``.
        provider: The identity provider, ``local`` for our own passwords.
        outcome: ``success`` or ``failure``.
        reason: Why it failed: ``bad_password``, ``locked``.
        user_id: Who it was, as far as that is known; goes into the log, and after a success into
            the count of the day's users.
        client_address: Where the attempt came from; goes into the log only.
        duration_s: Seconds that it took, likewise.
    """
    host = hosts.current()
    if host is None or (method == "oauth" and claim(action, outcome)):
        return
    labels = (action, method, provider, outcome, reason or "")
    host.metrics.counter("auth.attempts").child(labels).inc()
    if outcome == "success":
        if action == "register":
            host.metrics.counter("users.registered").child((method, provider)).inc()
        if user_id is not None and action != "logout":
            user_active(user_id)
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
            "tenant.id": context.tenant_id() or None,
            "client.address": client_address,
            "duration_s": duration_s,
        },
    )
