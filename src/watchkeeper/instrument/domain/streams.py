"""A provider's stream, watched while the application reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Protocol, Self

from watchkeeper.instrument.guard import record_failure

__all__ = ["WatchedStream", "Watcher"]

_HOOK = "domain.llm_call"


class Watcher(Protocol):
    """Who is told what becomes of a stream."""

    def on_chunk(self, chunk: object) -> None:
        """Take in one chunk."""
        ...

    def on_end(self, error: BaseException | None, *, complete: bool) -> None:
        """Learn that the stream ended; called at least once, later calls mean nothing."""
        ...


class WatchedStream:
    """Stands in for a stream: iterates, closes and otherwise behaves like it.

    Tells its watcher about every chunk and about the end: exhausted, failed, closed early, or
    forgotten and collected.
    """

    def __init__(self, stream: Any, watcher: Watcher) -> None:
        self._stream = stream
        self._watcher = watcher
        self._iterator: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the chunks."""
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the chunks."""
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        if self._iterator is None:
            self._iterator = iter(self._stream)
        try:
            chunk = next(self._iterator)
        except BaseException as error:
            self._stopped(error)
            raise
        self._saw(chunk)
        return chunk

    async def __anext__(self) -> Any:
        """Return the next chunk."""
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        try:
            chunk = await anext(self._iterator)
        except BaseException as error:
            self._stopped(error)
            raise
        self._saw(chunk)
        return chunk

    def __enter__(self) -> Self:
        """Enter the stream's own context."""
        entered = self._stream.__enter__()
        if entered is not None and entered is not self._stream:
            self._stream = entered
        return self

    def __exit__(self, *failure: object) -> Any:
        """Leave the stream's own context, which closes it."""
        try:
            return self._stream.__exit__(*failure)
        finally:
            self._ended(failure[1] if isinstance(failure[1], BaseException) else None)

    async def __aenter__(self) -> Self:
        """Enter the stream's own context."""
        entered = await self._stream.__aenter__()
        if entered is not None and entered is not self._stream:
            self._stream = entered
        return self

    async def __aexit__(self, *failure: object) -> Any:
        """Leave the stream's own context, which closes it."""
        try:
            return await self._stream.__aexit__(*failure)
        finally:
            self._ended(failure[1] if isinstance(failure[1], BaseException) else None)

    def close(self) -> Any:
        """Close the stream; awaitable if the stream's own ``close`` is."""
        try:
            close = getattr(self._stream, "close", None)
            return close() if callable(close) else None
        finally:
            self._ended(None)

    async def aclose(self) -> None:
        """Close an asynchronous stream."""
        try:
            close = getattr(self._stream, "aclose", None) or getattr(self._stream, "close", None)
            if callable(close):
                closing = close()
                if hasattr(closing, "__await__"):
                    await closing
        finally:
            self._ended(None)

    def __del__(self) -> None:
        with suppress(Exception):
            self._watcher.on_end(None, complete=False)

    def _saw(self, chunk: object) -> None:
        try:
            self._watcher.on_chunk(chunk)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def _stopped(self, error: BaseException) -> None:
        if isinstance(error, StopIteration | StopAsyncIteration):
            self._ended(None, complete=True)
        else:
            self._ended(error)

    def ended(self) -> None:
        """Learn that the stream was closed from outside."""
        self._ended(None)

    def _ended(self, error: BaseException | None, *, complete: bool = False) -> None:
        try:
            self._watcher.on_end(error, complete=complete)
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, failure)
