"""What a mapping of ``alertmanager.yml`` may hold, as tables, and the reader that holds it to them.

Scalars are taken as Alertmanager's YAML library takes them: a text may be written as a number, a
number or a boolean may not be written in quotes, and null is the kind's empty value, not its default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode, SequenceNode
from watchkeeper.errors import ConfigFileError
from watchkeeper.server.alerts.config import scalars
from watchkeeper.server.alerts.config.model import Secret

__all__ = ["PLACEHOLDER", "Block", "Field", "Reader", "Table"]

PLACEHOLDER = "<secret>"
"""What stands for a secret wherever a configuration is shown."""

_SECRETS = {"secret", "secret_url", "template_url", "proxy_url"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how it is read, and its value when it is not given."""

    kind: str
    """One of the names in `Reader.value`."""
    default: Any = None
    table: Table | None = None
    """Of what ``table``, ``tables`` and ``named`` hold."""


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of one kind of mapping."""

    what: str
    """Names it in errors: ``a Slack receiver``."""
    fields: Mapping[str, Field]
    required: tuple[tuple[str, ...], ...] = ()
    """Groups of fields of which one must be given."""
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Groups of fields of which only one may be given."""
    check: Callable[[Reader, Block], None] | None = field(default=None, compare=False)


class Block:
    """A mapping that was read: its values by name, and the lines they came from."""

    __slots__ = ("_node", "given", "values")

    def __init__(self, node: MappingNode, values: dict[str, Any], given: frozenset[str]) -> None:
        self._node = node
        self.values = values
        """Every field of the table."""
        self.given = given
        """Names of the fields that the file gives, not empty."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of *name*."""
        return self.values[name]

    def line(self, name: str = "") -> int:
        """Return the line of *name*'s value, or of the mapping."""
        node = self._node.get(name) if name else None
        return self._node.line if node is None else node.line


