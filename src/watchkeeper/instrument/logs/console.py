"""Log entries for people: one coloured line, and a traceback below it."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["render"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COLOURS = {"debug": "36", "info": "32", "warning": "33", "error": "31", "critical": "35"}
_LEFT_OUT = frozenset({"time", "level", "logger", "event", "service", "version", "environment"})


def render(entry: Mapping[str, object], *, color: bool, traceback: str) -> str:
    """Return *entry* as text that ends with a newline.

    Control characters in names and values are shown escaped, so that a value cannot move the
    cursor, recolour the terminal or pretend to be another line.

    Args:
        entry: The fields of a JSON line.
        color: Whether to use ANSI colours.
        traceback: Text to print below the line, or "".
    """
    level = str(entry["level"])
    time = str(entry["time"])[11:23]
    event = _safe(str(entry["event"]))
    logger = _safe(str(entry.get("logger", "")))
    fields = " ".join(
        f"{_paint(_safe(name), '36', color=color)}={_value(value)}"
        for name, value in entry.items()
        if name not in _LEFT_OUT and name != "exception"
    )
    level = _paint(f"{level:<8}", _COLOURS.get(level, "0"), color=color)
    line = f"{_paint(time, '2', color=color)} {level} {_paint(event, '1', color=color)}"
    if logger:
        line += f" {_paint(f'[{logger}]', '2', color=color)}"
    if fields:
        line += f"  {fields}"
    if traceback:
        line += "\n" + "\n".join(_safe(part) for part in traceback.rstrip("\n").split("\n"))
    return line + "\n"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text) if not text or " " in text or "=" in text else _safe(text)


def _safe(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _paint(text: str, code: str, *, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
