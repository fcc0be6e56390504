"""Parses Go templates with definitions, calls of templates and methods.

Source of the grammar: Go's package text/template, its documentation.
"""

from __future__ import annotations

from watchkeeper.server.alerts.templates.functions import FUNCTIONS
from watchkeeper.server.rules.template_parser import (
    Field,
    Invoke,
    Jump,
    Literal,
    Method,
    Node,
    Operand,
    Parser,
    Pipe,
    TemplateError,
    Token,
    pieces,
)

__all__ = ["parsed"]

_ROOT = frozenset({""})


def parsed(text: str) -> tuple[tuple[Node, ...], dict[str, tuple[Node, ...]]]:
    """Return the nodes of *text*, and the templates that it defines, by name.

    Raises:
        TemplateError: It does not parse, or names an unknown function or variable.
    """
    parser = _Parser(pieces(text))
    nodes, end, _ = parser.nodes(0, _ROOT)
    if end != "eof":
        raise TemplateError(f"{{{{{end}}}}} without a block before it")
    return nodes, parser.defined


class _Parser(Parser):
    functions = FUNCTIONS

    def __init__(self, found: list[str | list[Token]]) -> None:
        super().__init__(found)
        self.defined: dict[str, tuple[Node, ...]] = {}

    def keyword(
        self, word: str, head: list[Token], depth: int, scope: frozenset[str]
    ) -> tuple[Node, ...]:
        """Read ``define``, ``template``, ``block``, ``break`` and ``continue``."""
        if word in {"break", "continue"}:
            if head:
                raise TemplateError(f"unexpected {head[0].text!r} after {word}")
            return (Jump(word),)
        name = self._name(word, head, scope)
        rest = head[1:]
        if word == "template":
            return (Invoke(name, self.whole(rest, scope) if rest else None),)
        pipe: Pipe | None = None
        if word == "block":
            if not rest:
                raise TemplateError(f"block {name!r} has no value")
            pipe = self.whole(rest, scope)
        elif rest:
            raise TemplateError(f"unexpected {rest[0].text!r} in define {name!r}")
        body, end, _ = self.nodes(depth + 1, _ROOT)
        if end != "end":
            raise TemplateError(f"{word} {name!r} has no {{{{end}}}}")
        self.defined[name] = body
        return (Invoke(name, pipe),) if word == "block" else ()

    def applied(self, first: Operand, arguments: tuple[Operand, ...]) -> Operand:
        """Read a method with its arguments."""
        if not isinstance(first, Field):
            return super().applied(first, arguments)
        return Method(first, arguments)

    def _name(self, word: str, head: list[Token], scope: frozenset[str]) -> str:
        if not head or head[0].kind != "string":
            raise TemplateError(f"{word} has no name in quotes")
        literal = self.whole(head[:1], scope).commands[0]
        if not isinstance(literal, Literal) or not isinstance(literal.value, str):
            raise TemplateError(f"{word} has no name in quotes")
        return literal.value
