"""One row of the table of settings: how a setting is read and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from watchkeeper.instrument import parse
from watchkeeper.vocabulary.limits import LIMITS, limit

__all__ = ["Setting", "limit_row", "row"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: how a setting is read and described."""

    brief: str
    parse: Callable[[object], Any]
    """Turns an argument, a variable's text or a file's value into the value, or raises ValueError
    with the accepted form as its message."""
    env: tuple[str, ...] = ()
    """Environment variables, the first set one wins."""
    env_parse: Mapping[str, Callable[[object], Any]] = field(default_factory=dict)
    """Parsers of the variables that are written differently, in milliseconds for example."""
    secret: bool = False
    """The value must never be shown."""


def row(
    default: object,
    brief: str,
    parser: Callable[[object], Any],
    *env: str | tuple[str, Callable[[object], Any]],
    secret: bool = False,
) -> Any:
    """Return the dataclass field of one setting.

    Args:
        default: Its default.
        brief: What it is, one sentence.
        parser: See `Setting.parse`.
        env: See `Setting.env`; a pair brings the variable's own parser.
        secret: See `Setting.secret`.
    """
    pairs = [(item, parser) if isinstance(item, str) else item for item in env]
    names = tuple(name for name, _ in pairs)
    metadata = {"setting": Setting(brief, parser, names, MappingProxyType(dict(pairs)), secret)}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


def limit_row(name: str, *env: str) -> Any:
    """Return the field of a limit of `watchkeeper.vocabulary.limits`, with further variables."""
    return row(
        limit(name), LIMITS[name].brief, parse.at_least_one, f"WATCHKEEPER_{name.upper()}", *env
    )
