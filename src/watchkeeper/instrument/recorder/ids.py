"""Where trace and span ids come from; an argument of the recorder."""

from __future__ import annotations

import random
from typing import Protocol

__all__ = ["IdSource", "RandomIds"]


class IdSource(Protocol):
    """Makes ids. Implementations are safe to call from any thread."""

    is_random: bool
    """Whether the lower 56 bits of a trace id are random: W3C Trace Context level 2, trace flag 2."""

    def trace_id(self) -> int:
        """Return a trace id: 128 bits, not 0."""
        ...

    def span_id(self) -> int:
        """Return a span id: 64 bits, not 0."""
        ...

    def after_fork(self) -> None:
        """Make sure that a forked child does not repeat its parent's ids; runs in the child."""
        ...


class RandomIds:
    """Random ids from a generator of their own, which ``random.seed`` in the host cannot repeat."""

    is_random = True

    def __init__(self) -> None:
        # Ids must be unique, not secret, so the fast generator is right here.
        self._generator = random.Random()  # noqa: S311
        self._bits = self._generator.getrandbits

    def trace_id(self) -> int:
        """Return 128 random bits."""
        return self._bits(128) or 1

    def span_id(self) -> int:
        """Return 64 random bits."""
        return self._bits(64) or 1

    def after_fork(self) -> None:
        """Seed anew from the operating system."""
        self._generator.seed()
