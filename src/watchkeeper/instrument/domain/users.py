"""Who uses the application, as numbers."""

from __future__ import annotations

from watchkeeper.instrument import context
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.guard import record_failure

__all__ = ["user_active"]


def user_active(user_id: object) -> None:
    """Count a user among those of today (UTC); the first time of the day counts, once on this host.

    `bind` with a user's id and `auth_event` of a success do so by themselves.

    Args:
        user_id: Anything whose text tells users apart; it is kept nowhere, only a hash under a
            random key that is thrown away when the day is over.
    """
    host = hosts.current()
    if host is None:
        return
    try:
        host.users.see(str(user_id))
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure("users", error)


# `bind` is older than any host, and below everything that counts.
context.watch_users(user_active)
