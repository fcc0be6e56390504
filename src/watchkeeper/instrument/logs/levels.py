"""Which levels pass, for each logger: the names of logger trees and the longest one that fits."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["NUMBERS", "Thresholds", "numbers"]

NUMBERS: Mapping[str, int] = {
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
}
"""Levels by name, with the numbers of the standard library."""

_NAMES_MAX = 4_096
"""Logger names that are remembered; applications that make names up start the table again."""


class Thresholds(dict[str, int]):
    """The least level that passes, by logger name: ``thresholds["shop.db"]``.

    A name belongs to a tree if it equals the tree's name or begins with it and a dot; the longest
    name wins. Answers are kept, so that a line costs one look-up. A dict because nothing written
    in Python is as quick; names that are missing are worked out by ``__missing__``.

    Args:
        default: For loggers in none of the trees, a number of the standard library's levels.
        trees: Levels by name of the tree; "" replaces *default*.
    """

    __slots__ = ("default", "trees")

    def __init__(self, default: int, trees: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.trees = dict(trees or {})
        self.default = self.trees.pop("", default)

    def __missing__(self, name: str) -> int:
        """Work out the level for *name* and keep it."""
        trees, prefix = self.trees, name
        while prefix and prefix not in trees:
            prefix = prefix.rpartition(".")[0]
        found = trees[prefix] if prefix else self.default
        if len(self) >= _NAMES_MAX:
            self.clear()
        self[name] = found
        return found


def numbers(levels: Mapping[str, str]) -> dict[str, int]:
    """Return levels by name as levels by number."""
    return {name: NUMBERS[level] for name, level in levels.items()}
