"""asyncpg: a client span per operation, and the state of its pools.

Counted are ``execute``, ``executemany``, ``fetch…``, prepared statements, every chunk that a cursor
asks the server for, and ``copy_…``. What asyncpg does by itself, introspection of types and the
reset of a connection that returns to its pool, is not. Connections of SQLAlchemy are left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.owned import OWNED
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.pools import Borrowings, PoolState, Size
from watchkeeper.instrument.integrations.queries import Place, Queries
from watchkeeper.instrument.integrations.twins import around, before, spanned
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_HOOK = "db.asyncpg"
_POOLS_MAX = 64
"""States of pools that are kept before those of dead ones are dropped."""
_MANY = frozenset(("executemany", "fetchmany"))
_CONNECTION = ("execute", "executemany", "fetch", "fetchval", "fetchrow", "fetchmany")
_PREPARED = ("executemany", "fetch", "fetchval", "fetchrow", "fetchmany")

_Method = Callable[..., Any]


def instrument(host: Host) -> Callable[[], None]:
    """Record the operations of every connection, and every pool.

    Returns:
        A function that undoes it.
    """
    from asyncpg.connection import Connection
    from asyncpg.cursor import BaseCursor
    from asyncpg.pool import Pool, PoolConnectionHolder
    from asyncpg.prepared_stmt import PreparedStatement

    operations = _Operations(host)
    pools = _Pools(host)
    patches: list[tuple[Any, str, Callable[[_Method], _Method]]] = [
        *((Connection, name, operations.on_connection) for name in _CONNECTION),
        *((PreparedStatement, name, operations.on_prepared) for name in _PREPARED),
        (Connection, "_copy_in", operations.on_connection),
        (Connection, "_copy_out", operations.on_connection),
        (Connection, "copy_records_to_table", operations.copying),
        (BaseCursor, "_bind_exec", operations.on_cursor),
        (BaseCursor, "_exec", operations.on_cursor),
        (Pool, "_acquire", pools.acquiring),
        (Pool, "_get_new_connection", pools.opening),
        (PoolConnectionHolder, "_release", pools.releasing),
    ]
    undos = [
        replace(owner, name, wrap(owner.__dict__[name]))
        for owner, name, wrap in patches
        if name in owner.__dict__
    ]
    return all_of(pools.forget, *undos)


class _Operations:
    """What stands in for the methods that ask the server for something."""

    def __init__(self, host: Host) -> None:
        self._queries = Queries(host, _HOOK, "postgresql")

    def on_connection(self, original: _Method) -> _Method:
        """Return what stands in for a method of a connection whose first argument is a statement."""
        many = original.__name__ in _MANY

        def begin(connection: Any, *args: Any, **kwargs: Any) -> RecordedSpan | None:
            statement = args[0] if args else kwargs.get("query", kwargs.get("command"))
            if statement is connection._reset_query:  # noqa: SLF001 - asyncpg's own housekeeping
                return None
            batch = _length(args[1] if len(args) > 1 else kwargs.get("args")) if many else None
            return self._begin(connection, statement, batch)

        return spanned(original, begin, self._queries.failed)

    def on_prepared(self, original: _Method) -> _Method:
        """Return what stands in for a method of a prepared statement."""
        many = original.__name__ in _MANY

        def begin(prepared: Any, *args: Any, **kwargs: Any) -> RecordedSpan | None:
            batch = _length(args[0] if args else kwargs.get("args")) if many else None
            return self._begin(prepared._connection, prepared._query, batch)  # noqa: SLF001 - the only way

        return spanned(original, begin, self._queries.failed)

    def on_cursor(self, original: _Method) -> _Method:
        """Return what stands in for a cursor's method that asks for rows."""

        def begin(cursor: Any, *_: Any, **__: Any) -> RecordedSpan | None:
            return self._begin(cursor._connection, cursor._query, None)  # noqa: SLF001 - likewise

        return spanned(original, begin, self._queries.failed)

    def copying(self, original: _Method) -> _Method:
        """Return what stands in for ``copy_records_to_table``, which has no statement to show."""

        def begin(connection: Any, *args: Any, **kwargs: Any) -> RecordedSpan | None:
            table = args[0] if args else kwargs.get("table_name")
            statement = f'COPY INTO "{table}" FROM STDIN'
            return self._begin(connection, statement, _length(kwargs.get("records")))

        return spanned(original, begin, self._queries.failed)

    def _begin(self, connection: Any, statement: Any, batch: int | None) -> RecordedSpan | None:
        if id(connection) in OWNED:
            return None
        try:
            return self._queries.begin(_place(connection), statement, batch)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None


class _Pools(Borrowings):
    """Waits, borrowings, sizes and failures of pools; a connection is known by its slot."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, TimeoutError)
        self._states: dict[int, PoolState] = {}

    def acquiring(self, original: _Method) -> _Method:
        """Return what stands in for ``Pool._acquire``."""
        return around(original, _HOOK, self.asked, self.given)

    def opening(self, original: _Method) -> _Method:
        """Return what stands in for ``Pool._get_new_connection``: counts what failed."""
        return around(original, _HOOK, self.opens, self.opened)

    def releasing(self, original: _Method) -> _Method:
        """Return what stands in for the method that frees a pool's slot."""
        return before(original, _HOOK, self.returned)

    def state(self, pool: Any) -> PoolState:
        """Return what is known of *pool*."""
        # Pools allow no weak reference, but their slots do, and live as long.
        slot = pool._holders[0]  # noqa: SLF001 - as said
        state = self._states.get(id(pool))
        if state is not None and state.pool() is slot:
            return state
        if len(self._states) > _POOLS_MAX:
            self._states = {key: one for key, one in self._states.items() if one.pool() is not None}
        state = self._states[id(pool)] = self.book.meet(self, slot, "asyncpg", _size)
        return state

    def key(self, connection: Any) -> Any:
        """Return the slot of a borrowed connection."""
        return connection._holder  # noqa: SLF001 - the only way to it


def _place(connection: Any) -> Place:
    address = connection._addr  # noqa: SLF001 - asyncpg has no other way to tell
    database = connection._params.database or ""  # noqa: SLF001 - likewise
    if isinstance(address, tuple):
        return (database, address[0], address[1])
    return (database, address or "", 0)


def _size(slot: Any) -> Size:
    pool = slot._pool  # noqa: SLF001 - the slot stands for its pool
    if pool.is_closing():
        return Size(None, None, None)
    idle = pool.get_idle_size()
    return Size(pool.get_size() - idle, idle, pool.get_max_size())


def _length(items: Any) -> int | None:
    return len(items) if isinstance(items, (list, tuple)) else None
