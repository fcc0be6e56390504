"""TraceQL text becomes the tree it means, or an error that says where."""

from __future__ import annotations

import pytest

from watchkeeper.errors import QueryLimitError, QueryParseError, QueryRefusedError
from watchkeeper.server.tracesearch.ast import (
    Combination,
    Comparison,
    Field,
    Logical,
    SpansetFilter,
)
from watchkeeper.server.tracesearch.parser import parse


def test_an_empty_query_is_every_span() -> None:
    """No text and empty braces match every span."""
    assert SpansetFilter(None) == parse("") == parse("{}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{ name = "GET /" }', Comparison(Field("intrinsic", "name"), "=", "GET /")),
        ("{ duration > 1.5s }", Comparison(Field("intrinsic", "duration"), ">", 1_500_000_000)),
        ("{ status = error }", Comparison(Field("intrinsic", "status"), "=", 2)),
        ("{ kind = server }", Comparison(Field("intrinsic", "kind"), "=", 2)),
        ("{ span.http.status_code >= 500 }", Comparison(Field("span", "http.status_code"), ">=", 500)),
        ('{ resource.service.name =~ "a.*" }', Comparison(Field("resource", "service.name"), "=~", "a.*")),
        ("{ .retry = true }", Comparison(Field("any", "retry"), "=", True)),
        ("{ .user != nil }", Comparison(Field("any", "user"), "!=", None)),
        ("{ span.delta < -1 }", Comparison(Field("span", "delta"), "<", -1)),
    ],
)  # fmt: skip
def test_a_comparison_reads_field_operator_and_value(text: str, expected: Comparison) -> None:
    """Intrinsics, scopes and values of every type are understood."""
    assert SpansetFilter(expected) == parse(text)


def test_and_binds_tighter_than_or() -> None:
    """``a || b && c`` is ``a || (b && c)``, inside braces and between them."""
    a, b, c = (Comparison(Field("any", name), "=", 1) for name in "abc")

    assert SpansetFilter(Logical("||", a, Logical("&&", b, c))) == parse("{.a=1 || .b=1 && .c=1}")
    assert Combination(
        "||", SpansetFilter(a), Combination("&&", SpansetFilter(b), SpansetFilter(c))
    ) == parse("{.a=1} || {.b=1} && {.c=1}")


@pytest.mark.parametrize(
    ("text", "position"),
    [("{ name = }", 9), ("{ name }", 7), ("{ .a = 1", 8), ("name", 0), ("{ .a =~ 1 }", 10)],
)  # fmt: skip
def test_an_error_says_where(text: str, position: int) -> None:
    """A text that is not TraceQL is refused with the offset of the first wrong character."""
    with pytest.raises(QueryParseError) as caught:
        parse(text)

    assert position == caught.value.position


@pytest.mark.parametrize("text", ["{} | count() > 1", "{} >> {}", "{ parent.x = 1 }"])
def test_what_is_not_answered_is_refused_by_name(text: str) -> None:
    """Valid TraceQL beyond this engine is refused, never answered wrongly."""
    with pytest.raises(QueryRefusedError, match="not supported"):
        parse(text)


def test_hostile_nesting_is_refused() -> None:
    """Deep parentheses end in an error, not in a crash."""
    with pytest.raises(QueryLimitError, match="nested too deeply"):
        parse("(" * 5000 + "{}" + ")" * 5000)
