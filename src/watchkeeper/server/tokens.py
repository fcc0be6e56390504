"""A small tokenizer that the trace and log query languages share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from watchkeeper.errors import QueryLimitError, QueryParseError, QueryRefusedError
from watchkeeper.vocabulary.limits import limit

__all__ = ["Cursor", "Token", "duration_ns", "tokenize"]

_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
    "y": 31_536_000_000_000_000,
}
_DURATION_PART = r"[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d|w|y)"
_PATTERN = re.compile(
    r"(?P<space>(?:\s|\#[^\n]*)+)"
    r'|(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)'
    rf"|(?P<duration>(?:{_DURATION_PART})+(?![A-Za-z0-9_]))"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z_]))"
    r"|(?P<name>\.?[A-Za-z_][A-Za-z0-9_\-./:]*)"
    r"|(?P<op>\|=|\|~|\|>|!>|!=|!~|=~|==|>=|<=|&&|\|\||>>|<<|~|[{}()\[\],=<>|!+\-*/%^.])",
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its meaning as text, and where it starts."""

    kind: str
    """``string``, ``duration``, ``number``, ``name``, ``op`` or ``end``."""
    text: str
    """Unescaped for strings, as written otherwise."""
    at: int


def _unescape(body: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match.group(1) or match.group(2)
        if code:
            return chr(int(code, 16))
        return _ESCAPES.get(match.group(3), match.group(3))

    return _ESCAPE.sub(one, body)


def duration_ns(text: str) -> int:
    """Return nanoseconds of a duration such as ``1h30m`` or ``1.5s``.

    Raises:
        QueryParseError: *text* is not a duration.
    """
    if not re.fullmatch(rf"(?:{_DURATION_PART})+", text):
        raise QueryParseError(
            f"not a duration: got {text!r}. Accepted: a number and a unit, as 500ms, 1.5s, 1h30m. "
            "Next: add a unit."
        )
    parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d|w|y)", text)
    return sum(round(float(value) * _UNIT_NS[unit]) for value, unit in parts)


def tokenize(query: str) -> list[Token]:
    """Split *query* into tokens, the last of which has the kind ``end``.

    Raises:
        QueryLimitError: The text is longer than ``query_text_bytes_max``.
        QueryParseError: A character begins no token; the error carries its offset.
    """
    most = limit("query_text_bytes_max")
    if len(query.encode()) > most:
        raise QueryLimitError(
            f"query too long: got {len(query.encode())} bytes. Accepted: up to {most} bytes. "
            "Next: shorten it."
        )
    tokens: list[Token] = []
    at = 0
    while at < len(query):
        match = _PATTERN.match(query, at)
        if match is None:
            raise QueryParseError(
                f"unexpected character at offset {at}: got {query[at]!r}. "
                "Accepted: the query language's tokens. Next: check quotes and operators.",
                at,
            )
        kind = match.lastgroup or ""
        text = match.group()
        if kind == "string":
            text = text[1:-1] if text[0] == "`" else _unescape(text[1:-1])
        if kind != "space":
            tokens.append(Token(kind, text, at))
        at = match.end()
    tokens.append(Token("end", "", len(query)))
    return tokens


class Cursor:
    """Walks over tokens; every complaint says where."""

    def __init__(self, tokens: list[Token], language: str) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0
        self.language = language

    @property
    def token(self) -> Token:
        """The token at hand."""
        return self._tokens[self._index]

    def peek(self, ahead: int = 1) -> Token:
        """Return a later token without moving; the end token past the end."""
        return self._tokens[min(self._index + ahead, len(self._tokens) - 1)]

    def ended(self) -> bool:
        """Return whether every token was read."""
        return self._tokens[self._index].kind == "end"

    def next(self) -> Token:
        """Return the token at hand and move on."""
        token = self.token
        if token.kind != "end":
            self._index += 1
        return token

    def is_op(self, *texts: str) -> bool:
        """Return whether the token at hand is one of these operators."""
        return self.token.kind == "op" and self.token.text in texts

    def is_name(self, *texts: str) -> bool:
        """Return whether the token at hand is one of these names."""
        return self.token.kind == "name" and self.token.text in texts

    def take(self, *texts: str) -> Token | None:
        """Move over one of these operators if it is at hand."""
        return self.next() if self.is_op(*texts) else None

    def expect(self, text: str) -> Token:
        """Move over the operator *text*.

        Raises:
            QueryParseError: Something else is at hand.
        """
        if not self.is_op(text):
            raise self.unexpected(f"{text!r}")
        return self.next()

    def unexpected(self, accepted: str) -> QueryParseError:
        """Return the error that the token at hand is not what was accepted."""
        token = self.token
        got = "the end of the query" if token.kind == "end" else repr(token.text)
        return QueryParseError(
            f"{self.language} parse error at offset {token.at}: got {got}. Accepted: {accepted}. "
            "Next: correct the query there.",
            token.at,
        )

    def refused(self, what: str) -> QueryRefusedError:
        """Return the error that *what* is valid but not done by this engine."""
        return QueryRefusedError(
            f"{self.language} feature not supported at offset {self.token.at}: got {what}. "
            "Accepted: see docs/reference/query-languages.md. "
            "Next: rewrite the query or run it on Tempo or Loki."
        )

    def descend(self) -> None:
        """Count one level of nesting; pair with `ascend`.

        Raises:
            QueryLimitError: Nesting crosses ``query_nesting_max``.
        """
        self._depth += 1
        most = limit("query_nesting_max")
        if self._depth > most:
            raise QueryLimitError(
                f"query nested too deeply: got more than {most} levels. "
                f"Accepted: up to {most}. Next: flatten the query."
            )

    def ascend(self) -> None:
        """Leave one level of nesting."""
        self._depth -= 1
