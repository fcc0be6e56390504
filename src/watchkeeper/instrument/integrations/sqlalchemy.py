"""SQLAlchemy 2: a client span per statement, and the state of connection pools.

Class-level listeners, so every engine counts, synchronous or asynchronous, made before or after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.owned import own
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.pools import PoolState, Size, book_of
from watchkeeper.instrument.integrations.queries import attributes_of, failed
from watchkeeper.instrument.recorder.span import RecordedSpan, Template
from watchkeeper.vocabulary.limits import limit

__all__ = ["instrument"]

_HOOK = "db.sqlalchemy"
_CACHE = "_watchkeeper_statements"
_BORROWED = "watchkeeper_borrowed"
_STATE = "_watchkeeper_pool"
_STATEMENTS_MAX = limit("sql_statements_max")
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db", "cockroachdb": "cockroachdb"}
"""SQLAlchemy's dialect names, where the semantic conventions have another word."""


def instrument(host: Host) -> Callable[[], None]:
    """Record the statements and pools of every engine.

    Returns:
        A function that undoes it.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError
    from sqlalchemy.pool import Pool

    statements = _Statements(host)
    pools = _Pools(host, PoolTimeoutError)
    listeners: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (Engine, "do_execute", statements.do_execute),
        (Engine, "do_executemany", statements.do_executemany),
        (Engine, "do_execute_no_params", statements.do_execute_no_params),
        (Pool, "checkin", pools.returned),
        (Pool, "first_connect", _opened),
        (Pool, "connect", _opened),
    )
    for target, name, function in listeners:
        event.listen(target, name, function)
    unpatch = replace(Pool, "connect", pools.connecting(Pool.connect))

    def unlisten() -> None:
        for target, name, function in listeners:
            if event.contains(target, name, function):
                event.remove(target, name, function)

    return all_of(unlisten, pools.forget, unpatch)


class _Statements:
    """Runs statements in the dialect's stead, through the events that SQLAlchemy has for that.

    Listeners of the engine's own events (``before_cursor_execute``) would make every connection
    and every execution go through some dozen further events; these cost one.
    """

    def __init__(self, host: Host) -> None:
        self._start = host.recorder.start

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        """Run a statement; True says that it was run."""
        span = self._begin(context, statement)
        if span is None:
            return None
        # As `_run` does, without its look-ups by name: this is the way of nearly every statement.
        try:
            dialect = context.dialect
            for other in dialect.dispatch.do_execute:
                if other != self.do_execute and other(cursor, statement, parameters, context):
                    break
            else:
                dialect.do_execute(cursor, statement, parameters, context)
        except BaseException as error:
            failed(span, error, _HOOK)
            raise
        span.end()
        return True

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any
    ) -> bool | None:
        """Run a statement with many sets of parameters, likewise."""
        return self._run("do_executemany", context, (cursor, statement, parameters, context))

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any) -> bool | None:
        """Run a statement without parameters, likewise."""
        return self._run("do_execute_no_params", context, (cursor, statement, context))

    def _run(self, name: str, context: Any, arguments: tuple[Any, ...]) -> bool | None:
        span = self._begin(context, arguments[1])
        if span is None:
            return None
        try:
            dialect = context.dialect
            ours = getattr(self, name)
            for other in getattr(dialect.dispatch, name):
                # The first listener that runs a statement ends the event: the application's own
                # listeners come after ours, so they are asked here.
                if other != ours and other(*arguments):
                    break
            else:
                getattr(dialect, name)(*arguments)
        except BaseException as error:
            failed(span, error, _HOOK)
            raise
        span.end()
        return True

    def _begin(self, context: Any, statement: str) -> RecordedSpan | None:
        try:
            if context is None:
                return None
            dialect = context.dialect
            known: dict[str, tuple[str, Template]] | None = dialect.__dict__.get(_CACHE)
            if known is None:
                known = dialect.__dict__[_CACHE] = {}
            found = known.get(statement)
            if found is None:
                if len(known) >= _STATEMENTS_MAX:
                    known.clear()
                found = known[statement] = _prepared(context, statement)
            name, template = found
            return self._start(
                name, SpanKind.CLIENT, template.attributes.copy(), None, None, None, template
            )
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None


def _prepared(context: Any, statement: str) -> tuple[str, Template]:
    system = _SYSTEMS.get(context.dialect.name, context.dialect.name)
    url = context.engine.url
    return attributes_of((url.database or "", url.host or "", url.port or 0), statement, system)


def _opened(connection: Any, record: Any) -> None:
    """Mark the driver's connection: what goes through it is recorded here, not by its driver."""
    try:
        driver = getattr(record, "driver_connection", None)
        own(connection if driver is None else driver)
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, error)


class _Pools:
    """Waits, borrowings and sizes of connection pools."""

    def __init__(self, host: Host, timeout: type[Exception]) -> None:
        self._now = host.clock.monotonic_ns
        self._timeout = timeout
        self._book = book_of(host.metrics)

    def connecting(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return what stands in for ``Pool.connect``: times the wait, counts what failed."""
        now = self._now

        def connect(pool: Any) -> Any:
            try:
                started = now()
                state = pool.__dict__.get(_STATE)
                if state is None or state.owner is not self:
                    state = self._met(pool)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                return original(pool)
            state.pending += 1
            try:
                connection = original(pool)
            except Exception as error:
                self._not_connected(state, error)
                raise
            finally:
                state.pending -= 1
            try:
                ended = now()
                state.wait.observe((ended - started) / 1e9)
                record = connection._connection_record  # noqa: SLF001 - the only way to its record
                record.info[_BORROWED] = (ended, state)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
            return connection

        return connect

    def returned(self, connection: Any, record: Any) -> None:
        """Learn that a connection came back."""
        del connection
        try:
            borrowed = record.info.pop(_BORROWED, None)
            if borrowed is not None:
                borrowed[1].use.observe((self._now() - borrowed[0]) / 1e9)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def forget(self) -> None:
        """Show no pools any more."""
        self._book.forget(self)

    def _not_connected(self, state: PoolState, error: Exception) -> None:
        try:
            timed_out = isinstance(error, self._timeout)
            family = self._book.timeouts if timed_out else self._book.failures
            family.child((state.name,)).inc()
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, failure)

    def _met(self, pool: Any) -> PoolState:
        dialect = getattr(pool, "_dialect", None)
        base = getattr(pool, "logging_name", None) or getattr(dialect, "name", None) or "pool"
        # `Engine.dispose` makes a new pool with the same creator: it takes over the name.
        state = self._book.meet(self, pool, str(base), _size, _same)
        pool.__dict__[_STATE] = state
        return state


def _size(pool: Any) -> Size:
    if not hasattr(pool, "checkedout"):
        return Size(None, None, None)
    overflow = getattr(pool, "_max_overflow", -1)
    limit_ = pool.size() + overflow if overflow >= 0 and hasattr(pool, "size") else None
    return Size(pool.checkedout(), pool.checkedin(), limit_)


def _same(one: Any, other: Any) -> bool:
    return one is other or getattr(one, "_creator", one) is getattr(other, "_creator", other)
