"""Turns PromQL text into our tree, through the promql-parser library."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import promql_parser as library

from watchkeeper.errors import QueryParseError, QueryRefusedError
from watchkeeper.server.promql.ast import (
    Aggregate,
    At,
    Binary,
    Call,
    Card,
    Expr,
    Matching,
    MatrixSelector,
    Number,
    Paren,
    Selector,
    String,
    Subquery,
    Unary,
    unwrap,
)
from watchkeeper.server.promql.catalogue import AGGREGATIONS, FUNCTIONS, OPERATORS
from watchkeeper.server.promql.scan import Scanned, Token, scan
from watchkeeper.server.series import Matcher, MatchOp

__all__ = ["parse", "parse_duration_ms"]

_MS = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MATCH_OPS = {
    "MatchOp.Equal": MatchOp.EQUAL,
    "MatchOp.NotEqual": MatchOp.NOT_EQUAL,
    "MatchOp.Re": MatchOp.REGEX,
    "MatchOp.NotRe": MatchOp.NOT_REGEX,
}
_CARDS = {
    "VectorMatchCardinality.OneToOne": Card.ONE_TO_ONE,
    "VectorMatchCardinality.ManyToOne": Card.MANY_TO_ONE,
    "VectorMatchCardinality.OneToMany": Card.ONE_TO_MANY,
    "VectorMatchCardinality.ManyToMany": Card.MANY_TO_MANY,
}
_NO_MATCHING = Matching(Card.ONE_TO_ONE, (), on=False, include=())
_EXPERIMENTAL_WORDS = frozenset(
    {"anchored", "smoothed", "fill", "fill_left", "fill_right", "min_of", "max_of"}
)
_DURATION_WORDS = frozenset({"step", "range", "min_of", "max_of", "min", "max"})
_QUOTED = re.compile(r"""['"`]([^'"`]+)['"`]|: (\S+)$""")


@lru_cache(maxsize=512)
def parse(query: str) -> Expr:
    """Return the tree of *query*. The same text gives the same tree; trees are immutable.

    Raises:
        QueryShapeError: The text is too long or nested too deeply.
        QueryParseError: The text is not PromQL; carries the offset where one is known.
        QueryRefusedError: The text uses an experimental feature, native histograms, or another
            dialect's syntax.
    """
    scanned = scan(query)
    try:
        tree = library.parse(scanned.text)
        return _convert(tree)
    except (QueryParseError, QueryRefusedError):
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the library panics with a BaseException
        raise _explained(query, scanned, error) from None


def parse_duration_ms(text: str) -> int:
    """Return milliseconds of a Prometheus duration such as ``1h30m``.

    Raises:
        QueryParseError: *text* is not one.
    """
    try:
        return int(library.parse_duration(text) / _MS)
    except (ValueError, OverflowError):
        raise QueryParseError(
            f"not a duration: got {text[:100]!r}. Accepted: for example 15s, 5m or 1h30m. "
            "Next: correct it.",
            0,
        ) from None


def _refused(what: str, at: int | None = None) -> QueryRefusedError:
    place = "" if at is None else f" at offset {at}"
    return QueryRefusedError(
        f"PromQL feature not supported{place}: got {what}. Accepted: stable PromQL over float "
        "samples and classic histograms. Next: rewrite the query without it, or run it on a "
        "Prometheus with that feature switched on."
    )


def _explained(query: str, scanned: Scanned, error: BaseException) -> Exception:
    """Say why the library rejected a query: a feature we refuse, or a mistake at some place."""
    refusal = _experimental(scanned.tokens)
    if refusal is not None:
        return refusal
    message = str(error) or type(error).__name__
    position: int | None = None
    for found in _QUOTED.finditer(message):
        word = found.group(1) or found.group(2)
        place = query.find(word)
        if place >= 0 and len(word) > 1:
            position = place
            break
    where = "" if position is None else f" at offset {position}"
    return QueryParseError(
        f"PromQL parse error{where}: {message}: got {query[:200]!r}. "
        "Accepted: PromQL as Prometheus documents it. Next: correct the query.",
        position,
    )


def _experimental(tokens: tuple[Token, ...]) -> QueryRefusedError | None:
    """Return the refusal of the first experimental construct among *tokens*."""
    brackets: list[str] = []
    previous = Token("start", "", 0)
    offset = False
    for token in tokens:
        if token.kind == "open":
            brackets.append(token.text)
        elif token.kind == "close":
            brackets.pop()
        in_range = bool(brackets) and "[" in brackets
        computed_offset = offset and token.kind in {"open", "word"}
        if computed_offset or (in_range and _computes(token, previous)):
            return _refused("a duration expression", token.at)
        if token.text in {"</", ">/"} or (previous.text in "<>" and token.text == "/"):
            return _refused("a histogram trim operator", previous.at)
        if "{" not in brackets and token.kind == "word" and token.text in _EXPERIMENTAL_WORDS:
            return _refused(f"{token.text!r}", token.at)
        if token.kind == "open" and token.text == "{" and previous.text == ",":
            return _refused("label matchers as an argument", token.at)
        offset = token.text.lower() == "offset" or (offset and token.text in {"+", "-"})
        previous = token
    return None


def _computes(token: Token, previous: Token) -> bool:
    if token.text.strip(":") in _DURATION_WORDS or token.text in {"+", "-", "*", "/", "%", "^"}:
        return True
    return token.text == "(" and previous.text in {"[", ":", "("}


def _convert(node: Any) -> Expr:
    kind = type(node).__name__
    match kind:
        case "NumberLiteral":
            return Number(float(node.val))
        case "StringLiteral":
            return String(str(node.val))
        case "ParenExpr" | "UnaryExpr":
            return (Paren if kind == "ParenExpr" else Unary)(_convert(node.expr))
        case "VectorSelector":
            return _selector(node)
        case "MatrixSelector":
            return MatrixSelector(_selector(node.vector_selector), _ms(node.range))
        case "SubqueryExpr":
            step = None if node.step is None else _ms(node.step)
            return Subquery(
                _convert(node.expr), _ms(node.range), step or None, _ms(node.offset), _at(node.at)
            )
        case "Call":
            return _call(str(node.func.name), tuple(_convert(arg) for arg in node.args))
        case "AggregateExpr":
            return _aggregate(node)
        case "BinaryExpr":
            return _binary(node)
        case _:
            raise _refused(f"an expression of kind {kind}")


def _ms(delta: timedelta | None) -> int:
    return 0 if delta is None else delta // _MS


def _at(modifier: Any) -> At | None:
    if modifier is None:
        return None
    kind = str(modifier.type).rsplit(".", 1)[-1].lower()
    if kind != "at":
        return At(kind)
    return At("time", round((modifier.at - _EPOCH) / _MS))


def _selector(node: Any) -> Selector:
    if node.matchers.or_matchers:
        raise _refused("'or' between label matchers")
    matchers = [Matcher(m.name, _MATCH_OPS[str(m.op)], m.value) for m in node.matchers.matchers]
    if node.name:
        matchers.insert(0, Matcher("__name__", MatchOp.EQUAL, str(node.name)))
    return Selector(tuple(matchers), _ms(node.offset), _at(node.at))


def _call(name: str, args: tuple[Expr, ...]) -> Call:
    if name not in FUNCTIONS:
        raise _refused(f"the function {name}()")
    return Call(name, args)


def _aggregate(node: Any) -> Aggregate:
    op = str(node.op)
    if op not in AGGREGATIONS:
        raise _refused(f"the aggregation {op}()")
    modifier = node.modifier
    without = modifier is not None and str(modifier.type).endswith("Without")
    labels = () if modifier is None else tuple(modifier.labels)
    param = None if node.param is None else _convert(node.param)
    if op == "count_values" and param is not None:
        param = unwrap(param)
    return Aggregate(op, _convert(node.expr), param, labels, without)


def _binary(node: Any) -> Binary:
    op = str(node.op)
    if op not in OPERATORS:
        raise _refused(f"the operator {op!r}")
    modifier = node.modifier
    matching, return_bool = _NO_MATCHING, False
    if modifier is not None:
        fill = modifier.fill_values
        if fill is not None and (fill.lhs is not None or fill.rhs is not None):
            raise _refused("'fill'")
        on = modifier.matching is not None and str(modifier.matching.type).endswith("Include")
        labels = () if modifier.matching is None else tuple(modifier.matching.labels)
        include = tuple(modifier.group_labels or ())
        matching = Matching(_CARDS[str(modifier.card)], labels, on, include)
        return_bool = bool(modifier.return_bool)
    return Binary(op, _convert(node.lhs), _convert(node.rhs), matching, return_bool)
