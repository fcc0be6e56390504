"""Parses the part of Go's template language that Prometheus rules use.

Covered: actions with pipelines, variables, if/else, range/else, with/else, comments and trim
markers. Refused: define, template, block, break and continue.
Source of the grammar: Go's package text/template, its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal as OneOf
from typing import NamedTuple

from watchkeeper.errors import WatchkeeperError
from watchkeeper.server.rules.template_functions import FUNCTIONS

__all__ = [
    "Block",
    "Call",
    "Dot",
    "Field",
    "Invoke",
    "Jump",
    "Literal",
    "Method",
    "Node",
    "Operand",
    "Parser",
    "Pipe",
    "TemplateError",
    "Text",
    "Token",
    "Variable",
    "check_template",
    "parse_template",
    "pieces",
]

_OPEN = re.compile(r"\{\{(-(?=\s))?")
_COMMENT = re.compile(r"\s*/\*.*?\*/\s*", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<close>\s+-\}\}|\}\}|-\}\}(?<=\s-\}\}))"""
    r"""|(?P<space>\s+)"""
    r"""|(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)"""
    r"""|(?P<number>[+-]?(?:0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))"""
    r"""|(?P<declare>:=|=)|(?P<pipe>\|)|(?P<paren>[()])|(?P<comma>,)"""
    r"""|(?P<variable>\$\w*)|(?P<field>\.\w+)|(?P<dot>\.)|(?P<word>\w+)""",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", "a": "\a", "b": "\b"}
_REFUSED = {"define", "template", "block", "break", "continue"}
_PREDEFINED = frozenset({"", "labels", "externalLabels", "externalURL", "value"})
_DEPTH_MAX = 50


class TemplateError(WatchkeeperError):
    """A template that cannot be parsed, or whose expansion fails."""


class Literal(NamedTuple):
    """A constant."""

    value: str | float | bool | None


class Variable(NamedTuple):
    """``$name``; the empty name is the template's root."""

    name: str


class Field(NamedTuple):
    """``base.name``."""

    base: Operand
    name: str


class Dot(NamedTuple):
    """``.``, what is being ranged over or looked at."""


class Call(NamedTuple):
    """A function with the arguments written after it."""

    function: str
    arguments: tuple[Operand, ...]


class Pipe(NamedTuple):
    """Commands of which each result is the next one's last argument."""

    commands: tuple[Operand, ...]
    names: tuple[str, ...] = ()
    """Variables that take the result."""
    declares: bool = False


class Method(NamedTuple):
    """``base.name`` with the arguments written after it; not in rules."""

    field: Field
    arguments: tuple[Operand, ...]


Operand = Literal | Variable | Field | Dot | Call | Pipe | Method


