"""YAML as a bounded tree that remembers lines, for files that nobody has vetted.

Only parser events are taken from PyYAML: no objects are built, aliases are counted each time
they are used (so nested anchors cannot blow up), and depth and size are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from watchkeeper.errors import RuleFileError, WatchkeeperError
from watchkeeper.vocabulary.limits import limit

__all__ = ["MappingNode", "Node", "ScalarNode", "SequenceNode", "read"]

_DEPTH_MAX = 20
_NULLS = {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A text; numbers and booleans keep their spelling."""

    text: str
    line: int
    null: bool
    size: int = 1
    plain: bool = False
    """Written without quotes and not as a block, so that it may mean a number or a boolean."""


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    items: tuple[Node, ...]
    line: int
    size: int


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping whose keys are texts, merge keys applied."""

    entries: tuple[tuple[str, Node], ...]
    line: int
    size: int

    def get(self, key: str) -> Node | None:
        """Return the value of *key*, or None."""
        return next((value for name, value in self.entries if name == key), None)


Node = ScalarNode | SequenceNode | MappingNode


def read(
    text: str,
    path: str,
    *,
    kind: str = "a Prometheus rule file",
    error: type[WatchkeeperError] = RuleFileError,
) -> Node | None:
    """Return the tree of the one document in *text*, or None if there is none.

    Args:
        text: The file's content.
        path: Shown in errors.
        kind: What the file should be, shown in the error about a text that is not YAML.
        error: Class of what is raised.

    Raises:
        RuleFileError: Or *error*: the text is not YAML, holds several documents, repeats a key,
            or is nested deeper or unfolds to more values than the limits allow.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Reader(yaml.parse(text, Loader=loader), path, error)
    try:
        return reader.document()
    except (yaml.YAMLError, ValueError) as failure:
        mark = getattr(failure, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        problem = getattr(failure, "problem", None) or str(failure)
        raise error(
            f"{path}:{line}: not YAML: {problem}. Accepted: {kind}. Next: correct the line."
        ) from None  # the parser's own error may quote the file


class _Reader:
    def __init__(self, events: Iterator[Event], path: str, error: type[WatchkeeperError]) -> None:
        self._events = events
        self._path = path
        self._error = error
        self._anchors: dict[str, Node] = {}
        self._nodes_max = limit("rule_file_nodes_max")

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document begins here")
                root = self._node(next(self._events), 0)
        return root

    def _refuse(self, event: Event, what: str) -> NoReturn:
        raise self._error(
            f"{self._path}:{_line(event)}: {what}. Accepted: one YAML document with distinct keys, "
            f"at most {_DEPTH_MAX} levels and {self._nodes_max} values. Next: correct the file."
        )

    def _node(self, event: Event, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            self._refuse(event, "values are nested too deeply")
        if isinstance(event, AliasEvent):
            node = self._anchors.get(event.anchor or "")
            if node is None:
                self._refuse(event, f"the alias *{event.anchor} has no anchor before it")
            return node
        if isinstance(event, SequenceStartEvent):
            node = self._sequence(event, depth)
        elif isinstance(event, MappingStartEvent):
            node = self._mapping(event, depth)
        elif isinstance(event, ScalarEvent):
            plain = event.style in {None, ""}
            null = plain and event.value in _NULLS
            node = ScalarNode(event.value, _line(event), null, plain=plain)
        else:
            self._refuse(event, "a value is missing")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _counted(self, event: Event, size: int) -> int:
        if size > self._nodes_max:
            self._refuse(event, "the file unfolds to too many values")
        return size

    def _sequence(self, start: SequenceStartEvent, depth: int) -> SequenceNode:
        items: list[Node] = []
        size = 1
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            item = self._node(event, depth + 1)
            items.append(item)
            size = self._counted(event, size + item.size)
        return SequenceNode(tuple(items), _line(start), size)

    def _mapping(self, start: MappingStartEvent, depth: int) -> MappingNode:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        size = 1
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._node(event, depth + 1)
            if not isinstance(key, ScalarNode):
                self._refuse(event, "a key is not a text")
            if key.text in own:
                self._refuse(event, f"the key {key.text!r} is given twice")
            value = self._node(next(self._events), depth + 1)
            size = self._counted(event, size + 1 + value.size)
            if key.text == "<<":
                for name, inherited in self._inherited(event, value):
                    merged.setdefault(name, inherited)
            else:
                own[key.text] = value
        return MappingNode(tuple({**merged, **own}.items()), _line(start), size)

    def _inherited(self, event: Event, value: Node) -> Iterator[tuple[str, Node]]:
        sources = value.items if isinstance(value, SequenceNode) else (value,)
        for source in sources:
            if not isinstance(source, MappingNode):
                self._refuse(event, "a merge key names something that is not a mapping")
            yield from source.entries


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0
