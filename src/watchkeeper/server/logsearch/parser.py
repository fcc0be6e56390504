"""LogQL text into its tree (language: Grafana Loki documentation, LogQL)."""

from __future__ import annotations

import re2

from watchkeeper.errors import QueryParseError
from watchkeeper.server.logsearch.ast import (
    Aggregation,
    LabelFilter,
    LabelLogical,
    LabelTest,
    LineFilter,
    LogQuery,
    Parser,
    Query,
    RangeAggregation,
    Stage,
)
from watchkeeper.server.series import Matcher, MatchOp
from watchkeeper.server.tokens import Cursor, duration_ns, tokenize

__all__ = ["parse", "parse_selector"]

_RANGE_FUNCTIONS = ("rate", "count_over_time", "bytes_rate", "bytes_over_time")
_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "topk", "bottomk")
_REFUSED_STAGES = (
    "pattern",
    "regexp",
    "unpack",
    "line_format",
    "label_format",
    "unwrap",
    "decolorize",
    "drop",
    "keep",
    "distinct",
)
_LINE_OPS = ("|=", "|~", "!=", "!~", "|>", "!>")


def parse(query: str) -> Query:
    """Parse a LogQL query.

    Raises:
        QueryParseError: The text is not LogQL; carries the offset.
        QueryRefusedError: The text is LogQL that this engine does not run.
        QueryLimitError: The text is too long or too deeply nested.
    """
    cursor = Cursor(tokenize(query), "LogQL")
    tree = _expression(cursor)
    if cursor.is_op("+", "-", "*", "/", "%", "^", ">", "<", "==", ">=", "<=", "!="):
        raise cursor.refused(f"arithmetic and comparison ({cursor.token.text!r})")
    if not cursor.ended():
        raise cursor.unexpected("the end of the query")
    return tree


def parse_selector(query: str) -> tuple[Matcher, ...]:
    """Parse a stream selector alone, as ``{service_name="api"}``."""
    cursor = Cursor(tokenize(query), "LogQL")
    matchers = _selector(cursor)
    if not cursor.ended():
        raise cursor.unexpected("the end of the selector")
    return matchers


def _expression(cursor: Cursor) -> Query:
    cursor.descend()
    try:
        if cursor.is_op("{"):
            return _log_query(cursor)
        if cursor.take("("):
            inner = _expression(cursor)
            cursor.expect(")")
            return inner
        if cursor.is_name(*_AGGREGATIONS):
            return _aggregation(cursor)
        if cursor.is_name(*_RANGE_FUNCTIONS):
            return _range(cursor)
        if cursor.token.kind == "name" and cursor.peek().text == "(":
            raise cursor.refused(f"the function {cursor.token.text}()")
        raise cursor.unexpected("a stream selector {…}, an aggregation or a range function")
    finally:
        cursor.ascend()


def _aggregation(cursor: Cursor) -> Aggregation:
    op = cursor.next().text
    grouping, without = _grouping(cursor)
    cursor.expect("(")
    parameter = None
    if op in ("topk", "bottomk"):
        if cursor.token.kind != "number":
            raise cursor.unexpected("a whole number")
        parameter = int(float(cursor.next().text))
        cursor.expect(",")
    inner = _expression(cursor)
    if isinstance(inner, LogQuery):
        raise QueryParseError(
            f"{op} cannot aggregate log lines: got a log query. Accepted: a range aggregation "
            "as rate({…}[5m]). Next: wrap the selector in one."
        )
    cursor.expect(")")
    if grouping is None:
        grouping, without = _grouping(cursor)
    return Aggregation(op, parameter, grouping, without, inner)  # type: ignore[arg-type] # from the tuple above


def _grouping(cursor: Cursor) -> tuple[tuple[str, ...] | None, bool]:
    if not cursor.is_name("by", "without"):
        return None, False
    without = cursor.next().text == "without"
    cursor.expect("(")
    labels: list[str] = []
    while not cursor.is_op(")"):
        if cursor.token.kind != "name":
            raise cursor.unexpected("a label name")
        labels.append(cursor.next().text)
        if not cursor.take(","):
            break
    cursor.expect(")")
    return tuple(labels), without


def _range(cursor: Cursor) -> RangeAggregation:
    function = cursor.next().text
    cursor.expect("(")
    matchers = _selector(cursor)
    stages = _stages(cursor)
    range_ns = _bracketed(cursor)
    stages += _stages(cursor)
    offset_ns = 0
    if cursor.is_name("offset"):
        cursor.next()
        if cursor.token.kind != "duration":
            raise cursor.unexpected("a duration")
        offset_ns = duration_ns(cursor.next().text)
    cursor.expect(")")
    query = LogQuery(matchers, stages)
    return RangeAggregation(function, query, range_ns, offset_ns)  # type: ignore[arg-type] # from the tuple above


