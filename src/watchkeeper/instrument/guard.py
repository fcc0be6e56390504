"""The one guard around every hook: an error of ours never reaches the application.

    with guard("http.server"):          # as a context manager
        ...

    @guard("db.after_cursor_execute")   # as a decorator of a function or coroutine function
    def after(...): ...

On the hottest paths write the ``try`` by hand and call `record_failure` in its ``except``.
Only `Exception` is swallowed: ``KeyboardInterrupt``, ``SystemExit`` and ``GeneratorExit`` pass.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar, cast

__all__ = ["Guard", "guard", "hook_errors", "log_once", "record_failure", "reraising"]

_LOGGER = logging.getLogger("watchkeeper")
_CAUSES_MAX = 256
"""Distinct causes that are remembered as logged; past it, failures are only counted."""

F = TypeVar("F", bound=Callable[..., Any])


class _Book:
    """What was swallowed so far, in this process."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.logged: set[tuple[object, ...]] = set()
        self.busy = threading.local()
        self.strict = False


_BOOK = _Book()


def hook_errors() -> Mapping[str, int]:
    """Return how many errors were swallowed, by hook; the metric ``watchkeeper.hook.errors``."""
    return MappingProxyType(dict(_BOOK.counts))


def log_once(cause: tuple[object, ...], level: int, message: str, *args: object) -> bool:
    """Log to the logger ``watchkeeper`` unless *cause* was logged before in this process.

    Logging itself may run our own hooks: what happens meanwhile on the same thread is not logged.

    Args:
        cause: What makes two messages the same; hashable.
        level: A level of `logging`.
        message: The message, with %-placeholders for *args*.
        args: Values for the placeholders.

    Returns:
        Whether the message was logged.
    """
    if cause in _BOOK.logged or len(_BOOK.logged) >= _CAUSES_MAX:
        return False
    if getattr(_BOOK.busy, "on", False):
        return False
    _BOOK.logged.add(cause)
    _BOOK.busy.on = True
    try:
        _LOGGER.log(level, message, *args)
    except Exception:  # noqa: BLE001 - a handler of the application failed; there is no one to tell
        return False
    finally:
        _BOOK.busy.on = False
    return True


def record_failure(hook: str, error: BaseException) -> None:
    """Count a swallowed error, and log its first occurrence with its place, type and text.

    Args:
        hook: Name of the hook; from a closed set, since it becomes a label.
        error: What was caught.
    """
    # No lock: CPython does not switch threads within this statement (see instruments.py).
    _BOOK.counts[hook] = _BOOK.counts.get(hook, 0) + 1
    place = _place(error.__traceback__)
    log_once(
        (hook, type(error), place),
        logging.WARNING,
        "watchkeeper: the hook %s failed at %s with %s: %s. The application is not affected; this "
        "is logged once and counted in watchkeeper_hook_errors_total.",
        hook,
        place,
        type(error).__name__,
        _text(error),
    )


@contextmanager
def reraising() -> Iterator[None]:
    """Let guarded errors through for the length of a ``with`` block: for tests only."""
    _BOOK.strict, before = True, _BOOK.strict
    try:
        yield
    finally:
        _BOOK.strict = before


class Guard:
    """A reusable, reentrant guard for one hook; see the module's description."""

    __slots__ = ("hook",)

    def __init__(self, hook: str) -> None:
        self.hook = hook

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Swallow an `Exception`, and count it."""
        if error is None or not isinstance(error, Exception):
            return False
        record_failure(self.hook, error)
        return not _BOOK.strict

    def __call__(self, function: F) -> F:
        """Return *function* guarded; when it fails, it returns None."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("F", called)


@functools.cache
def guard(hook: str) -> Guard:
    """Return the guard of the hook called *hook*; names come from a closed set."""
    return Guard(hook)


def _place(trace: TracebackType | None) -> str:
    if trace is None:
        return "an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{code.co_name} ({code.co_filename}:{trace.tb_lineno})"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:  # noqa: BLE001 - str() runs foreign code
        return "<unprintable>"
