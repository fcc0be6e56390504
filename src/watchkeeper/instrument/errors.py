"""How exceptions of the application are named in telemetry."""

from __future__ import annotations

__all__ = ["error_type"]


def error_type(error: BaseException) -> str:
    """Return the ``error.type`` of an exception: its class, with the module unless it is built in."""
    cls = type(error)
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"
