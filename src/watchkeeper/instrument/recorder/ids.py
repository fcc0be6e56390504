"""Where trace and span ids come from; an argument of the recorder."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

__all__ = ["IdSource", "RandomIds"]


class IdSource(Protocol):
    """Makes ids. Implementations are safe to call from any thread."""

    is_random: bool
    """Whether the lower 56 bits of a trace id are random: W3C Trace Context level 2, trace flag 2."""

    @property
    def trace_id(self) -> Callable[[], int]:
        """Returns a trace id: 128 bits; 0 counts as 1."""
        ...

    @property
    def span_id(self) -> Callable[[], int]:
        """Returns a span id: 64 bits; 0 counts as 1."""
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
        self.trace_id = partial(self._generator.getrandbits, 128)
        self.span_id = partial(self._generator.getrandbits, 64)

    def after_fork(self) -> None:
        """Seed anew from the operating system."""
        self._generator.seed()
