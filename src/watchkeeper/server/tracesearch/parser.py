"""TraceQL text into its tree (language: Grafana Tempo documentation, TraceQL)."""

from __future__ import annotations

from watchkeeper.server.tokens import Cursor, duration_ns, tokenize
from watchkeeper.server.tracesearch.ast import (
    Combination,
    Comparison,
    Condition,
    Field,
    Logical,
    SpansetFilter,
    SpansetQuery,
    Value,
)

__all__ = ["INTRINSICS", "parse", "parse_field"]

INTRINSICS = {
    "name": "name",
    "span:name": "name",
    "status": "status",
    "span:status": "status",
    "statusMessage": "statusMessage",
    "span:statusMessage": "statusMessage",
    "kind": "kind",
    "span:kind": "kind",
    "duration": "duration",
    "span:duration": "duration",
    "span:id": "span:id",
    "span:parentID": "span:parentID",
    "trace:id": "trace:id",
    "traceDuration": "traceDuration",
    "trace:duration": "traceDuration",
    "rootName": "rootName",
    "trace:rootName": "rootName",
    "rootServiceName": "rootServiceName",
    "trace:rootService": "rootServiceName",
    "instrumentation:name": "instrumentation:name",
    "instrumentation:version": "instrumentation:version",
}
"""Every spelling of an intrinsic, and the one that the compiler knows."""

_COMPARE = ("=", "!=", "=~", "!~", ">", ">=", "<", "<=")
_SCOPES = ("span", "resource", "event", "link")
_STATUSES = {"unset": 0, "ok": 1, "error": 2}
_KINDS = {"unspecified": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


def parse(query: str) -> SpansetQuery:
    """Parse a TraceQL search.

    Args:
        query: The text; empty means ``{}``, every span.

    Raises:
        QueryParseError: The text is not TraceQL; carries the offset.
        QueryRefusedError: The text is TraceQL that this engine does not run.
        QueryLimitError: The text is too long or too deeply nested.
    """
    cursor = Cursor(tokenize(query), "TraceQL")
    if cursor.ended():
        return SpansetFilter(None)
    tree = _either(cursor)
    if cursor.is_op("|"):
        raise cursor.refused("a pipeline after the spanset")
    if cursor.is_op(">", ">>", "<", "<<", "~"):
        raise cursor.refused(f"the structural operator {cursor.token.text!r}")
    if not cursor.ended():
        raise cursor.unexpected("'&&', '||' or the end of the query")
    return tree


def _either(cursor: Cursor) -> SpansetQuery:
    left = _both(cursor)
    while cursor.take("||"):
        left = Combination("||", left, _both(cursor))
    return left


def _both(cursor: Cursor) -> SpansetQuery:
    left = _spanset(cursor)
    while cursor.take("&&"):
        left = Combination("&&", left, _spanset(cursor))
    return left


def _spanset(cursor: Cursor) -> SpansetQuery:
    cursor.descend()
    if cursor.take("("):
        tree = _either(cursor)
        cursor.expect(")")
    else:
        cursor.expect("{")
        condition = None if cursor.is_op("}") else _any_of(cursor)
        cursor.expect("}")
        tree = SpansetFilter(condition)
    cursor.ascend()
    return tree


def _any_of(cursor: Cursor) -> Condition:
    left = _all_of(cursor)
    while cursor.take("||"):
        left = Logical("||", left, _all_of(cursor))
    return left


def _all_of(cursor: Cursor) -> Condition:
    left = _comparison(cursor)
    while cursor.take("&&"):
        left = Logical("&&", left, _comparison(cursor))
    return left


def _comparison(cursor: Cursor) -> Condition:
    cursor.descend()
    try:
        if cursor.take("("):
            inside = _any_of(cursor)
            cursor.expect(")")
            return inside
        field = _field(cursor)
        if not cursor.is_op(*_COMPARE):
            raise cursor.unexpected("a comparison: " + " ".join(_COMPARE))
        op = cursor.next().text
        return Comparison(field, op, _value(cursor, field, op))
    finally:
        cursor.ascend()


def _field(cursor: Cursor) -> Field:
    token = cursor.token
    if token.kind != "name":
        raise cursor.unexpected("an attribute such as span.http.route, .user or duration")
    cursor.next()
    text = token.text
    if text in ("span.", "resource.", "event.", "link.") and cursor.token.kind == "string":
        text += cursor.next().text
    field = parse_field(text)
    if field is None:
        raise cursor.refused(f"the field {text!r}")
    return field


def parse_field(text: str) -> Field | None:
    """Return the field that *text* names, or None if there is no such field."""
    if text in INTRINSICS:
        return Field("intrinsic", INTRINSICS[text])
    if text.startswith(".") and len(text) > 1:
        return Field("any", text[1:])
    scope, dot, name = text.partition(".")
    if dot and name and scope in _SCOPES:
        return Field(scope, name)  # type: ignore[arg-type] # the tuple above holds these scopes
    return None


def _value(cursor: Cursor, field: Field, op: str) -> Value:
    negative = cursor.take("-") is not None
    token = cursor.token
    value = _literal(cursor, field)
    if negative and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = -value
    elif negative:
        raise cursor.unexpected("a number after '-'")
    if op in ("=~", "!~") and token.kind != "string":
        raise cursor.unexpected("a quoted regular expression")
    return value


def _literal(cursor: Cursor, field: Field) -> Value:
    token = cursor.token
    if token.kind == "string":
        cursor.next()
        return token.text
    if token.kind == "duration":
        cursor.next()
        return duration_ns(token.text)
    if token.kind == "number":
        cursor.next()
        return float(token.text) if "." in token.text or "e" in token.text else int(token.text)
    words: dict[str, Value] = {"true": True, "false": False, "nil": None}
    if field == Field("intrinsic", "status"):
        words = {**_STATUSES}
    elif field == Field("intrinsic", "kind"):
        words = {**_KINDS}
    if token.kind == "name" and token.text in words:
        cursor.next()
        return words[token.text]
    raise cursor.unexpected("a quoted text, number, duration, or one of: " + ", ".join(words))