class Reader:
    """Reads nodes of one file.

    Args:
        path: The file, shown in errors.
        base: Folder that relative paths in the file start from.
    """

    def __init__(self, path: str, base: Path) -> None:
        self._path = path
        self._base = base
        self.secrets: dict[int, str] = {}
        """By identity of a node, what is shown in its place."""

    def refuse(self, line: int, what: str, accepted: str, next_step: str = "") -> NoReturn:
        """Raise the error for what is wrong at *line*.

        Raises:
            ConfigFileError: Always.
        """
        next_step = next_step or "correct the file; a configuration loaded before stays in force"
        raise ConfigFileError(
            f"{self._path}:{line}: {what}. Accepted: {accepted}. Next: {next_step}."
        )

    def table(self, node: Node, table: Table) -> Block:
        """Return what the mapping *node* holds, by *table*.

        Raises:
            ConfigFileError: It is no mapping, has an unknown field or an unreadable value, or
                breaks a rule of the table.
        """
        known = table.fields
        if not isinstance(node, MappingNode):
            self.refuse(node.line, f"{table.what} is not a mapping", ", ".join(sorted(known)))
        for name, value in node.entries:
            if name not in known:
                self.refuse(
                    value.line, f"{table.what} has the unknown field {name[:80]!r}",
                    ", ".join(sorted(known)),
                )  # fmt: skip
        values = {name: self._field(node, name, entry) for name, entry in known.items()}
        given = frozenset(name for name in known if self._given(node, name, values[name]))
        block = Block(node, values, given)
        for group in table.exclusive:
            if len(given.intersection(group)) > 1:
                line = max(block.line(name) for name in given.intersection(group))
                self.refuse(
                    line, f"{table.what} gives several of {', '.join(group)}", "one of them"
                )
        for group in table.required:
            if not given.intersection(group):
                self.refuse(node.line, f"{table.what} lacks {' or '.join(group)}", "one of them")
        if table.check is not None:
            table.check(self, block)
        self._merge_files(block, known)
        return block

    def _field(self, node: MappingNode, name: str, entry: Field) -> Any:
        value = node.get(name)
        if value is None:
            return Secret() if entry.kind in _SECRETS else entry.default
        return self.value(value, name, entry)

    def _given(self, node: MappingNode, name: str, value: Any) -> bool:
        found = node.get(name)
        if found is None or _null(found):
            return False
        return not isinstance(value, str | Secret | tuple | dict) or bool(value)

    def _merge_files(self, block: Block, known: Mapping[str, Field]) -> None:
        """Let each secret whose file is given read that file."""
        for name, entry in known.items():
            twin = name.removesuffix("_file")
            if twin != name and entry.kind == "file" and twin in known:
                if known[twin].kind not in _SECRETS:
                    continue
                path = block.values.pop(name)
                if path:
                    block.values[twin] = Secret(source=path)

    def value(self, node: Node, name: str, entry: Field) -> Any:
        """Return the value of one field.

        Raises:
            ConfigFileError: The node is not of the field's kind.
        """
        if entry.kind == "node":
            return node
        if entry.kind in _SECRETS:
            return self._secret(node, name, entry)
        if _null(node):
            return _empty(entry)
        if entry.table is not None:
            return self._tables(node, name, entry, entry.table)
        if entry.kind in {"any", "any_map", "labels", "label_patterns", "secret_lists"}:
            return self._map(node, name, entry.kind)
        if entry.kind in {"nodes", "texts", "secrets", "files"}:
            items = self.items(node, name)
            return tuple(self._item(item, name, entry.kind) for item in items)
        text = self.text(node, name)
        if entry.kind in {"file", "path"}:
            return str(self._base / text) if text else ""
        if entry.kind == "url":
            self._mask_password(node, text)
        if isinstance(node, ScalarNode) and entry.kind in {"bool", "int", "uint"}:
            text = text if node.plain else f'"{text}"'
        return self._scalar(node, name, entry.kind, text)

    def _scalar(self, node: Node, name: str, kind: str, text: str) -> Any:
        read, accepted = scalars.KINDS[kind]
        try:
            return read(text)
        except ValueError as error:
            shown = "" if kind.endswith("url") else f" is {text[:60]!r}:"
            self.refuse(node.line, f"{name}{shown} {error}", accepted)

    def _secret(self, node: Node, name: str, entry: Field) -> Secret:
        if _null(node):
            return Secret()
        text = self.text(node, name)
        if entry.kind == "proxy_url":
            self._mask_password(node, text)
        elif text:
            self.secrets[id(node)] = PLACEHOLDER
        if text == PLACEHOLDER:
            return Secret(text)
        if entry.kind == "secret_url" or (
            entry.kind == "template_url" and text and "{{" not in text
        ):
            self._scalar(node, name, "url", text)
        return Secret(text)

    def _mask_password(self, node: Node, text: str) -> None:
        masked = re.sub(r"(?<=//)([^/?#@:]*):[^/?#]*@", r"\1:xxxxx@", text)
        if masked != text:
            self.secrets[id(node)] = masked

    def _tables(self, node: Node, name: str, entry: Field, table: Table) -> Any:
        if entry.kind == "table":
            return self.table(node, table).values
        if entry.kind == "named":
            if not isinstance(node, MappingNode):
                self.refuse(node.line, f"{name} is not a mapping", "names and their values")
            return {key: self.table(item, table).values for key, item in node.entries}
        return tuple(self.table(item, table).values for item in self.items(node, name))

    def _item(self, node: Node, name: str, kind: str) -> Any:
        if kind == "nodes":
            return node
        text = self.text(node, name)
        if kind == "files":
            return str(self._base / text)
        if kind == "secrets":
            self.secrets[id(node)] = PLACEHOLDER
            return Secret(text)
        return text

    def _map(self, node: Node, name: str, kind: str) -> Any:
        if kind == "any":
            return _plain(node)
        if not isinstance(node, MappingNode):
            self.refuse(node.line, f"{name} is not a mapping", "names and texts")
        if kind == "any_map":
            return {key: _plain(value) for key, value in node.entries}
        if kind == "secret_lists":
            return {
                key: tuple(self._item(item, name, "secrets") for item in self.items(value, name))
                for key, value in node.entries
            }
        for key, value in node.entries:
            if kind == "label_patterns" and _null(value):
                self.refuse(value.line, f"{name}.{key[:80]} has no pattern", "a pattern")
        return {key: self.text(value, f"{name}.{key[:80]}") for key, value in node.entries}

    def items(self, node: Node | None, name: str) -> tuple[Node, ...]:
        """Return the items of a list; none if it is not given.

        Raises:
            ConfigFileError: It is no list.
        """
        if node is None or _null(node):
            return ()
        if not isinstance(node, SequenceNode):
            self.refuse(node.line, f"{name} is not a list", "a list")
        return node.items

    def text(self, node: Node, name: str) -> str:
        """Return the text of a scalar.

        Raises:
            ConfigFileError: It is a list or a mapping.
        """
        if not isinstance(node, ScalarNode):
            self.refuse(node.line, f"{name} is not a text", "a text")
        return "" if node.null else node.text


def _empty(entry: Field) -> Any:
    """Return what null means: the zero value of the kind, or None where there is a difference."""
    if entry.kind == "text":
        return ""
    if entry.kind == "url" or entry.default is None:
        return None
    return type(entry.default)()


def _null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.null


def _plain(node: Node) -> Any:
    if isinstance(node, MappingNode):
        return {key: _plain(value) for key, value in node.entries}
    if isinstance(node, SequenceNode):
        return [_plain(item) for item in node.items]
    return scalars.typed(node.text, plain=node.plain, null=node.null)