def _bracketed(cursor: Cursor) -> int:
    cursor.expect("[")
    if cursor.token.kind != "duration":
        raise cursor.unexpected("a duration such as 5m")
    nanoseconds = duration_ns(cursor.next().text)
    cursor.expect("]")
    return nanoseconds


def _log_query(cursor: Cursor) -> LogQuery:
    return LogQuery(_selector(cursor), _stages(cursor))


def _selector(cursor: Cursor) -> tuple[Matcher, ...]:
    cursor.expect("{")
    matchers: list[Matcher] = []
    while not cursor.is_op("}"):
        if cursor.token.kind != "name":
            raise cursor.unexpected("a label name")
        name = cursor.next().text
        if not cursor.is_op("=", "!=", "=~", "!~"):
            raise cursor.unexpected("= != =~ or !~")
        op = MatchOp(cursor.next().text)
        if cursor.token.kind != "string":
            raise cursor.unexpected("a quoted text")
        value = cursor.next().text
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            _check_regex(value)
        matchers.append(Matcher(name, op, value))
        if not cursor.take(","):
            break
    cursor.expect("}")
    return tuple(matchers)


def _check_regex(pattern: str) -> None:
    try:
        re2.compile(pattern)
    except re2.error as error:
        raise QueryParseError(
            f"regular expression does not compile: got {pattern!r} ({error}). "
            "Accepted: RE2 syntax. Next: correct the expression."
        ) from None


def _stages(cursor: Cursor) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    while True:
        if cursor.is_op(*_LINE_OPS):
            stages.append(_line_filter(cursor))
        elif cursor.take("|"):
            stages.append(_pipe(cursor))
        else:
            return tuple(stages)


def _line_filter(cursor: Cursor) -> LineFilter:
    op = cursor.next().text
    if op in ("|>", "!>"):
        raise cursor.refused("pattern line filters")
    texts: list[str] = []
    while True:
        if cursor.token.kind != "string":
            raise cursor.unexpected("a quoted text")
        text = cursor.next().text
        if op in ("|~", "!~"):
            _check_regex(text)
        texts.append(text)
        if not cursor.is_name("or"):
            return LineFilter(op, tuple(texts))  # type: ignore[arg-type] # from the tuple above
        cursor.next()


def _pipe(cursor: Cursor) -> Stage:
    if cursor.is_name(*_REFUSED_STAGES) and not _compares(cursor.peek().text):
        raise cursor.refused(f"the stage '| {cursor.token.text}'")
    if cursor.is_name("json", "logfmt") and not _compares(cursor.peek().text):
        name = cursor.next().text
        if cursor.token.kind == "name" and cursor.token.text not in ("or", "and", "offset"):
            raise cursor.refused(f"{name} with named fields")
        return Parser(name)  # type: ignore[arg-type] # one of the two
    return _any_label(cursor)


def _compares(text: str) -> bool:
    return text in ("=", "!=", "=~", "!~", ">", ">=", "<", "<=", "==")


def _any_label(cursor: Cursor) -> LabelFilter:
    left = _all_labels(cursor)
    while cursor.is_name("or"):
        cursor.next()
        left = LabelLogical("or", left, _all_labels(cursor))
    return left


def _all_labels(cursor: Cursor) -> LabelFilter:
    left = _label(cursor)
    while cursor.is_name("and") or cursor.is_op(","):
        cursor.next()
        left = LabelLogical("and", left, _label(cursor))
    return left


def _label(cursor: Cursor) -> LabelFilter:
    cursor.descend()
    try:
        if cursor.take("("):
            inside = _any_label(cursor)
            cursor.expect(")")
            return inside
        if cursor.token.kind != "name":
            raise cursor.unexpected("a label name or a stage")
        label = cursor.next().text
        if not _compares(cursor.token.text):
            raise cursor.unexpected("a comparison: = != =~ !~ > >= < <=")
        op = cursor.next().text
        return LabelTest(label, op, _label_value(cursor, op))
    finally:
        cursor.ascend()


def _label_value(cursor: Cursor, op: str) -> str | float:
    token = cursor.token
    if token.kind == "string" and op in ("=", "==", "!=", "=~", "!~"):
        cursor.next()
        if op in ("=~", "!~"):
            _check_regex(token.text)
        return token.text
    sign = -1.0 if cursor.take("-") else 1.0
    token = cursor.token
    if token.kind == "number" and op not in ("=~", "!~"):
        cursor.next()
        return sign * float(token.text)
    if token.kind == "duration" and op not in ("=~", "!~"):
        cursor.next()
        return sign * duration_ns(token.text) / 1e9
    raise cursor.unexpected("a quoted text, or a number or duration to compare with")
