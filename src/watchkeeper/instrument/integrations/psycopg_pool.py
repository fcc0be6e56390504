"""psycopg_pool: the state of its pools, sync and async, null pools too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.pools import Borrowings, PoolState, Size
from watchkeeper.instrument.integrations.twins import around, before

__all__ = ["instrument"]

_HOOK = "db.psycopg_pool"
_STATE = "_watchkeeper_pool"
_UNNAMED = re.compile(r"pool-\d+")
"""The name of a pool that was given none; its number grows with every pool of the process."""


def instrument(host: Host) -> Callable[[], None]:
    """Watch every pool.

    Returns:
        A function that undoes it.
    """
    from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

    pools = _Pools(host, PoolTimeout)
    undos = []
    for owner in (ConnectionPool, AsyncConnectionPool):
        own: dict[str, Any] = dict(owner.__dict__)
        undos += [
            replace(owner, "getconn", around(own["getconn"], _HOOK, pools.asked, pools.given)),
            replace(owner, "putconn", before(own["putconn"], _HOOK, pools.put)),
            replace(owner, "_connect", around(own["_connect"], _HOOK, pools.opens, pools.opened)),
        ]
    return all_of(pools.forget, *undos)


class _Pools(Borrowings):
    """Waits, borrowings, sizes and failures of pools."""

    def state(self, pool: Any) -> PoolState:
        """Return what is known of *pool*."""
        state: PoolState | None = pool.__dict__.get(_STATE)
        if state is None or state.owner is not self:
            base = "psycopg" if _UNNAMED.fullmatch(pool.name) else pool.name
            state = pool.__dict__[_STATE] = self.book.meet(self, pool, base, self._size)
        return state

    def put(self, pool: Any, conn: Any, *_: Any) -> None:
        """Learn that *conn* comes back to *pool*."""
        del pool
        self.returned(conn)

    def _size(self, pool: Any) -> Size:
        if pool.closed:
            return Size(None, None, None)
        # The pool itself counts connections that are being opened as used ones.
        idle = pool.get_stats()["pool_available"]
        return Size(self.used(self.state(pool)), idle, pool.max_size or None)
