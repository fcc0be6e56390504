"""Replacing an attribute of somebody else's class, and putting it back."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["all_of", "replace"]


def replace(owner: Any, name: str, replacement: Callable[..., Any]) -> Callable[[], None]:
    """Set ``owner.name`` to *replacement*, dressed as the original.

    Returns:
        A function that puts the original back, unless somebody replaced it again meanwhile: then
        theirs stays, and ours below it with it.
    """
    original = owner.__dict__[name]
    dressed = wraps(original)(replacement)
    setattr(owner, name, dressed)

    def undo() -> None:
        if owner.__dict__.get(name) is dressed:
            setattr(owner, name, original)

    return undo


def all_of(*undos: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls *undos*, the last first."""

    def undo() -> None:
        for one in reversed(undos):
            one()

    return undo
