"""Good files with something in them changed: most are bad then, and each must still be judged alike."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

__all__ = ["mutated"]

_VALUES = (
    "", "null", "~", "true", "yes", "on", "'x'", "''", "1", "-1", "1.5", "5m", "0s", "http://h",
    "[]", "{}", "[a]", "[null]", "{a: b}", "a=b", '"a b"', "!!str x", "2026-01-01", "<secret>",
    "{{ .X }}", "é", "&a b", "*a", "|\n  x", "a: b", "@x", "%x", "=",
)  # fmt: skip
_VALUE = re.compile(r"(?<=: )[^,{}\[\]]+")
_KEY = re.compile(r"[A-Za-z_]+(?=:)")
_CHARACTERS = "\"'{}[]:,#&*!|>-%@\t x"


def mutated(seed: int, files: Sequence[str]) -> str:
    """Return one of *files* with one change or two; the same for the same *seed*."""
    source = random.Random(seed)  # noqa: S311 - the same changes in every run
    lines = source.choice(files).split("\n")
    for _ in range(source.choice((1, 1, 1, 2))):
        place = source.randrange(len(lines))
        kind = source.random()
        if kind < 0.2 and len(lines) > 1:
            del lines[place]
        elif kind < 0.3:
            lines.insert(place, source.choice(lines))
        elif kind < 0.75:
            lines[place] = _replaced(source, _VALUE, lines[place], _VALUES)
        elif kind < 0.9:
            names = _KEY.findall(source.choice(files)) or ["x"]
            lines[place] = _replaced(source, _KEY, lines[place], names)
        elif lines[place]:
            at = source.randrange(len(lines[place]))
            changed = source.choice(_CHARACTERS)
            lines[place] = lines[place][:at] + changed + lines[place][at + 1 :]
    return "\n".join(lines)


def _replaced(
    source: random.Random, pattern: re.Pattern[str], line: str, others: Sequence[str]
) -> str:
    found = list(pattern.finditer(line))
    if not found:
        return line
    match = source.choice(found)
    return line[: match.start()] + source.choice(others) + line[match.end() :]
