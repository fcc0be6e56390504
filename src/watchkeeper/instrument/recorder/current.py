"""Making a span the current one, without a complaint when the context has changed meanwhile.

`opentelemetry.context.detach` logs an error when a generator or an async generator is closed in
another context than it was started in. There is nothing to restore then, so nothing is said.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, Span

from watchkeeper.instrument.recorder.contexts import attach_span
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["CurrentSpan", "SilentSpan", "activate", "deactivate", "silence"]

F = TypeVar("F", bound=Callable[..., Any])


class SilentSpan(NonRecordingSpan):
    """While it is current, nothing is recorded: our own threads run under it."""


_SILENT = SilentSpan(INVALID_SPAN_CONTEXT)


activate = attach_span
"""Make a span current; give the result to `deactivate`, best in a ``finally``.

Args:
    span: The span.
    context: What else is current with it (baggage that came in); default what is current now.
"""


def deactivate(token: Token[Any]) -> None:
    """Restore what *token*'s variable held before, of `activate` or any other.

    Does nothing in a context where that is not known.
    """
    try:
        token.var.reset(token)
    except (ValueError, RuntimeError):
        # Another context, or the token was used before.
        return


def silence() -> Token[Context]:
    """Record nothing in this context from here on; `deactivate` ends that."""
    return activate(_SILENT)


class CurrentSpan:
    """A span that is current for the length of a ``with`` block, or of a decorated function.

    Args:
        start: Makes the span; called at each entry, so a decorator gets a span per call.
        record_exception: Add an event for an `Exception` that leaves the block.
        set_status_on_exception: Set the status to ERROR likewise.
        end_on_exit: End the span when the block is left.
    """

    __slots__ = ("_end_on_exit", "_record", "_set_status", "_span", "_start", "_token")

    def __init__(
        self,
        start: Callable[[], Span],
        *,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> None:
        self._start = start
        self._record = record_exception
        self._set_status = set_status_on_exception
        self._end_on_exit = end_on_exit
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        """Start the span and make it current."""
        span = self._span = self._start()
        self._token = activate(span)
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore what was current, record what was raised, end the span."""
        if self._token is not None:
            deactivate(self._token)
        span = self._span
        if span is None:
            return
        # What is not an Exception (GeneratorExit, CancelledError) is not a failure of the work.
        if isinstance(error, Exception) and isinstance(span, RecordedSpan):
            span.fail(error, record=self._record, set_status=self._set_status)
        if self._end_on_exit:
            span.end()

    def _again(self) -> Self:
        return type(self)(
            self._start,
            record_exception=self._record,
            set_status_on_exception=self._set_status,
            end_on_exit=self._end_on_exit,
        )

    def __call__(self, function: F) -> F:
        """Return *function* with a span around each of its calls."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("F", awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return cast("F", called)
