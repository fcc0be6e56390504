"""Where rules come from: files, folders, patterns, or the rules that ship."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from watchkeeper.server.rules.manager import RuleText

__all__ = ["RuleSources"]

_ENDINGS = (".yml", ".yaml")


class RuleSources:
    """Finds rule files anew each time, since files come and go between two loads.

    Args:
        patterns: Files; folders, whose ``.yml`` and ``.yaml`` files are meant; or patterns with
            ``*``, ``?`` and ``[…]``.
        otherwise: What is loaded if there are no patterns.
    """

    def __init__(self, patterns: Sequence[Path], otherwise: Sequence[RuleText] = ()) -> None:
        self._patterns = tuple(patterns)
        self._otherwise = tuple(otherwise)
        self._before: dict[Path, list[Path]] = {}

    def find(self) -> list[Path | RuleText]:
        """Return what is there now, each file once.

        A folder or pattern that gives nothing any more gives the files that it gave before: a
        folder that is not mounted must not look like rules that were taken away. One that never
        gave anything stands for itself, and cannot be loaded.
        """
        if not self._patterns:
            return list(self._otherwise)
        found: dict[Path, None] = {}
        for pattern in self._patterns:
            matches = _matching(pattern) or self._before.get(pattern) or [pattern]
            self._before[pattern] = matches
            found |= dict.fromkeys(matches)
        return list(found)


def _matching(pattern: Path) -> list[Path]:
    if pattern.is_dir():
        return sorted(path for path in pattern.iterdir() if path.suffix in _ENDINGS)
    if pattern.exists():
        return [pattern]
    return [Path(name) for name in sorted(glob.glob(str(pattern)))]  # noqa: PTH207 - absolute patterns too
