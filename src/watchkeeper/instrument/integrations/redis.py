"""redis: a client span per command, pipeline or transaction, and the state of connection pools.

Keys and values never leave the process: a command's text is its name with a ``?`` per argument.
Subscriptions wait for messages and are left alone; so is what a connection does to greet its server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import SpanKind

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.pools import PoolState, Size, book_of
from watchkeeper.instrument.integrations.queries import failed
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument", "quiet"]

_HOOK = "db.redis"
_STATE = "_watchkeeper_pool"
_PLACE = "_watchkeeper_place"
_QUIET = "_watchkeeper_quiet"
_NAME_MAX = 32
_ARGUMENTS_MAX = 8
_COMMANDS_MAX = 20
"""Commands of a pipeline whose names are in the text."""
_CACHE_MAX = 1_000
_TRANSACTION = ("transaction", "is_transaction", "explicit_transaction")
"""What pipelines call it: plain ones, asynchronous ones, and after ``multi()``."""

_Call = Callable[..., Any]
_AwaitedCall = Callable[..., Awaitable[Any]]
_Begin = Callable[[Any, tuple[Any, ...]], RecordedSpan | None]


def instrument(host: Host) -> Callable[[], None]:
    """Record the commands of every client, and every pool.

    Returns:
        A function that undoes it.
    """
    import redis.asyncio.client as later
    import redis.asyncio.cluster as later_cluster
    import redis.asyncio.connection as later_connection
    import redis.client as now
    import redis.cluster as now_cluster
    import redis.connection as now_connection

    commands = _Commands(host)
    pools = _Pools(host)
    patches: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (now.Redis, "execute_command", commands.executing),
        (now.Pipeline, "immediate_execute_command", commands.executing),
        (now.Pipeline, "execute", commands.executing_all),
        (now_cluster.RedisCluster, "execute_command", commands.executing),
        (now_cluster.ClusterPipeline, "execute", commands.executing_all),
        (later.Redis, "execute_command", commands.executing_async),
        (later.Pipeline, "immediate_execute_command", commands.executing_async),
        (later.Pipeline, "execute", commands.executing_all_async),
        (later_cluster.RedisCluster, "execute_command", commands.executing_async),
        (later_cluster.ClusterPipeline, "execute", commands.executing_all_async),
        (now_connection.ConnectionPool, "get_connection", pools.getting),
        (now_connection.BlockingConnectionPool, "get_connection", pools.getting),
        (later_connection.ConnectionPool, "get_connection", pools.getting_async),
        (later_connection.BlockingConnectionPool, "get_connection", pools.getting_async),
    ]
    undos = [
        replace(owner, name, wrap(owner.__dict__[name]))
        for owner, name, wrap in patches
        if name in owner.__dict__
    ]
    return all_of(pools.forget, *undos)


def quiet(pool: Any) -> None:
    """Record no commands of the clients of *pool*: a queue's own spans say what is worth saying."""
    known = getattr(pool, "__dict__", None)
    if known is not None:
        known[_QUIET] = True


def _around(original: _Call, begin: _Begin) -> _Call:
    def call(owner: Any, *args: Any, **options: Any) -> Any:
        span = begin(owner, args)
        if span is None:
            return original(owner, *args, **options)
        try:
            result = original(owner, *args, **options)
        except BaseException as error:
            failed(span, error, _HOOK)
            raise
        span.end()
        return result

    return call


def _around_async(original: _AwaitedCall, begin: _Begin) -> _AwaitedCall:
    async def call(owner: Any, *args: Any, **options: Any) -> Any:
        span = begin(owner, args)
        if span is None:
            return await original(owner, *args, **options)
        try:
            result = await original(owner, *args, **options)
        except BaseException as error:
            failed(span, error, _HOOK)
            raise
        span.end()
        return result

    return call


class _Commands:
    """What stands in for the methods that send commands."""

    def __init__(self, host: Host) -> None:
        self._start = host.recorder.start
        self._known: dict[tuple[Any, int, Any], tuple[str, dict[str, Any]]] = {}

    def executing(self, original: _Call) -> _Call:
        """Return what stands in for a client's ``execute_command``."""
        return _around(original, self._begin)

    def executing_async(self, original: _AwaitedCall) -> _AwaitedCall:
        """Return what stands in for an asynchronous client's ``execute_command``."""
        return _around_async(original, self._begin)

    def executing_all(self, original: _Call) -> _Call:
        """Return what stands in for a pipeline's ``execute``."""
        return _around(original, self._begin_all)

    def executing_all_async(self, original: _AwaitedCall) -> _AwaitedCall:
        """Return what stands in for an asynchronous pipeline's ``execute``."""
        return _around_async(original, self._begin_all)

    def _begin(self, client: Any, args: tuple[Any, ...]) -> RecordedSpan | None:
        try:
            place = client.__dict__.get(_PLACE)
            if place is None:
                place = _place(client)
            if place is _NOWHERE:
                return None
            key = (args[0], len(args), place)
            found = self._known.get(key)
            if found is None:
                if len(self._known) >= _CACHE_MAX:
                    self._known.clear()
                found = self._known[key] = _described(args[0], len(args) - 1, place)
            return self._start(found[0], SpanKind.CLIENT, found[1].copy())
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None

    def _begin_all(self, pipeline: Any, args: tuple[Any, ...] = ()) -> RecordedSpan | None:
        del args  # a pipeline holds its commands itself
        try:
            stack = getattr(pipeline, "command_stack", None)
            if stack is None:
                stack = getattr(pipeline, "_command_queue", ())
            if not stack:
                return None
            known = pipeline.__dict__
            transaction = any(known.get(name) is True for name in _TRANSACTION)
            name = "MULTI" if transaction else "PIPELINE"
            place = known.get(_PLACE)
            if place is None:
                place = _place(pipeline)
            if place is _NOWHERE:
                return None
            attributes = dict(place)
            attributes["db.system.name"] = "redis"
            attributes["db.operation.name"] = name
            attributes["db.operation.batch.size"] = len(stack)
            texts = [_text(*_queued(entry)) for entry in stack[:_COMMANDS_MAX]]
            if len(stack) > _COMMANDS_MAX:
                texts.append("…")
            attributes["db.query.text"] = "; ".join(texts)
            return self._start(name, SpanKind.CLIENT, attributes)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None


