"""Expands the templates in alert labels and annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from watchkeeper.errors import QueryError
from watchkeeper.server.rules.template_functions import (
    FUNCTIONS,
    FunctionError,
    QuerySample,
    go_text,
    truth,
)
from watchkeeper.server.rules.template_parser import (
    Block,
    Call,
    Field,
    Literal,
    Node,
    Operand,
    Pipe,
    TemplateError,
    Text,
    Variable,
    parse_template,
)
from watchkeeper.vocabulary.limits import limit

__all__ = ["TemplateData", "expand", "no_query"]


def no_query(_: str) -> list[QuerySample]:
    """Refuse to query; for templates that are expanded where nothing can be asked."""
    raise QueryError("a template queries where it cannot")


@dataclass(frozen=True, slots=True)
class TemplateData:
    """What a template may speak of."""

    labels: Mapping[str, str] = field(default_factory=dict)
    value: float = 0.0
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    query: Callable[[str], list[QuerySample]] = no_query


def expand(text: str, data: TemplateData) -> str:
    """Return *text* with its actions replaced.

    A failing template gives ``<error expanding template: …>``, as Prometheus does: an alert with
    a broken text is better than no alert.
    """
    if "{{" not in text:
        return text
    try:
        return _Expansion(data).text(parse_template(text))
    except (TemplateError, FunctionError, QueryError) as error:
        return f"<error expanding template: {error}>"


class _Expansion:
    def __init__(self, data: TemplateData) -> None:
        self._data = data
        self._root: dict[str, object] = {
            "Labels": data.labels,
            "ExternalLabels": data.external_labels,
            "ExternalURL": data.external_url,
            "Value": data.value,
        }
        self._scopes: list[dict[str, object]] = [
            {
                "": self._root,
                "labels": data.labels,
                "externalLabels": data.external_labels,
                "externalURL": data.external_url,
                "value": data.value,
            }
        ]
        self._left = limit("template_steps_max")
        self._chars = limit("template_chars_max")

    def text(self, nodes: Sequence[Node]) -> str:
        parts: list[str] = []
        self._nodes(nodes, self._root, parts)
        return "".join(parts)[: limit("template_chars_max")]

    def _nodes(self, nodes: Sequence[Node], dot: object, parts: list[str]) -> None:
        for node in nodes:
            self._step()
            if isinstance(node, Text):
                self._write(node.text, parts)
            elif isinstance(node, Block):
                self._scopes.append({})
                self._block(node, dot, parts)
                self._scopes.pop()
            elif isinstance(node, Pipe):
                value = self._pipe(node, dot)
                if not node.names:
                    self._write(go_text(value), parts)

    def _write(self, text: str, parts: list[str]) -> None:
        if self._chars > 0:
            parts.append(text)
            self._chars -= len(text)

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TemplateError("the template takes too many steps")

    def _block(self, block: Block, dot: object, parts: list[str]) -> None:
        if block.keyword == "range":
            self._range(block, dot, parts)
            return
        value = self._pipe(block.pipe, dot)
        inner = value if block.keyword == "with" else dot
        if truth(value):
            self._nodes(block.body, inner, parts)
        else:
            self._nodes(block.otherwise, dot, parts)

    def _range(self, block: Block, dot: object, parts: list[str]) -> None:
        value = self._pipe(Pipe(block.pipe.commands), dot)
        items: list[tuple[object, object]]
        if isinstance(value, Mapping):
            items = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list):
            items = list(enumerate(value))
        elif value is None:
            items = []
        else:
            raise TemplateError(f"range can't iterate over {go_text(value)}")
        names = block.pipe.names
        for key, item in items:
            self._scopes.append(dict(zip(names[-2:], (key, item)[-len(names) :], strict=False)))
            self._nodes(block.body, item, parts)
            self._scopes.pop()
        if not items:
            self._nodes(block.otherwise, dot, parts)

    def _pipe(self, pipe: Pipe, dot: object) -> object:
        value: object = None
        for position, command in enumerate(pipe.commands):
            self._step()
            if isinstance(command, Call):
                arguments = [self._operand(operand, dot) for operand in command.arguments]
                value = self._call(command.function, arguments + ([value] if position else []))
            else:
                value = self._operand(command, dot)
        for name in pipe.names:
            self._assign(name, value, declares=pipe.declares)
        return value

    def _assign(self, name: str, value: object, *, declares: bool) -> None:
        scope = self._scopes[-1]
        if not declares:
            scope = next(known for known in reversed(self._scopes) if name in known)
        scope[name] = value

    def _operand(self, operand: Operand, dot: object) -> object:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Variable):
            return next(
                known[operand.name] for known in reversed(self._scopes) if operand.name in known
            )
        if isinstance(operand, Field):
            return self._field(self._operand(operand.base, dot), operand.name)
        if isinstance(operand, Pipe):
            return self._pipe(operand, dot)
        return self._call(operand.function, []) if isinstance(operand, Call) else dot

    def _field(self, base: object, name: str) -> object:
        if base is self._root:
            if name not in self._root:
                raise TemplateError(f"can't evaluate field {name}")
            return self._root[name]
        if isinstance(base, QuerySample) and name in {"Labels", "Value"}:
            return base.labels if name == "Labels" else base.value
        if isinstance(base, Mapping):
            return base.get(name, "")
        raise TemplateError(f"can't evaluate field {name} of {go_text(base)[:100]}")

    def _call(self, name: str, arguments: list[object]) -> object:
        try:
            return FUNCTIONS[name](self._data, *arguments)
        except TypeError:
            raise TemplateError(f"{name} does not take {len(arguments)} arguments") from None
