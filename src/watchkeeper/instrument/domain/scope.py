"""What the domain's units of work have in common: a span around a block, as a context manager.

Nothing here raises into the application, and the application's exceptions pass through unchanged.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import Token
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.clean import clean_attributes
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["CallableScope", "Scope", "ended_at", "fail", "seconds", "start"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Scope(ABC):
    """One unit of work, usable once in a ``with`` or ``async with`` block.

    Does nothing while no host is attached.
    """

    hook = "domain"
    """Name under which our own errors are counted."""

    _host: Host | None = None
    _span: RecordedSpan | None = None
    _token: Token[Context] | None = None

    def __enter__(self) -> Self:
        """Start the span."""
        host = hosts.current()
        if host is None or self._span is not None:
            return self
        try:
            span = self._start(host)
            self._token = activate(span)
            self._host, self._span = host, span
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(self.hook, error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the span; an exception marks it as failed and passes through."""
        self._close(error)

    async def __aenter__(self) -> Self:
        """Start the span."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the span; an exception marks it as failed and passes through."""
        self._close(error)

    @abstractmethod
    def _start(self, host: Host) -> RecordedSpan:
        """Start and return the span."""

    @abstractmethod
    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        """Set what is known at the end, end the span and write the event."""

    def _leave(self) -> None:  # noqa: B027 - most units of work set none
        """Restore the context variables that `_start` set."""

    def _close(self, error: BaseException | None) -> None:
        host, span, token = self._host, self._span, self._token
        if host is None or span is None:
            return
        self._token = None
        try:
            self._finish(host, span, error)  # still current, so that the event carries its ids
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(self.hook, failure)
        finally:
            if token is not None:
                deactivate(token)
            self._leave()

    def _set(self, name: str, value: Any) -> None:
        span = self._span
        if span is not None and value is not None:
            span.set_attribute(name, value)


class CallableScope(Scope):
    """A unit of work that can also decorate functions and coroutine functions."""

    @abstractmethod
    def _again(self) -> CallableScope:
        """Return a fresh scope with the same arguments: a decorated function runs many times."""

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return *function* with each call of it as one unit of work.

        A generator function is traced from its first to its last item, but its span is not the
        current one in between: the code that consumes it runs in the same context.
        """
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[_P, _R]", awaited)
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            def stepped_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                fresh = self._again()
                return fresh._steps_async(function(*args, **kwargs))  # noqa: SLF001 - of this class

            return cast("Callable[_P, _R]", stepped_async)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def stepped(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                fresh = self._again()
                return fresh._steps(function(*args, **kwargs))  # noqa: SLF001 - of this class

            return cast("Callable[_P, _R]", stepped)

        @functools.wraps(function)
        def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self._again():
                return function(*args, **kwargs)

        return called

    def _steps(self, inner: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
        self.__enter__()
        failure: BaseException | None = None
        try:
            while True:
                try:
                    item = next(inner)
                except StopIteration as stop:
                    return stop.value
                self._pause()
                yield item
                self._resume()
        except BaseException as error:
            failure = error
            raise
        finally:
            inner.close()
            self._close(failure)

    async def _steps_async(self, inner: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        self.__enter__()
        failure: BaseException | None = None
        try:
            async for item in inner:
                self._pause()
                yield item
                self._resume()
        except BaseException as error:
            failure = error
            raise
        finally:
            await inner.aclose()
            self._close(failure)

    def _pause(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            deactivate(token)
            self._leave()

    def _resume(self) -> None:
        if self._span is not None:
            self._token = activate(self._span)
            self._enter_again()

    def _enter_again(self) -> None:
        """Set the context variables that `_leave` restored."""


def ended_at(span: RecordedSpan) -> int:
    """Return now, nanoseconds since the epoch, as the end of *span*: never before its start.

    One reading for the span and for the event that tells its duration, so that both agree.
    """
    return max(span.lane.now(), span.start_ns)


def fail(span: RecordedSpan, error: BaseException) -> str:
    """Mark *span* as failed by *error* and return the ``error.type``."""
    kind = "abandoned" if isinstance(error, GeneratorExit) else error_type(error)
    span.attributes["error.type"] = kind
    span.fail(error, record=isinstance(error, Exception))
    return kind


def start(
    host: Host,
    name: str,
    kind: SpanKind,
    attributes: dict[str, Any],
    parent: Context | None = None,
) -> RecordedSpan:
    """Start a span of ours with the attributes that are not None."""
    settings = host.settings
    kept, dropped = clean_attributes(
        {key: value for key, value in attributes.items() if value is not None},
        settings.span_attributes_max,
        settings.attribute_value_chars_max,
    )
    span = host.recorder.start(name, kind, kept, parent)
    if dropped:
        span.leave_out(dropped)
    return span


def seconds(moment: float | datetime) -> float:
    """Return seconds since the epoch; a datetime without a zone is in UTC."""
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)