class _Pools:
    """Waits, sizes and failures of pools."""

    def __init__(self, host: Host) -> None:
        self._now = host.clock.monotonic_ns
        self._book = book_of(host.metrics)

    def getting(self, original: _Call) -> _Call:
        """Return what stands in for ``get_connection``."""

        def get_connection(pool: Any, *args: Any, **kwargs: Any) -> Any:
            state = self._state(pool)
            if state is None:
                return original(pool, *args, **kwargs)
            started = self._now()
            state.pending += 1
            try:
                connection = original(pool, *args, **kwargs)
            except Exception as error:
                self._not_got(state, error)
                raise
            finally:
                state.pending -= 1
            state.wait.observe((self._now() - started) / 1e9)
            return connection

        return get_connection

    def getting_async(self, original: _AwaitedCall) -> _AwaitedCall:
        """Return what stands in for the asynchronous ``get_connection``."""

        async def get_connection(pool: Any, *args: Any, **kwargs: Any) -> Any:
            state = self._state(pool)
            if state is None:
                return await original(pool, *args, **kwargs)
            started = self._now()
            state.pending += 1
            try:
                connection = await original(pool, *args, **kwargs)
            except Exception as error:
                self._not_got(state, error)
                raise
            finally:
                state.pending -= 1
            state.wait.observe((self._now() - started) / 1e9)
            return connection

        return get_connection

    def forget(self) -> None:
        """Show no pools any more."""
        self._book.forget(self)

    def _state(self, pool: Any) -> PoolState | None:
        try:
            state: PoolState | None = pool.__dict__.get(_STATE)
            if state is None or state.owner is not self:
                state = pool.__dict__[_STATE] = self._book.meet(self, pool, "redis", _size)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None
        return state

    def _not_got(self, state: PoolState, error: Exception) -> None:
        try:
            # Both kinds of pool say in words that every connection is taken.
            full = "Too many connections" in str(error) or "No connection available" in str(error)
            family = self._book.timeouts if full else self._book.failures
            family.child((state.name,)).inc()
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, failure)


_NOWHERE: tuple[tuple[str, Any], ...] = (("", None),)
"""The place of clients whose commands are not recorded."""


def _place(client: Any) -> tuple[tuple[str, Any], ...]:
    """Return database and server of a client as attributes, and keep them on it."""
    pool = getattr(client, "connection_pool", None)
    made = getattr(pool, "connection_class", None)
    if _QUIET in getattr(pool, "__dict__", ()) or getattr(made, "__module__", "").startswith(
        "kombu."
    ):
        client.__dict__[_PLACE] = _NOWHERE
        return _NOWHERE
    known = {} if pool is None else getattr(pool, "connection_kwargs", {})
    path = known.get("path")
    values = (
        ("db.namespace", None if pool is None else str(known.get("db") or 0)),
        ("server.address", path or known.get("host")),
        ("server.port", None if path else known.get("port")),
    )
    place = tuple((name, value) for name, value in values if value is not None)
    client.__dict__[_PLACE] = place
    return place


def _described(
    command: Any, arguments: int, place: tuple[tuple[str, Any], ...]
) -> tuple[str, dict[str, Any]]:
    name = _name(command)
    attributes = dict(place)
    attributes["db.system.name"] = "redis"
    attributes["db.operation.name"] = name
    attributes["db.query.text"] = _text(command, arguments)
    return name, attributes


def _name(command: Any) -> str:
    """Return the name of a command; what does not look like one may be a value of the caller's."""
    text = command.decode("ascii", "replace") if isinstance(command, bytes) else str(command)
    plain = text.replace(" ", "").replace(".", "").replace("_", "").replace("-", "")
    if len(text) > _NAME_MAX or not (plain.isascii() and plain.isalnum()):
        return "_OTHER"
    return text.upper()


def _text(command: Any, arguments: int) -> str:
    more = " …" if arguments > _ARGUMENTS_MAX else ""
    return _name(command) + " ?" * min(arguments, _ARGUMENTS_MAX) + more


def _queued(entry: Any) -> tuple[Any, int]:
    """Return name and number of arguments of a command that waits in a pipeline."""
    args = entry[0] if isinstance(entry, tuple) else entry.args
    return args[0], len(args) - 1


def _size(pool: Any) -> Size:
    limit = getattr(pool, "max_connections", None)
    used = getattr(pool, "_in_use_connections", None)
    idle = getattr(pool, "_available_connections", None)
    if used is None or idle is None or hasattr(pool, "queue_class"):
        made, free = getattr(pool, "_connections", None), getattr(pool, "pool", None)
        if made is None or free is None:
            return Size(None, None, limit)
        waiting = sum(one is not None for one in list(free.queue))
        return Size(len(made) - waiting, waiting, limit)
    return Size(len(used), len(idle), limit)
