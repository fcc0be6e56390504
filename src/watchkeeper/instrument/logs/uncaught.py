"""Exceptions that nobody caught, as log entries in the shape of all others.

Errors of asyncio tasks and callbacks need nothing of ours: a loop's default handler writes them to
the logger ``asyncio``, and an application's own handler is its own business.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.instrument.guard import record_failure

__all__ = ["Uncaught", "Write"]

Write = Callable[[str, str, Mapping[str, object], BaseException], None]
"""Takes level, event, fields and exception."""


class Uncaught:
    """The three hooks of the interpreter, each followed by the one that was there before.

    ``KeyboardInterrupt`` and ``SystemExit`` are no errors and write nothing.

    Args:
        write: Writes an entry.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._before: tuple[Any, Any, Any] | None = None

    def install(self) -> None:
        """Put our hooks in front of the present ones."""
        if self._before is not None:
            return
        self._before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        # Bound methods are made anew at each access; these are kept to be recognised later.
        self._ours = (self._main, self._thread, self._unraisable)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._ours

    def uninstall(self) -> None:
        """Put the hooks back, unless somebody put theirs in front of ours: then ours only pass on."""
        if self._before is None:
            return
        main, thread, unraisable = self._before
        if sys.excepthook is self._ours[0]:
            sys.excepthook = main
        if threading.excepthook is self._ours[1]:
            threading.excepthook = thread
        if sys.unraisablehook is self._ours[2]:
            sys.unraisablehook = unraisable
        self._passed_on, self._before = self._before, None

    def _main(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, Exception):
            self._note("critical", "uncaught exception", {"thread": _thread_name()}, error)
        self._following()[0](kind, error, trace)

    def _thread(self, args: Any) -> None:
        error = args.exc_value
        if error is not None and not isinstance(error, SystemExit | KeyboardInterrupt):
            name = args.thread.name if args.thread is not None else ""
            self._note("error", "uncaught exception in a thread", {"thread": name}, error)
        self._following()[1](args)

    def _unraisable(self, args: Any) -> None:
        error = args.exc_value
        # Half of the interpreter is gone at its end, the log's modules perhaps among it.
        if isinstance(error, Exception) and not sys.is_finalizing():
            fields = {"where": _where(args.object), "message": args.err_msg or ""}
            self._note("error", "exception that could not be raised", fields, error)
        self._following()[2](args)

    def _following(self) -> tuple[Any, Any, Any]:
        return self._passed_on if self._before is None else self._before

    def _note(
        self, level: str, event: str, fields: Mapping[str, object], error: BaseException
    ) -> None:
        if self._before is None:
            return
        try:
            self._write(level, event, fields, error)
        except Exception as failure:  # noqa: BLE001 - the exception of the application comes first
            record_failure("logs.uncaught", failure)


def _thread_name() -> str:
    return threading.current_thread().name


def _where(owner: object) -> str:
    """Name what raised, without its repr: it may be half destroyed."""
    name: object = None
    with contextlib.suppress(Exception):
        name = getattr(owner, "__qualname__", None)
    return name if isinstance(name, str) else type(owner).__qualname__
