"""Reads the fields of a YAML tree strictly: rule files, and the unit tests of rules."""

from __future__ import annotations

import re
from typing import ClassVar, NoReturn

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode, SequenceNode
from watchkeeper.errors import RuleFileError

__all__ = ["TreeReader", "parse_duration_ms"]

_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)


def parse_duration_ms(text: str) -> int:
    """Return a Prometheus duration such as ``1h30m`` in milliseconds.

    Raises:
        ValueError: The text is not a duration, or longer than 292 years.
    """
    match = _DURATION.fullmatch(text) if text not in {"", "0"} else None
    if text == "0":
        return 0
    if match is None or len(text) > 60:
        raise ValueError(f"not a duration: {text[:60]!r}")
    total = sum(
        int(part) * factor for part, factor in zip(match.groups(), _MS, strict=True) if part
    )
    if total > 2**63 // 10**6:
        raise ValueError(f"duration out of range: {text[:60]!r}")
    return total


class TreeReader:
    """Takes a tree apart; what does not fit is a `RuleFileError` with file and line.

    Args:
        path: Shown in errors.
    """

    next_step: ClassVar[str] = "correct the file"
    """Ends every error."""

    def __init__(self, path: str) -> None:
        self.path = path

    def mapping(self, node: Node, what: str, known: set[str]) -> MappingNode:
        """Return *node* as a mapping whose keys are all in *known*."""
        if not isinstance(node, MappingNode):
            self.refuse(node.line, f"{what} is not a mapping", f"{', '.join(sorted(known))}")
        for name, value in node.entries:
            if name not in known:
                self.refuse(
                    value.line, f"{what} has the unknown field {name[:80]!r}",
                    ", ".join(sorted(known)),
                )  # fmt: skip
        return node

    def sequence(self, node: Node | None, what: str) -> tuple[Node, ...]:
        """Return the items of a list; none where there is no value."""
        if node is None or (isinstance(node, ScalarNode) and node.null):
            return ()
        if not isinstance(node, SequenceNode):
            self.refuse(node.line, f"{what} is not a list", "a list")
        return node.items

    def text(self, fields: MappingNode, name: str) -> str:
        """Return a text, or the empty one where there is no value."""
        node = fields.get(name)
        if node is None:
            return ""
        if not isinstance(node, ScalarNode):
            self.refuse(node.line, f"{name} is not a text", "a text")
        return "" if node.null else node.text

    def duration(self, fields: MappingNode, name: str) -> int:
        """Return a duration in milliseconds, 0 where there is no value."""
        text = self.text(fields, name)
        try:
            return parse_duration_ms(text) if text else 0
        except ValueError:
            self.refuse(
                self.line(fields, name),
                f"{name} is {text[:60]!r}",
                "a duration such as 30s or 1h30m",
            )

    def line(self, fields: MappingNode, name: str) -> int:
        """Return the line of a field's value, or of the mapping where it lacks the field."""
        node = fields.get(name)
        return fields.line if node is None else node.line

    def refuse(self, line: int, what: str, accepted: str) -> NoReturn:
        """Refuse the file.

        Raises:
            RuleFileError: Always.
        """
        raise RuleFileError(
            f"{self.path}:{line}: {what}. Accepted: {accepted}. Next: {self.next_step}."
        )
