"""Reads matchers as Alertmanager does: the UTF-8 form first, the classic form where that fails.

Source: Alertmanager's documentation, "Configuration", section "Label matchers", and its packages
matcher/parse, pkg/labels and matcher/compat. A text that is valid in both forms but means two
things keeps its classic meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NoReturn, cast

import re2

from watchkeeper.errors import MatcherError
from watchkeeper.server.alerts.config.model import Matcher, Op

__all__ = ["parse_matcher", "parse_matchers"]

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_TOKEN = re.compile(
    rf"""[{_SPACE}]*(?:(?P<brace>[{{}}])|(?P<comma>,)|(?P<op>=~|!=|!~|=)
    |(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<bare>[^{_SPACE}{{}}!=~,\\"'`]+))""",
    re.VERBOSE | re.DOTALL,
)
_CLASSIC = re.compile(
    r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)(.*)",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtv\\"]))'
    r"|([^\\\n])|(.)",
    re.DOTALL,
)
_NAMED = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
    '"': '"',
}  # fmt: skip

_Parts = tuple[str, str, str]


def parse_matcher(text: str) -> Matcher:
    """Return the one matcher in *text*, such as ``severity="page"`` or ``team=~db|web``.

    Raises:
        MatcherError: The text holds none, several, or is no matcher; or braces surround it.
    """
    if text.startswith("{") or text.endswith("}"):
        _refuse(text, "braces surround one matcher")
    found = parse_matchers(text)
    if len(found) != 1:
        _refuse(text, f"{len(found)} matchers stand where one is expected")
    return found[0]


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Return the matchers in *text*, such as ``{severity="page",team!="db"}``, in its order.

    Braces are optional, and no matcher at all is fine.

    Raises:
        MatcherError: The text is neither in the UTF-8 nor in the classic form, or a pattern is
            not in RE2's syntax.
    """
    modern, problem = _tried(_modern, text)
    classic, _ = _tried(_classic, text)
    found = modern if classic is None else classic
    if found is None:
        _refuse(text, problem)
    return found


def _refuse(text: str, problem: str) -> NoReturn:
    raise MatcherError.explain(
        f"a matcher cannot be read: {problem}",
        got=text,
        accepted='name="value", or with !=, =~ and !~; several in braces with commas between',
        next_step='put double quotes around values, and a backslash before " and \\ within them',
    )


def _tried(
    form: Callable[[str], Iterator[_Parts]], text: str
) -> tuple[tuple[Matcher, ...] | None, str]:
    """Return what *text* holds in *form*, or None and why it cannot be read so."""
    try:
        return tuple(Matcher(name, cast(Op, op), value) for name, op, value in form(text)), ""
    except ValueError as error:
        return None, str(error)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        return None, f"the pattern is not RE2: {shown}"


def _modern(text: str) -> Iterator[_Parts]:
    tokens = _Tokens(text)
    braced = tokens.take("brace", "{") is not None
    first = True
    while tokens.kind and tokens.kind != "brace" and (first or tokens.kind != "comma"):
        yield tokens.matcher()
        first = False
        if tokens.kind and tokens.take("comma") is None:
            break
    if braced and tokens.take("brace", "}") is None:
        raise ValueError("the closing brace is missing")
    if tokens.kind:
        raise ValueError(f"{tokens.text[:40]!r} is not expected here")


class _Tokens:
    """The tokens of the UTF-8 form, one ahead."""

    def __init__(self, text: str) -> None:
        self._input = text
        self._end = 0
        self.kind = ""
        """Of the next token; empty at the end."""
        self.text = ""
        self._advance()

    def _advance(self) -> None:
        match = _TOKEN.match(self._input, self._end)
        if match is not None:
            self.kind = match.lastgroup or ""
            self.text = match[self.kind]
            self._end = match.end()
            return
        rest = self._input[self._end :].strip(_SPACE)
        if rest:
            raise ValueError(f"{rest[:40]!r} cannot be read")
        self.kind = self.text = ""

    def take(self, kind: str, text: str = "") -> str | None:
        """Return and pass the next token if it is of *kind*."""
        if self.kind != kind or (text and self.text != text):
            return None
        found = self.text
        self._advance()
        return found

    def matcher(self) -> _Parts:
        name = self._word("a label's name")
        op = self.take("op")
        if op is None:
            raise ValueError("an operator is missing: =, !=, =~ or !~")
        return name, op, self._word("a value")

    def _word(self, what: str) -> str:
        quoted = self.take("quoted")
        if quoted is not None:
            return _unquoted(quoted)
        bare = self.take("bare")
        if bare is None:
            raise ValueError(f"{what} is missing")
        return bare


def _unquoted(text: str) -> str:
    """Return what a text in double quotes means in Go.

    Raises:
        ValueError: An escape is unknown, a line ends within the quotes, or the bytes that escapes
            spell are not UTF-8.
    """
    found = bytearray()
    for match in _ESCAPE.finditer(text[1:-1]):
        two, four, eight, octal, named, plain, wrong = match.groups()
        if wrong is not None:
            raise ValueError("an escape in quotes is unknown, or a line ends in them")
        if two or octal:
            code = int(two, 16) if two else int(octal, 8)
            if code > 255:
                raise ValueError("an escape in quotes is unknown")
            found.append(code)
        elif four or eight:
            code = int(four or eight, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise ValueError("an escape in quotes is no character")
            found += chr(code).encode()
        else:
            found += (_NAMED[named] if named else plain).encode()
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise ValueError("a text in quotes is not UTF-8") from None


def _classic(text: str) -> Iterator[_Parts]:
    text = text.removeprefix("{").removesuffix("}")
    pieces: list[str] = []
    piece = ""
    inside = escaped = False
    for char in text:
        if char == ",":
            if not inside:
                pieces.append(piece)
                piece = ""
                continue
        elif char == '"':
            inside = inside if escaped else not inside
            escaped = False
        elif char == "\\":
            escaped = not escaped
        else:
            escaped = False
        piece += char
    if piece.strip(_SPACE):
        pieces.append(piece.strip(_SPACE))
    for one in pieces:
        yield _classic_one(one)


def _classic_one(text: str) -> _Parts:
    match = _CLASSIC.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not name, operator and value")
    name, op, value = match[1], match[2], match[3].strip("\t\n\f\r ")
    if value.startswith('"'):
        value = value[1:]
        if not value.endswith('"') or _trailing_backslashes(value[:-1]) % 2:
            raise ValueError("a double quote is not closed")
        value = value[:-1]
    found = ""
    escaped = False
    for char in value:
        if escaped:
            found += {"n": "\n", '"': '"', "\\": "\\"}.get(char, "\\" + char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            raise ValueError("a double quote stands within a value")
        else:
            found += char
    return name, op, found + ("\\" if escaped else "")


def _trailing_backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))
