"""asyncpg: a client span per operation, and the state of its pools.

Counted are ``execute``, ``executemany``, ``fetch…``, prepared statements, every chunk that a cursor
asks the server for, and ``copy_…``. What asyncpg does by itself, introspection of types and the
reset of a connection that returns to its pool, is not. Connections of SQLAlchemy are left to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.owned import OWNED
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.pools import PoolState, Size, book_of
from watchkeeper.instrument.integrations.queries import Place, Queries
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_HOOK = "db.asyncpg"
_POOLS_MAX = 64
"""States of pools that are kept before those of dead ones are dropped."""
_MANY = frozenset(("executemany", "fetchmany"))
_CONNECTION = ("execute", "executemany", "fetch", "fetchval", "fetchrow", "fetchmany")
_PREPARED = ("executemany", "fetch", "fetchval", "fetchrow", "fetchmany")

_Method = Callable[..., Awaitable[Any]]


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
        *((Connection, name, operations.on_connection(name in _MANY)) for name in _CONNECTION),
        *((PreparedStatement, name, operations.on_prepared(name in _MANY)) for name in _PREPARED),
        (Connection, "_copy_in", operations.on_connection(many=False)),
        (Connection, "_copy_out", operations.on_connection(many=False)),
        (Connection, "copy_records_to_table", operations.copying),
        (BaseCursor, "_bind_exec", operations.on_cursor),
        (BaseCursor, "_exec", operations.on_cursor),
        (Pool, "_acquire", pools.acquiring),
        (Pool, "_get_new_connection", pools.opening),
    ]
    undos = [
        replace(owner, name, wrap(owner.__dict__[name]))
        for owner, name, wrap in patches
        if name in owner.__dict__
    ]
    freeing = pools.releasing(PoolConnectionHolder.__dict__["_release"])
    undos.append(replace(PoolConnectionHolder, "_release", freeing))
    return all_of(pools.forget, *undos)


class _Operations:
    """What stands in for the methods that ask the server for something."""

    def __init__(self, host: Host) -> None:
        self._queries = Queries(host, _HOOK, "postgresql")

    def on_connection(self, many: bool) -> Callable[[_Method], _Method]:  # noqa: FBT001 - one flag
        """Return a wrapper for methods of a connection whose first argument is the statement."""

        def wrap(original: _Method) -> _Method:
            async def call(connection: Any, *args: Any, **kwargs: Any) -> Any:
                if id(connection) in OWNED:
                    return await original(connection, *args, **kwargs)
                statement = args[0] if args else kwargs.get("query", kwargs.get("command"))
                if statement is connection._reset_query:  # noqa: SLF001 - asyncpg's own housekeeping
                    return await original(connection, *args, **kwargs)
                batch = _length(args[1] if len(args) > 1 else kwargs.get("args")) if many else None
                span = self._begin(connection, statement, batch)
                if span is None:
                    return await original(connection, *args, **kwargs)
                return await self._run(span, original, connection, args, kwargs)

            return call

        return wrap

    def on_prepared(self, many: bool) -> Callable[[_Method], _Method]:  # noqa: FBT001 - one flag
        """Return a wrapper for methods of a prepared statement."""

        def wrap(original: _Method) -> _Method:
            async def call(prepared: Any, *args: Any, **kwargs: Any) -> Any:
                connection = prepared._connection  # noqa: SLF001 - the only way to it
                if id(connection) in OWNED:
                    return await original(prepared, *args, **kwargs)
                batch = _length(args[0] if args else kwargs.get("args")) if many else None
                span = self._begin(connection, prepared._query, batch)  # noqa: SLF001 - likewise
                if span is None:
                    return await original(prepared, *args, **kwargs)
                return await self._run(span, original, prepared, args, kwargs)

            return call

        return wrap

    def on_cursor(self, original: _Method) -> _Method:
        """Return what stands in for a cursor's method that asks for rows."""

        async def call(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            connection = cursor._connection  # noqa: SLF001 - the only way to it
            if id(connection) in OWNED:
                return await original(cursor, *args, **kwargs)
            span = self._begin(connection, cursor._query, None)  # noqa: SLF001 - likewise
            if span is None:
                return await original(cursor, *args, **kwargs)
            return await self._run(span, original, cursor, args, kwargs)

        return call

    def copying(self, original: _Method) -> _Method:
        """Return what stands in for ``copy_records_to_table``, which has no statement to show."""

        async def call(connection: Any, *args: Any, **kwargs: Any) -> Any:
            if id(connection) in OWNED:
                return await original(connection, *args, **kwargs)
            table = args[0] if args else kwargs.get("table_name")
            statement = f'COPY INTO "{table}" FROM STDIN'
            span = self._begin(connection, statement, _length(kwargs.get("records")))
            if span is None:
                return await original(connection, *args, **kwargs)
            return await self._run(span, original, connection, args, kwargs)

        return call

    def _begin(self, connection: Any, statement: Any, batch: int | None) -> RecordedSpan | None:
        try:
            return self._queries.begin(_place(connection), statement, batch)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None

    async def _run(
        self,
        span: RecordedSpan,
        original: _Method,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        try:
            result = await original(target, *args, **kwargs)
        except BaseException as error:
            self._queries.failed(span, error)
            raise
        span.end()
        return result


class _Pools:
    """Waits, borrowings, sizes and failures of pools."""

    def __init__(self, host: Host) -> None:
        self._now = host.clock.monotonic_ns
        self._book = book_of(host.metrics)
        self._states: dict[int, PoolState] = {}
        self._borrowed: dict[int, tuple[int, PoolState]] = {}

    def acquiring(self, original: _Method) -> _Method:
        """Return what stands in for ``Pool._acquire``."""

        async def acquire(pool: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - asyncpg's signature
            try:
                state = self._state(pool)
                started = self._now()
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                return await original(pool, timeout)
            state.pending += 1
            try:
                connection = await original(pool, timeout)
            except TimeoutError:
                self._book.timeouts.child((state.name,)).inc()
                raise
            finally:
                state.pending -= 1
            try:
                ended = self._now()
                state.wait.observe((ended - started) / 1e9)
                self._borrowed[id(connection._holder)] = (ended, state)  # noqa: SLF001 - its slot
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
            return connection

        return acquire

    def opening(self, original: _Method) -> _Method:
        """Return what stands in for ``Pool._get_new_connection``: counts what failed."""

        async def open_one(pool: Any) -> Any:
            try:
                return await original(pool)
            except Exception:
                try:
                    self._book.failures.child((self._state(pool).name,)).inc()
                except Exception as failure:  # noqa: BLE001 - never into the application
                    record_failure(_HOOK, failure)
                raise

        return open_one

    def releasing(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what stands in for the method that frees a pool's slot."""

        def release(holder: Any) -> None:
            borrowed = self._borrowed.pop(id(holder), None)
            if borrowed is not None:
                borrowed[1].use.observe((self._now() - borrowed[0]) / 1e9)
            original(holder)

        return release

    def forget(self) -> None:
        """Show no pools any more."""
        self._book.forget(self)

    def _state(self, pool: Any) -> PoolState:
        # Pools allow no weak reference, but their slots do, and live as long.
        slot = pool._holders[0]  # noqa: SLF001 - as said
        state = self._states.get(id(pool))
        if state is not None and state.pool() is slot:
            return state
        if len(self._states) > _POOLS_MAX:
            self._states = {key: one for key, one in self._states.items() if one.pool() is not None}
        state = self._states[id(pool)] = self._book.meet(self, slot, "asyncpg", _size)
        return state


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
