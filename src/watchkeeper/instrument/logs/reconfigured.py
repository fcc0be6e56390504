"""Being told when the application configures ``logging`` after us."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from watchkeeper.instrument.guard import guard

__all__ = ["after_basic_config", "after_config"]


def after_basic_config(callback: Callable[[], None]) -> Callable[[], None]:
    """Call *callback* after each ``logging.basicConfig``; returns a function that ends it."""
    return _after(logging, "basicConfig", callback)


def after_config(config: Any, callback: Callable[[], None]) -> Callable[[], None]:
    """Call *callback* after each ``dictConfig`` and ``fileConfig``.

    Args:
        config: The module ``logging.config``.
        callback: What to call.

    Returns:
        A function that ends it.
    """
    undos = (
        # The class, since many import the function by its name before us.
        _after(config.DictConfigurator, "configure", callback),
        _after(config, "fileConfig", callback),
    )

    def undo() -> None:
        for one in undos:
            one()

    return undo


def _after(owner: Any, name: str, callback: Callable[[], None]) -> Callable[[], None]:
    original = owner.__dict__[name]

    @wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        with guard("logs.reconfigured"):
            callback()
        return result

    setattr(owner, name, replacement)

    def undo() -> None:
        if owner.__dict__.get(name) is replacement:
            setattr(owner, name, original)

    return undo
