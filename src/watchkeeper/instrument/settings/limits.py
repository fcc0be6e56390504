"""The part of the settings that is limits, for those who know nothing of settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from watchkeeper.instrument.settings.table import Settings

__all__ = ["limits_of"]

_L = TypeVar("_L")


def limits_of(kind: type[_L], settings: Settings) -> _L:
    """Return a *kind* whose every field is the setting of the same name.

    Args:
        kind: A dataclass of limits.
        settings: The settings in force.

    Raises:
        AttributeError: A field is no setting.
    """
    described: Any = kind
    return kind(**{each.name: getattr(settings, each.name) for each in fields(described)})
