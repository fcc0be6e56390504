"""Connection pools of any driver: one book per set of metrics, so that their series never collide."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.metrics import Histogram, MetricSet

__all__ = ["Borrowings", "PoolBook", "PoolState", "Size", "book_of"]


class Size(NamedTuple):
    """How many connections a pool has; None is not known."""

    used: int | None
    idle: int | None
    limit: int | None


class PoolState:
    """What is known of one pool."""

    __slots__ = ("name", "owner", "pending", "pool", "size", "use", "wait")

    def __init__(
        self,
        owner: object,
        name: str,
        pool: weakref.ref[Any] | Callable[[], Any],
        size: Callable[[Any], Size],
        wait: Histogram,
        use: Histogram,
    ) -> None:
        self.owner = owner
        self.name = name
        self.pool = pool
        self.size = size
        self.wait = wait
        self.use = use
        self.pending = 0


class PoolBook:
    """The pools of a process, by name."""

    def __init__(self, metrics: MetricSet) -> None:
        self._wait = metrics.histogram("db.client.connection.wait_time")
        self._use = metrics.histogram("db.client.connection.use_time")
        self.timeouts = metrics.counter("db.client.connection.timeouts")
        self.failures = metrics.counter("connection_pool.create_failures")
        self._states: dict[str, PoolState] = {}
        self._lock = threading.Lock()
        metrics.gauge("db.client.connection.count").collect_from(self._counts)
        metrics.gauge("db.client.connection.max").collect_from(self._limits)
        metrics.gauge("db.client.connection.pending_requests").collect_from(self._pending)

    def meet(
        self,
        owner: object,
        pool: Any,
        base: str,
        size: Callable[[Any], Size],
        same: Callable[[Any, Any], bool] | None = None,
    ) -> PoolState:
        """Give *pool* a name and return its state.

        Args:
            owner: Which integration asks; `forget` takes its pools away.
            pool: Kept weakly, or for good if its class allows no other way.
            base: Its name, which gets a number if another living pool has it.
            size: Returns the pool's size at each scrape.
            same: Tells whether a living pool is the same one made anew, so that the name passes on.
        """
        with self._lock:
            number, name = 1, base
            while (known := self._states.get(name)) is not None:
                other = known.pool()
                if other is None or other is pool or (same is not None and same(other, pool)):
                    break
                number += 1
                name = f"{base}-{number}"
            state = self._states[name] = PoolState(
                owner,
                name,
                _reference(pool),
                size,
                self._wait.child((name,)),
                self._use.child((name,)),
            )
        return state

    def forget(self, owner: object) -> None:
        """Show the pools of *owner* no more."""
        with self._lock:
            for name in [name for name, state in self._states.items() if state.owner is owner]:
                del self._states[name]

    def _alive(self) -> list[tuple[PoolState, Any]]:
        pairs = [(state, state.pool()) for state in list(self._states.values())]
        return [(state, pool) for state, pool in pairs if pool is not None]

    def _counts(self) -> dict[tuple[str, ...], float]:
        counts: dict[tuple[str, ...], float] = {}
        for state, pool in self._alive():
            size = state.size(pool)
            if size.used is not None:
                counts[state.name, "used"] = size.used
            if size.idle is not None:
                counts[state.name, "idle"] = size.idle
        return counts

    def _limits(self) -> dict[tuple[str, ...], float]:
        sizes = [(state.name, state.size(pool).limit) for state, pool in self._alive()]
        return {(name,): limit for name, limit in sizes if limit is not None}

    def _pending(self) -> dict[tuple[str, ...], float]:
        return {(state.name,): state.pending for state, _ in self._alive()}


class Borrowings:
    """Waits, borrowings and failures of the pools of one driver: hooks for `twins.around`.

    A driver's pools say how a pool's state and a connection's key are found.

    Args:
        host: The running instrumentation.
        timeout: What a pool raises when a wait was too long.
    """

    def __init__(self, host: Host, timeout: type[BaseException]) -> None:
        self.book = book_of(host.metrics)
        self._now = host.clock.monotonic_ns
        self._timeout = timeout
        self._borrowed: dict[int, tuple[int, PoolState]] = {}

    def state(self, pool: Any) -> PoolState:
        """Return what is known of *pool*."""
        raise NotImplementedError

    def key(self, connection: Any) -> Any:
        """Return what stands for a borrowed connection until it comes back."""
        return connection

    def asked(self, pool: Any, *_: Any, **__: Any) -> tuple[PoolState, int]:
        """Learn that somebody asks *pool* for a connection."""
        state = self.state(pool)
        state.pending += 1
        return state, self._now()

    def given(
        self, asked: tuple[PoolState, int], connection: Any, error: BaseException | None
    ) -> None:
        """Learn what came of it."""
        state, started = asked
        state.pending -= 1
        if error is None:
            ended = self._now()
            state.wait.observe((ended - started) / 1e9)
            self._borrowed[id(self.key(connection))] = (ended, state)
        elif isinstance(error, self._timeout):
            self.book.timeouts.child((state.name,)).inc()

    def returned(self, key: Any, *_: Any) -> None:
        """Learn that a connection comes back."""
        borrowed = self._borrowed.pop(id(key), None)
        if borrowed is not None:
            borrowed[1].use.observe((self._now() - borrowed[0]) / 1e9)

    def opens(self, pool: Any, *_: Any, **__: Any) -> PoolState:
        """Learn that *pool* opens a connection."""
        return self.state(pool)

    def opened(self, state: PoolState, _: Any, error: BaseException | None) -> None:
        """Learn what came of it."""
        if isinstance(error, Exception):
            self.book.failures.child((state.name,)).inc()

    def used(self, state: PoolState) -> int:
        """Return how many connections of a pool are borrowed."""
        return sum(one is state for _, one in list(self._borrowed.values()))

    def forget(self) -> None:
        """Show no pools any more."""
        self.book.forget(self)


def book_of(metrics: MetricSet) -> PoolBook:
    """Return the book of *metrics*, the same for every integration."""
    with _LOCK:
        book = _BOOKS.get(metrics)
        if book is None:
            book = _BOOKS[metrics] = PoolBook(metrics)
        return book


def _reference(pool: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(pool)
    except TypeError:
        return lambda: pool


_BOOKS: weakref.WeakKeyDictionary[MetricSet, PoolBook] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()
