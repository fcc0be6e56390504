"""The file as it may be shown: without secrets, and without comments, which may hold some."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from yaml.resolver import Resolver

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode

__all__ = ["shown"]

_PREFIX = "tag:yaml.org,2002:"


def shown(root: Node, secrets: Mapping[int, str]) -> str:
    """Return the tree as YAML, in the file's order.

    Args:
        root: The tree.
        secrets: By identity of a node, the text that takes its place.
    """
    text: str = yaml.serialize(_Shown(secrets).node(root), allow_unicode=True, width=120)
    return text


class _Shown:
    def __init__(self, secrets: Mapping[int, str]) -> None:
        self._secrets = secrets
        self._resolver = Resolver()

    def node(self, node: Node) -> yaml.Node:
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, MappingNode):
            entries = [(self._text(name), self.node(value)) for name, value in node.entries]
            return yaml.MappingNode(f"{_PREFIX}map", entries, flow_style=False)
        items = [self.node(item) for item in node.items]
        flat = all(isinstance(item, ScalarNode) for item in node.items)
        return yaml.SequenceNode(f"{_PREFIX}seq", items, flow_style=flat)

    def _scalar(self, node: ScalarNode) -> yaml.ScalarNode:
        replaced = self._secrets.get(id(node))
        if replaced is not None:
            return self._text(replaced)
        if node.plain:
            tag: str = self._resolver.resolve(  # type: ignore[no-untyped-call]
                yaml.ScalarNode, node.text, (True, False)
            )
            return yaml.ScalarNode(tag, node.text)
        return self._text(node.text)

    def _text(self, text: str) -> yaml.ScalarNode:
        return yaml.ScalarNode(f"{_PREFIX}str", text)
