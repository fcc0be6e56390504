"""What `watchkeeper rules check` finds out about rule files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.errors import RuleFileError
from watchkeeper.server.rules.loader import Names, load_file

__all__ = ["Checked", "check_file"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about one file."""

    path: Path
    groups: int = 0
    rules: int = 0
    error: str = ""
    """Empty if the file can be loaded."""
    duplicates: tuple[str, ...] = ()
    """Rules that stand there more than once with the same labels, as texts; no error."""


def check_file(path: Path, *, names: Names = "utf8") -> Checked:
    """Return what is right and wrong with the rule file at *path*.

    Args:
        path: The file.
        names: As for `watchkeeper.server.rules.loader.load_file`.
    """
    try:
        groups = load_file(path, names=names)
    except RuleFileError as error:
        return Checked(path, error=str(error))
    seen = Counter(
        (rule.name, tuple(sorted(rule.labels))) for group in groups for rule in group.rules
    )
    return Checked(
        path,
        groups=len(groups),
        rules=sum(len(group.rules) for group in groups),
        duplicates=tuple(
            name + ("{" + ", ".join(f'{key}="{value}"' for key, value in labels) + "}")
            for (name, labels), count in seen.items()
            if count > 1
        ),
    )
