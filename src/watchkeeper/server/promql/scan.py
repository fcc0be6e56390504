"""A look at a query's text before the parser sees it.

The parser library crashes the process on deeply nested or long chained input, takes time that
grows with the square of a chain, and knows no positions. So this scan bounds the nesting, finds
unbalanced brackets and open strings with their place, and rewrites string literals into one plain
form that the library reads correctly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from watchkeeper.errors import QueryParseError, QueryRefusedError
from watchkeeper.server.promql.budget import QueryShapeError
from watchkeeper.vocabulary.limits import limit

__all__ = ["Scanned", "Token", "scan", "string_literal"]

_PATTERN = re.compile(
    r"(?P<space>(?:\s|\#[^\n]*)+)"
    r"|(?P<quote>[\"'`])"
    r"|(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"[a-zA-Z0-9_]*)"
    r"|(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"|(?P<open>[({\[])"
    r"|(?P<close>[)}\]])"
    r"|(?P<op>=~|!~|!=|==|>=|<=|<|>|=|[-+*/%^@,:!])"
)
_PAIR = {")": "(", "]": "[", "}": "{"}
_CHAIN_WORDS = frozenset({"and", "or", "unless", "atan2"})
_CHAIN_OPS = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", ">=", "<=", "<", ">"})
_ESCAPES = {
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34
}  # fmt: skip
_ESCAPE = re.compile(
    rb"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as written, and where it starts."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the scan found."""

    text: str
    """The query with every string in plain double quotes."""
    tokens: tuple[Token, ...]


def scan(query: str) -> Scanned:
    """Check *query* and make it safe for the parser.

    Raises:
        QueryShapeError: It crosses ``query_text_bytes_max`` or ``query_nesting_max``.
        QueryParseError: A character begins no token, a bracket or string is not closed.
        QueryRefusedError: ``@`` with a moment before 1970.
    """
    _check_size(query)
    tokens: list[Token] = []
    pieces: list[str] = []
    depth = _Depth()
    at = 0
    while at < len(query):
        found = _PATTERN.match(query, at)
        if found is None:
            raise _error(
                f"unexpected character {query[at]!r}", query, at, "PromQL's tokens", "remove it"
            )
        kind = found.lastgroup or ""
        text = found.group()
        if kind == "quote":
            text, meaning = string_literal(query, at)
            pieces.append(_plain(meaning))
            tokens.append(Token("string", text, at))
        else:
            pieces.append(" " if kind == "space" else text)
            if kind != "space":
                token = Token(kind, text, at)
                depth.see(token, query)
                _check_at(tokens, token)
                tokens.append(token)
        at += len(text)
    depth.end(query)
    return Scanned("".join(pieces), tuple(tokens))


def _check_size(query: str) -> None:
    size = len(query.encode("utf-8", "surrogatepass"))
    most = limit("query_text_bytes_max")
    if size > most:
        raise QueryShapeError(
            f"query too long: got {size} bytes. Accepted: up to {most} bytes "
            "(query_text_bytes_max). Next: shorten it, or record a part of it with a rule."
        )
    if not query.strip():
        raise _error("empty query", query, 0, "a PromQL expression", "write one")


def _error(what: str, query: str, at: int, accepted: str, next_step: str) -> QueryParseError:
    return QueryParseError(
        f"{what} at offset {at}: got {query[max(0, at - 20) : at + 20]!r}. "
        f"Accepted: {accepted}. Next: {next_step}.",
        at,
    )


def _check_at(before: list[Token], token: Token) -> None:
    if token.text == "-" and before and before[-1].text == "@":
        raise QueryRefusedError(
            f"@ with a negative moment at offset {token.at}: got {token.text!r}. "
            "Accepted: Unix seconds from 0, start() or end(). Next: use a moment after 1970."
        )


class _Depth:
    """An upper bound of the syntax tree's depth, kept while tokens pass by.

    Brackets nest, and so does each operator of a chain (``a + b + c`` is a tree of depth 3) and
    each range or subquery behind an expression. A comma between arguments starts a chain anew.
    """

    def __init__(self) -> None:
        self._open: list[Token] = []
        self._links: list[int] = [0]
        self._most = limit("query_nesting_max")

    def see(self, token: Token, query: str) -> None:
        if token.kind == "open":
            if token.text == "[":
                self._links[-1] += 1
            self._open.append(token)
            self._links.append(0)
        elif token.kind == "close":
            if not self._open or self._open[-1].text != _PAIR[token.text]:
                raise _error(
                    f"unbalanced {token.text!r}",
                    query,
                    token.at,
                    f"{token.text!r} only after its {_PAIR[token.text]!r}",
                    "balance the brackets",
                )
            self._open.pop()
            self._links.pop()
        elif token.text == ",":
            self._links[-1] = 0
        elif token.text in _CHAIN_OPS or token.text.lower() in _CHAIN_WORDS:
            self._links[-1] += 1
        if len(self._open) + sum(self._links) > self._most:
            raise QueryShapeError(
                f"query nested too deeply at offset {token.at}: got more than {self._most} levels "
                f"of brackets and chained operators. Accepted: up to {self._most} "
                "(query_nesting_max). Next: record a part of it with a rule."
            )

    def end(self, query: str) -> None:
        if self._open:
            last = self._open[-1]
            raise _error(f"unclosed {last.text!r}", query, last.at, "balanced brackets", "close it")


def string_literal(query: str, at: int) -> tuple[str, str]:
    """Return the string literal that begins at offset *at*, as written, and what it means.

    Raises:
        QueryParseError: It is not closed, has an unknown escape, or is not UTF-8.
    """
    quote = query[at]
    if quote == "`":
        end = query.find("`", at + 1)
    else:
        end = at + 1
        while end < len(query) and query[end] not in (quote, "\n"):
            end += 2 if query[end] == "\\" else 1
        end = end if end < len(query) and query[end] == quote else -1
    if end < 0:
        raise _error("unclosed string", query, at, "a closing quote on the same line", "close it")
    body = query[at + 1 : end]
    if quote == "`":
        return query[at : end + 1], body
    try:
        raw = body.encode()
        meaning = _ESCAPE.sub(_one_escape, raw).decode()
    except (UnicodeError, ValueError, KeyError):
        raise _error(
            "bad escape in a string", query, at, "Go's escapes that spell UTF-8", "correct it"
        ) from None
    return query[at : end + 1], meaning


def _one_escape(found: re.Match[bytes]) -> bytes:
    two, four, eight, octal, other = found.groups()
    if two:
        return bytes([int(two, 16)])
    if octal:
        return bytes([int(octal, 8)])
    if four or eight:
        return chr(int(four or eight, 16)).encode()
    return bytes([_ESCAPES[other.decode()]])


def _plain(meaning: str) -> str:
    escaped = meaning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
