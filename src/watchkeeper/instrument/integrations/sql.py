"""What may be said about an SQL statement: its text without literals, its operation and tables.

Not a parser: one pass over the tokens that matters for a span, and never an error. Sources:
OpenTelemetry semantic conventions, database spans, ``db.query.text`` and ``db.query.summary``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Statement", "describe", "sanitised"]

_TEXT_MAX = 4_096
_SCAN_MAX = 65_536
_SUMMARY_MAX = 255

_NUMBER = (
    r"(?<![\w$:@%.?\"`])[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w\"`])"
)
_COMMENT = r"--[^\n]*|/\*.*?(?:\*/|\Z)"
_LITERALS = re.compile(
    rf"(?P<comment>{_COMMENT})"
    r"|(?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))"
    r"|(?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z))"
    r"|(?P<string>(?:\b(?:[nNxXbB]|[uU]&))?'(?:[^']|'')*(?:'|\Z))"
    r'|(?P<name>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z))'
    rf"|(?P<number>{_NUMBER})",
    re.DOTALL,
)
_LITERALS_MYSQL = re.compile(
    rf"(?P<comment>{_COMMENT}|\#[^\n]*)"
    r"|(?P<string>(?:\b[nNxXbB])?'(?:[^'\\]|''|\\.)*(?:'|\Z)"
    r'|"(?:[^"\\]|""|\\.)*(?:"|\Z))'
    r"|(?P<name>`[^`]*(?:`|\Z))"
    rf"|(?P<number>{_NUMBER})",
    re.DOTALL,
)
_BACKSLASH = frozenset(("mysql", "mariadb"))
_LIST = re.compile(
    r"\(\s*(\?|%s|:\w+|%\(\w+\)s|\$\d+)(?:\s*,\s*(?:\?|%s|:\w+|%\(\w+\)s|\$\d+))+\s*\)"
)
_SPACES = re.compile(r"\s+")
_TOKENS = re.compile(
    r"(?P<open>\()|(?P<close>\))|(?P<comma>,)"
    r"|(?P<word>(?:[A-Za-z_][\w$]*|\"[^\"]*\"|`[^`]*`|\[[^\]]*\])"
    r"(?:\.(?:[A-Za-z_][\w$]*|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]))*)"
)
_VERBS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"))
_DDL = frozenset(("CREATE", "DROP", "ALTER", "TRUNCATE"))
_OBJECTS = frozenset(("TABLE", "INDEX", "VIEW", "SCHEMA", "DATABASE", "SEQUENCE", "TRIGGER"))
_FILLERS = frozenset(
    ("IF", "NOT", "EXISTS", "UNIQUE", "OR", "REPLACE", "TEMPORARY", "TEMP", "ONLY", "CONCURRENTLY",
     "INTO", "IGNORE", "LOW_PRIORITY", "MATERIALIZED", "LATERAL")
)  # fmt: skip
_BEFORE_TABLE = frozenset(("FROM", "JOIN", "INTO", "UPDATE"))


class Statement(NamedTuple):
    """What a span says about a statement."""

    text: str
    """Without literals and comments."""
    operation: str
    """First keyword in capitals, of the main statement if it begins with ``WITH``; may be ""."""
    collection: str
    """The table, if there is exactly one, else ""."""
    summary: str
    """Operation and tables."""


def describe(statement: str, system: str = "") -> Statement:
    """Return what may be said about *statement*.

    Args:
        statement: SQL as the driver gets it; only its first 65,536 characters are looked at.
        system: ``db.system.name``; MySQL and MariaDB have string rules of their own.
    """
    text = _sanitised(statement[:_SCAN_MAX], system)
    operation, tables = _operation_and_tables(text)
    distinct = list(dict.fromkeys(tables))
    summary = " ".join([operation, *distinct]) or "SQL"
    return Statement(
        text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…",
        operation,
        distinct[0] if len(distinct) == 1 else "",
        summary if len(summary) <= _SUMMARY_MAX else summary[:_SUMMARY_MAX].rpartition(" ")[0],
    )


def sanitised(statement: str, system: str) -> str:
    """Return the beginning of *statement*, up to 65,536 characters, without literals and comments.

    Args:
        statement: SQL, ours or of another instrumentation.
        system: ``db.system.name``, or "".
    """
    return _sanitised(statement[:_SCAN_MAX], system)


def _sanitised(statement: str, system: str) -> str:
    pattern = _LITERALS_MYSQL if system in _BACKSLASH else _LITERALS

    def replaced(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind == "name":
            return match[0]
        return " " if kind == "comment" else "?"

    text = _SPACES.sub(" ", pattern.sub(replaced, statement)).strip()
    return _LIST.sub(r"(\1)", text)


def _operation_and_tables(text: str) -> tuple[str, list[str]]:
    words = _words(text)
    if not words:
        return "", []
    operation = words[0][0].upper()
    if operation == "WITH":
        return _with(words)
    if operation in _DDL:
        return _ddl(words)
    if operation == "COPY" and len(words) > 1 and words[1][1] == 0:
        # `COPY INTO` is how we name a COPY whose text nobody sees.
        target = words[2:3] if words[1][0].upper() == "INTO" else words[1:2]
        return operation, [_plain(word) for word, _, _ in target]
    return operation, _tables(words, frozenset())


def _with(words: list[tuple[str, int, bool]]) -> tuple[str, list[str]]:
    main = next(
        (word.upper() for word, depth, _ in words[1:] if depth == 0 and word.upper() in _VERBS),
        "WITH",
    )
    own = {
        words[index - 1][0]
        for index, (word, depth, _) in enumerate(words)
        if depth == 0 and word.upper() == "AS" and index
    }
    return main, _tables(words, frozenset(own))


def _ddl(words: list[tuple[str, int, bool]]) -> tuple[str, list[str]]:
    verb = words[0][0].upper()
    kind = ""
    for index, (word, _, _) in enumerate(words[1:], 1):
        upper = word.upper()
        if not kind and upper in _OBJECTS:
            kind = upper
        elif upper not in _FILLERS:
            operation = f"{verb} {kind}".strip()
            if kind == "INDEX":
                return operation, [
                    words[at + 1][0]
                    for at in range(index, len(words) - 1)
                    if words[at][0].upper() == "ON"
                ][:1]
            return operation, [_plain(word)]
    return verb, []


def _tables(words: list[tuple[str, int, bool]], own: frozenset[str]) -> list[str]:
    found: list[str] = []
    expecting: int | None = None
    in_from: int | None = None
    for word, depth, after_comma in words:
        upper = word.upper()
        if upper in _BEFORE_TABLE:
            expecting = depth
            in_from = depth if upper == "FROM" else None
            continue
        if expecting is not None and upper in _FILLERS:
            continue
        named = expecting == depth or (after_comma and in_from == depth)
        if named and upper not in _VERBS and word not in own:
            found.append(_plain(word))
        if upper in ("WHERE", "SET", "ON", "GROUP", "ORDER", "LIMIT", "VALUES", "USING"):
            in_from = None
        expecting = None
    return found


def _words(text: str) -> list[tuple[str, int, bool]]:
    words: list[tuple[str, int, bool]] = []
    depth, comma = 0, False
    for match in _TOKENS.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            depth += 1
            comma = False
        elif kind == "close":
            depth = max(0, depth - 1)
            comma = False
        elif kind == "comma":
            comma = True
        else:
            words.append((match[0], depth, comma))
            comma = False
    return words


def _plain(name: str) -> str:
    return re.sub(r'["`\[\]]', "", name)
