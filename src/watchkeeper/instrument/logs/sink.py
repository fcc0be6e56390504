"""Where log lines go: the standard output or a given stream, and never an error into the caller."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["Sink"]


class Sink:
    """Writes whole lines to a stream.

    Without a stream it writes to what ``sys.stdout`` is at that moment, so that redirection and
    test capture work, but not to one that hands what it is given to a logger: Celery's workers put
    one there, and each line would come back as another.

    Args:
        stream: Where to write, or None.
        lost: Called for each line that could not be written.
    """

    def __init__(self, stream: TextIO | None, lost: Callable[[], None]) -> None:
        self._given = stream
        self._lost = lost
        self._seen: TextIO | None = None
        self._stream: Any = None
        self._buffer: Any = None
        self._complained = False

    def is_terminal(self) -> bool:
        """Tell whether people are reading."""
        stream = sys.stdout if self._given is None else self._given
        try:
            return stream.isatty()
        except (AttributeError, ValueError, OSError):
            return False

    def write(self, line: bytes) -> None:
        """Write *line* and flush; a closed pipe, a full disk or no stream at all is counted."""
        stream = sys.stdout if self._given is None else self._given
        try:
            if stream is not self._seen:
                self._seen = stream
                self._stream = stream if self._given is not None else _own(stream)
                self._buffer = getattr(self._stream, "buffer", None)
            stream = self._stream
            if self._buffer is None:
                stream.write(line.decode())
                stream.flush()
                return
            # What print() left in the text layer comes first; then bytes, whatever its encoding.
            stream.flush()
            self._buffer.write(line)
            self._buffer.flush()
        except Exception as error:  # noqa: BLE001 - a stream of the application may raise anything
            self._lost()
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if self._complained:
            return
        self._complained = True
        # If this fails too, nowhere is left to complain.
        with contextlib.suppress(Exception):
            sys.stderr.write(
                f"watchkeeper: log lines cannot be written ({error}); they are counted in "
                "watchkeeper_telemetry_dropped_total and still sent to the endpoint\n"
            )


def _own(stream: TextIO) -> TextIO | None:
    """Return *stream*, or the process's own output if *stream* would bring lines back to us."""
    if getattr(stream, "buffer", None) is None and isinstance(
        getattr(stream, "logger", None), logging.Logger
    ):
        return sys.__stdout__
    return stream
