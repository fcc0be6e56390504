"""psycopg 3: a client span per ``execute``, ``executemany``, ``copy`` and pipeline, sync and async.

Within ``connection.pipeline()`` statements are only queued: the whole block is one span with their
number. Connections of SQLAlchemy are left to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.owned import OWNED
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.queries import Place, Queries
from watchkeeper.instrument.integrations.twins import around, spanned
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_HOOK = "db.psycopg"
_PLACE = "_watchkeeper_place"
_BATCH = "_watchkeeper_batch"
_PIPELINE = "PIPELINE"

_Call = Callable[..., Any]


def instrument(host: Host) -> Callable[[], None]:
    """Record the statements of every connection.

    Returns:
        A function that undoes it.
    """
    import psycopg
    from psycopg._pipeline import Pipeline
    from psycopg._pipeline_async import AsyncPipeline

    made = _Statements(host)
    wrappers: list[tuple[Any, str, Callable[[_Call], _Call]]] = [
        (psycopg.Cursor, "stream", made.streaming),
        (psycopg.Cursor, "copy", made.copying),
        (psycopg.AsyncCursor, "stream", made.streaming_async),
        (psycopg.AsyncCursor, "copy", made.copying_async),
        (Pipeline, "__enter__", made.entering),
        (Pipeline, "__exit__", made.leaving),
        (AsyncPipeline, "__aenter__", made.entering),
        (AsyncPipeline, "__aexit__", made.leaving),
    ]
    for cursor in (
        *(psycopg.Cursor, psycopg.ServerCursor, psycopg.AsyncCursor, psycopg.AsyncServerCursor),
    ):
        wrappers += ((cursor, "execute", made.executing), (cursor, "executemany", made.executing))
    undos = [
        replace(owner, name, wrap(owner.__dict__[name]))
        for owner, name, wrap in wrappers
        if name in owner.__dict__
    ]
    return all_of(*undos)


class _Statements:
    """What stands in for the methods that ask the server for something."""

    def __init__(self, host: Host) -> None:
        self._queries = Queries(host, _HOOK, "postgresql")

    def executing(self, original: _Call) -> _Call:
        """Return what stands in for ``execute`` or ``executemany``."""
        many = original.__name__ == "executemany"
        begin = partial(self._begin, many=True) if many else self._begin
        return spanned(original, begin, self._queries.failed)

    def streaming(self, original: _Call) -> _Call:
        """Return what stands in for ``stream``: its span lasts from the first row to the last."""

        def stream(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            rows = original(cursor, query, *args, **kwargs)
            span = self._begin(cursor, query)
            if span is None:
                yield from rows
                return
            try:
                yield from rows
            except BaseException as error:
                self._queries.failed(span, error)
                raise
            span.end()

        return stream

    def streaming_async(self, original: _Call) -> _Call:
        """Return what stands in for the asynchronous ``stream``, likewise."""

        async def stream(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            rows = original(cursor, query, *args, **kwargs)
            span = self._begin(cursor, query)
            try:
                async for row in rows:
                    yield row
            except BaseException as error:
                if span is not None:
                    self._queries.failed(span, error)
                raise
            finally:
                await rows.aclose()
            if span is not None:
                span.end()

        return stream

    def copying(self, original: _Call) -> _Call:
        """Return what stands in for ``copy``: its span lasts as long as the block."""

        @contextmanager
        def copy(cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            span = self._begin(cursor, statement)
            try:
                with original(cursor, statement, *args, **kwargs) as made:
                    yield made
            except BaseException as error:
                if span is not None:
                    self._queries.failed(span, error)
                raise
            if span is not None:
                span.end()

        return copy

    def copying_async(self, original: _Call) -> _Call:
        """Return what stands in for the asynchronous ``copy``, likewise."""

        @asynccontextmanager
        async def copy(
            cursor: Any, statement: Any, *args: Any, **kwargs: Any
        ) -> AsyncIterator[Any]:
            span = self._begin(cursor, statement)
            try:
                async with original(cursor, statement, *args, **kwargs) as made:
                    yield made
            except BaseException as error:
                if span is not None:
                    self._queries.failed(span, error)
                raise
            if span is not None:
                span.end()

        return copy

    def entering(self, original: _Call) -> _Call:
        """Return what stands in for the entry of a pipeline."""
        return around(original, _HOOK, lambda pipeline: pipeline, self._open)

    def leaving(self, original: _Call) -> _Call:
        """Return what stands in for the exit of a pipeline."""
        return around(original, _HOOK, lambda pipeline, *exc: (pipeline, exc), self._close)

    def _begin(
        self, cursor: Any, query: Any, params: Any = None, *, many: bool = False, **_: Any
    ) -> RecordedSpan | None:
        connection = cursor._conn  # noqa: SLF001 - `connection` is a property with a lookup more
        if id(connection) in OWNED:
            return None
        try:
            size = len(params) if many and isinstance(params, (list, tuple)) else None
            batch = connection.__dict__.get(_BATCH)
            if batch is not None:
                batch[1] += 1 if size is None else size
                return None
            text = query if type(query) is str else _text(query, connection)
            # An empty statement is how a pool asks whether a connection is alive.
            return self._queries.begin(_place(connection), text, size) if text else None
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None

    def _open(self, pipeline: Any, _: Any, error: BaseException | None) -> None:
        connection = pipeline._conn  # noqa: SLF001 - the only way to it
        known = connection.__dict__
        if error is not None or id(connection) in OWNED:
            return
        batch = known.get(_BATCH)
        if batch is not None:
            batch[2] += 1
            return
        if type(pipeline._lock).__name__ == "_DummyLock":  # noqa: SLF001 - the only sign of it
            # `executemany` makes a pipeline of its own, below its own span.
            return
        span = self._queries.begin(_place(connection), _PIPELINE)
        if span is not None:
            known[_BATCH] = [span, 0, 1]

    def _close(self, left: Any, _: Any, error: BaseException | None) -> None:
        pipeline, exc = left
        if error is None and len(exc) > 1:
            error = exc[1]
        known = pipeline._conn.__dict__  # noqa: SLF001 - as above
        batch = known.get(_BATCH)
        if batch is None:
            return
        batch[2] -= 1
        if batch[2] > 0 and error is None:
            return
        del known[_BATCH]
        span: RecordedSpan = batch[0]
        span.attributes["db.operation.batch.size"] = batch[1]
        if error is None:
            span.end()
        else:
            self._queries.failed(span, error)


def _text(query: Any, connection: Any) -> str:
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if isinstance(query, str):
        return query
    as_string = getattr(query, "as_string", None)
    if as_string is not None:
        return str(as_string(connection))
    # A template string of Python 3.14: its values stay out.
    return "?".join(getattr(query, "strings", ("",)))


def _place(connection: Any) -> Place:
    place: Place | None = connection.__dict__.get(_PLACE)
    if place is None:
        info = connection.info
        place = connection.__dict__[_PLACE] = (info.dbname, info.host, info.port)
    return place
