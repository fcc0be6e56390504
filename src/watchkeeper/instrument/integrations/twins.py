"""What stands in for a method, be it a plain one or a coroutine function: written once for both.

Drivers come in pairs, synchronous and asynchronous, that differ in ``await`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["around", "before", "spanned"]

_Call = Callable[..., Any]


def spanned(
    original: _Call,
    begin: Callable[..., RecordedSpan | None],
    failed: Callable[[RecordedSpan, BaseException], None],
) -> _Call:
    """Return what stands in for *original* and gives each call a span.

    Args:
        original: The method.
        begin: Starts the span, given what the method is given; None means no span. Must not raise.
        failed: Ends the span of a call that raised.
    """
    if iscoroutinefunction(original):

        async def call_async(target: Any, *args: Any, **kwargs: Any) -> Any:
            span = begin(target, *args, **kwargs)
            if span is None:
                return await original(target, *args, **kwargs)
            try:
                result = await original(target, *args, **kwargs)
            except BaseException as error:
                failed(span, error)
                raise
            span.end()
            return result

        return call_async

    def call(target: Any, *args: Any, **kwargs: Any) -> Any:
        span = begin(target, *args, **kwargs)
        if span is None:
            return original(target, *args, **kwargs)
        try:
            result = original(target, *args, **kwargs)
        except BaseException as error:
            failed(span, error)
            raise
        span.end()
        return result

    return call


def around(
    original: _Call,
    hook: str,
    start: Callable[..., Any],
    end: Callable[[Any, Any, BaseException | None], None],
) -> _Call:
    """Return what stands in for *original* and calls *start* before it and *end* behind it.

    Args:
        original: The method.
        hook: Name under which errors of *start* and *end* are counted; they reach nobody.
        start: Given what the method is given; after an error of it *end* is not called.
        end: Given what *start* returned, the result, and the error if there was one.
    """

    def ended(token: Any, result: Any, error: BaseException | None) -> None:
        try:
            end(token, result, error)
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(hook, failure)

    if iscoroutinefunction(original):

        async def call_async(target: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                token = start(target, *args, **kwargs)
            except Exception as failure:  # noqa: BLE001 - never into the application
                record_failure(hook, failure)
                return await original(target, *args, **kwargs)
            try:
                result = await original(target, *args, **kwargs)
            except BaseException as error:
                ended(token, None, error)
                raise
            ended(token, result, None)
            return result

        return call_async

    def call(target: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            token = start(target, *args, **kwargs)
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(hook, failure)
            return original(target, *args, **kwargs)
        try:
            result = original(target, *args, **kwargs)
        except BaseException as error:
            ended(token, None, error)
            raise
        ended(token, result, None)
        return result

    return call


def before(original: _Call, hook: str, start: Callable[..., None]) -> _Call:
    """Return what stands in for *original* and calls *start* first, with what it is given."""

    def started(target: Any, *args: Any, **kwargs: Any) -> None:
        try:
            start(target, *args, **kwargs)
        except Exception as failure:  # noqa: BLE001 - never into the application
            record_failure(hook, failure)

    if iscoroutinefunction(original):

        async def call_async(target: Any, *args: Any, **kwargs: Any) -> Any:
            started(target, *args, **kwargs)
            return await original(target, *args, **kwargs)

        return call_async

    def call(target: Any, *args: Any, **kwargs: Any) -> Any:
        started(target, *args, **kwargs)
        return original(target, *args, **kwargs)

    return call
