"""Driver connections that a library above already observes, so that nobody counts them twice.

SQLAlchemy marks the connections it opens; the hooks of the drivers ask for the mark with one
look into a set. Connections are kept by identity and leave the set when they are collected.
"""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["OWNED", "own"]

OWNED: set[int] = set()
"""``id()`` of each connection that is observed from above."""

_WATCHED: dict[int, weakref.ref[Any]] = {}


def own(connection: Any) -> None:
    """Mark *connection* for as long as it lives; one that allows no weak reference stays unmarked."""
    key = id(connection)
    if key in OWNED:
        return

    def gone(_: weakref.ref[Any]) -> None:
        OWNED.discard(key)
        _WATCHED.pop(key, None)

    try:
        _WATCHED[key] = weakref.ref(connection, gone)
    except TypeError:
        return
    OWNED.add(key)
