"""Typed reading of one mapping of ``escalation.yml``; every complaint names file and line."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode, SequenceNode, read
from watchkeeper.errors import EscalationFileError, RuleFileError
from watchkeeper.server.rules.loader import parse_duration_ms
from watchkeeper.vocabulary.limits import limit

__all__ = ["Fields", "opened", "refuse", "tree"]

_NAME_CHARS_MAX = 200


def refuse(path: str, line: int, what: str, accepted: str) -> NoReturn:
    """Raise the error that *what* stands at a line of the file.

    Raises:
        EscalationFileError: Always.
    """
    raise EscalationFileError(
        f"{path}:{line}: {what}. Accepted: {accepted}. Next: correct the file; "
        "`watchkeeper escalation check FILE` reads it without starting anything."
    )


def opened(path: Path) -> str:
    """Return the text of the file at *path*.

    Raises:
        EscalationFileError: It cannot be read, is not UTF-8, or is larger than
            ``escalation_file_bytes_max``.
    """
    most = limit("escalation_file_bytes_max")
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise EscalationFileError(
            f"{path}: cannot be read: {error.strerror}. Accepted: a readable file. "
            "Next: check the path and its permissions."
        ) from error
    if len(raw) > most:
        raise EscalationFileError(
            f"{path}: larger than {most} bytes. Accepted: up to escalation_file_bytes_max. "
            "Next: shorten the file."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EscalationFileError(
            f"{path}: not UTF-8 at byte {error.start}. Accepted: UTF-8. Next: convert the file."
        ) from error


def tree(text: str, path: str) -> Node | None:
    """Return the tree of the one document in *text*, or None if there is none.

    Raises:
        EscalationFileError: It is not YAML, or crosses the bounds of `yamltree`.
    """
    try:
        return read(text, path, kind="an escalation file")
    except RuleFileError as error:
        raise EscalationFileError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Fields:
    """One mapping whose keys are known."""

    node: MappingNode
    path: str
    what: str
    """How errors call it, for example ``a policy``."""

    @classmethod
    def of(cls, node: Node, path: str, what: str, known: Collection[str] | None) -> Fields:
        """Return *node* as a mapping whose keys are in *known*; any keys if that is None."""
        if not isinstance(node, MappingNode):
            refuse(path, node.line, f"{what} is not a mapping", "a mapping")
        if known is not None:
            for key, value in node.entries:
                if key not in known:
                    near = difflib.get_close_matches(key, known, 1)
                    hint = f" (did you mean {near[0]}?)" if near else ""
                    refuse(
                        path, value.line,
                        f"{what} has the unknown field {key[:_NAME_CHARS_MAX]!r}{hint}",
                        ", ".join(sorted(known)),
                    )  # fmt: skip
        return cls(node, path, what)

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.node.line

    def get(self, name: str) -> Node | None:
        """Return the value of *name*; None if it is missing or null."""
        node = self.node.get(name)
        return None if isinstance(node, ScalarNode) and node.null else node

    def refuse(self, name: str, what: str, accepted: str) -> NoReturn:
        """Raise the error about the field *name*."""
        node = self.node.get(name)
        refuse(self.path, self.line if node is None else node.line, what, accepted)

    def need(self, name: str, accepted: str) -> Node:
        """Return the value of *name*, which must be there."""
        node = self.get(name)
        if node is None:
            self.refuse(name, f"{self.what} has no {name}", accepted)
        return node

    def text(self, name: str, accepted: str, default: str | None = None) -> str:
        """Return a text that is not empty; without a default it must be there."""
        node = self.get(name)
        if node is None and default is not None:
            return default
        node = self.need(name, accepted)
        if not isinstance(node, ScalarNode) or not node.text.strip():
            self.refuse(name, f"{name} of {self.what} is not a text", accepted)
        if len(node.text) > _NAME_CHARS_MAX:
            self.refuse(name, f"{name} of {self.what} is longer than {_NAME_CHARS_MAX}", accepted)
        return node.text

    def items(self, name: str, accepted: str) -> tuple[Node, ...]:
        """Return the items of a list; empty if it is missing."""
        node = self.get(name)
        if node is None:
            return ()
        if not isinstance(node, SequenceNode):
            self.refuse(name, f"{name} of {self.what} is not a list", accepted)
        return node.items

    def texts(self, name: str, accepted: str = "a list of texts") -> list[tuple[str, int]]:
        """Return the texts of a list with their lines."""
        found = []
        for node in self.items(name, accepted):
            if not isinstance(node, ScalarNode) or node.null or not node.text.strip():
                refuse(self.path, node.line, f"{name} of {self.what} holds no text", accepted)
            found.append((node.text, node.line))
        return found

    def duration_ms(self, name: str, default: int, least: int, most: int) -> int:
        """Return a duration between two bounds, in milliseconds."""
        text = self.text(name, "a duration", "")
        if not text:
            return default
        accepted = f"a duration such as 30s, 5m or 1h, from {least // 1000} s to {most // 1000} s"
        try:
            value = parse_duration_ms(text)
        except ValueError:
            self.refuse(name, f"{name} of {self.what} is {text[:60]!r}", accepted)
        if not least <= value <= most:
            self.refuse(name, f"{name} of {self.what} is {text[:60]!r}", accepted)
        return value

    def zone(self, name: str, default: ZoneInfo | None) -> ZoneInfo:
        """Return a time zone of the IANA database."""
        accepted = "a zone of the IANA database, for example Europe/Berlin or UTC"
        if default is not None and self.get(name) is None:
            return default
        text = self.text(name, accepted)
        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.refuse(name, f"{name} of {self.what} is {text[:60]!r}, which is unknown", accepted)