class Text(NamedTuple):
    """Text outside actions."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """``if``, ``range`` or ``with``."""

    keyword: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Invoke(NamedTuple):
    """``{{template "name" pipeline}}``; not in rules."""

    name: str
    pipe: Pipe | None


class Jump(NamedTuple):
    """``{{break}}`` or ``{{continue}}``; not in rules."""

    keyword: str


Node = Text | Pipe | Block | Invoke | Jump
_End = OneOf["end", "else", "eof"]


class Token(NamedTuple):
    """One word of an action."""

    kind: str
    text: str
    spaced: bool
    """Whether white space stands before it."""


def check_template(text: str) -> None:
    """Raise `TemplateError` unless *text* parses and names known functions and variables."""
    parse_template(text)


@lru_cache(maxsize=1024)
def parse_template(text: str) -> tuple[Node, ...]:
    """Return the nodes of the template *text*.

    Raises:
        TemplateError: It does not parse, uses a refused keyword, or names an unknown function
            or variable.
    """
    parser = Parser(pieces(text))
    nodes, end, _ = parser.nodes(0, _PREDEFINED)
    if end != "eof":
        raise TemplateError(f"{{{{{end}}}}} without a block before it")
    return nodes


def pieces(text: str) -> list[str | list[Token]]:
    """Split *text* into texts and the tokens of actions, trim markers applied."""
    pieces: list[str | list[Token]] = []
    position, trim = 0, False
    while True:
        match = _OPEN.search(text, position)
        plain = text[position : match.start()] if match else text[position:]
        if trim:
            plain = plain.lstrip()
        if match and match[1]:
            plain = plain.rstrip()
        if plain:
            pieces.append(plain)
        if match is None:
            return pieces
        position = match.end()
        comment = _COMMENT.match(text, position)
        if comment:
            position = comment.end()
            if text.startswith("-}}", position):
                position, trim = position + 3, True
                continue
            if not text.startswith("}}", position):
                raise TemplateError("a comment is not the only thing in its action")
            position, trim = position + 2, False
            continue
        tokens, position, trim = _tokens(text, position)
        pieces.append(tokens)


def _tokens(text: str, position: int) -> tuple[list[Token], int, bool]:
    tokens: list[Token] = []
    spaced = True
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            what = "an action is not closed" if position >= len(text) else "unexpected text"
            raise TemplateError(f"{what} at {text[position : position + 20]!r}")
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "close":
            return tokens, position, match[0].lstrip().startswith("-")
        if kind != "space":
            tokens.append(Token(kind, match[0], spaced))
        spaced = kind == "space"


class Parser:
    """Reads one template; a dialect with more keywords and functions derives from it.

    Args:
        found: What `pieces` returned.
    """

    functions: Container[str] = FUNCTIONS
    """Names of the functions that a template may call."""

    def __init__(self, found: list[str | list[Token]]) -> None:
        self._pieces = found
        self._next = 0
        self._tokens: list[Token] = []
        self._at = 0

    def nodes(
        self, depth: int, scope: frozenset[str]
    ) -> tuple[tuple[Node, ...], _End, list[Token]]:
        """Read nodes up to an ``end``, an ``else`` (whose remaining tokens are returned) or the end."""
        if depth > _DEPTH_MAX:
            raise TemplateError("blocks are nested too deeply")
        found: list[Node] = []
        while self._next < len(self._pieces):
            piece = self._pieces[self._next]
            self._next += 1
            if isinstance(piece, str):
                found.append(Text(piece))
                continue
            word = piece[0].text if piece and piece[0].kind == "word" else ""
            if word == "end" and len(piece) == 1:
                return tuple(found), "end", []
            if word == "else":
                return tuple(found), "else", piece[1:]
            if word in {"if", "range", "with"}:
                found.append(self._block(word, piece[1:], depth, scope))
            elif word in _REFUSED:
                found += self.keyword(word, piece[1:], depth, scope)
            else:
                pipe = self.whole(piece, scope)
                scope |= set(pipe.names)
                found.append(pipe)
        return tuple(found), "eof", []

    def keyword(
        self, word: str, head: list[Token], depth: int, scope: frozenset[str]
    ) -> tuple[Node, ...]:
        """Return what stands for ``define``, ``template``, ``block``, ``break`` or ``continue``.

        Raises:
            TemplateError: The dialect has none of them; rules' does not.
        """
        del head, depth, scope  # for those that derive
        raise TemplateError(f"{{{{{word}}}}} is not supported")

    def applied(self, first: Operand, arguments: tuple[Operand, ...]) -> Operand:
        """Return what stands for *first* followed by *arguments*, where it is no function.

        Raises:
            TemplateError: The dialect has no methods; rules' has not.
        """
        del first, arguments  # for those that derive
        raise TemplateError("arguments are given to something that is not a function")

    def _block(self, word: str, head: list[Token], depth: int, scope: frozenset[str]) -> Block:
        pipe = self.whole(head, scope, ranged=word == "range")
        inner = scope | set(pipe.names)
        body, end, rest = self.nodes(depth + 1, inner)
        otherwise: tuple[Node, ...] = ()
        if end == "else" and rest:
            if rest[0].text not in {"if", "with"}:
                raise TemplateError("else is followed by something other than if")
            otherwise = (self._block(rest[0].text, rest[1:], depth + 1, inner),)
            return Block(word, pipe, body, otherwise)
        if end == "else":
            otherwise, end, rest = self.nodes(depth + 1, inner)
        if end != "end":
            raise TemplateError(f"{{{{{word}}}}} has no {{{{end}}}}")
        return Block(word, pipe, body, otherwise)

    def whole(self, tokens: list[Token], scope: frozenset[str], *, ranged: bool = False) -> Pipe:
        """Read an action's pipeline, all of it."""
        self._tokens, self._at = tokens, 0
        names, declares = self._declaration(ranged)
        for name in names:
            if not declares and name not in scope:
                raise TemplateError(f"undefined variable ${name}")
        pipe = self._pipe(scope, 0)
        if self._at < len(self._tokens):
            raise TemplateError(f"unexpected {self._tokens[self._at].text!r}")
        return Pipe(pipe.commands, names, declares)

    def _declaration(self, ranged: bool) -> tuple[tuple[str, ...], bool]:  # noqa: FBT001 - private
        kinds = [token.kind for token in self._tokens[:4]]
        if kinds[:2] == ["variable", "declare"]:
            self._at = 2
            return (self._tokens[0].text[1:],), self._tokens[1].text == ":="
        if ranged and kinds == ["variable", "comma", "variable", "declare"]:
            self._at = 4
            names = (self._tokens[0].text[1:], self._tokens[2].text[1:])
            return names, self._tokens[3].text == ":="
        return (), False

    def _pipe(self, scope: frozenset[str], depth: int) -> Pipe:
        if depth > _DEPTH_MAX:
            raise TemplateError("parentheses are nested too deeply")
        commands = [self._command(scope, depth)]
        while self._peek("pipe"):
            self._at += 1
            command = self._command(scope, depth)
            if not isinstance(command, Call):
                raise TemplateError("something other than a function follows |")
            commands.append(command)
        return Pipe(tuple(commands))

    def _peek(self, kind: str, text: str = "") -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.kind == kind and (not text or token.text == text)

    def _command(self, scope: frozenset[str], depth: int) -> Operand:
        operands: list[Operand] = []
        while (
            self._at < len(self._tokens) and not self._peek("pipe") and not self._peek("paren", ")")
        ):
            operands.append(self._operand(scope, depth))
        if not operands:
            raise TemplateError("a command is missing")
        first = operands[0]
        if isinstance(first, Call):
            return Call(first.function, tuple(operands[1:]))
        return self.applied(first, tuple(operands[1:])) if len(operands) > 1 else first

    def _operand(self, scope: frozenset[str], depth: int) -> Operand:
        operand = self._term(scope, depth)
        while self._peek("field") and not self._tokens[self._at].spaced:
            operand = Field(operand, self._tokens[self._at].text[1:])
            self._at += 1
        return operand

    def _term(self, scope: frozenset[str], depth: int) -> Operand:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "string":
            return Literal(_string(token.text))
        if token.kind == "number":
            return Literal(_number(token.text))
        if token.kind == "variable":
            if token.text[1:] not in scope:
                raise TemplateError(f"undefined variable {token.text}")
            return Variable(token.text[1:])
        if token.kind == "field":
            return Field(Dot(), token.text[1:])
        if token.kind == "dot":
            return Dot()
        if token.kind == "word":
            return self._word(token.text)
        if token.text == "(":
            pipe = self._pipe(scope, depth + 1)
            if not self._peek("paren", ")"):
                raise TemplateError("a parenthesis is not closed")
            self._at += 1
            return pipe
        raise TemplateError(f"unexpected {token.text!r}")

    def _word(self, text: str) -> Operand:
        constants: dict[str, bool | None] = {"true": True, "false": False, "nil": None}
        if text in constants:
            return Literal(constants[text])
        if text not in self.functions:
            raise TemplateError(f"function {text!r} is not defined")
        return Call(text, ())


def _string(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1])


def _number(text: str) -> float:
    return int(text, 0) if re.fullmatch(r"[+-]?(0x[0-9a-fA-F]+|[1-9]\d*|0)", text) else float(text)
