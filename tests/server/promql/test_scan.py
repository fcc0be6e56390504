"""The scan bounds what reaches the parser library, and knows where a mistake is."""

from __future__ import annotations

import pytest

from watchkeeper.errors import QueryParseError, QueryRefusedError
from watchkeeper.server.promql import QueryShapeError
from watchkeeper.server.promql.scan import scan


@pytest.mark.parametrize(
    ("query", "position"),
    [("sum(rate(x[5m])", 3), ("x)", 1), ("x{a='b", 4), ("a ? b", 2), ("x[5m})", 4), ('"\\q"', 0)],
)
def test_a_mistake_is_named_with_its_place(query: str, position: int) -> None:
    """Unbalanced brackets, open strings and strange characters carry their offset."""
    with pytest.raises(QueryParseError) as caught:
        scan(query)
    assert position == caught.value.position


@pytest.mark.parametrize(
    "query",
    [
        "(" * 10_000 + "x" + ")" * 3,
        "+".join(["a"] * 5_000),
        "abs(" * 2_000 + "x" + ")" * 2_000,
        "-" * 9_000 + "x",
        "x" + "[5m:1m]" * 1_000,
        "x" * 20_000,
    ],
)
def test_what_would_crash_the_parser_is_refused(query: str) -> None:
    """Nesting, chains and length are bounded before the library sees the text."""
    with pytest.raises(QueryShapeError):
        scan(query)


def test_chains_of_separate_arguments_do_not_add_up() -> None:
    """A comma starts anew, so a wide query is not a deep one."""
    query = "label_join(x, " + ", ".join(f'"l{n}"' for n in range(400)) + ")"
    assert query == scan(query).text


def test_strings_reach_the_parser_in_one_plain_form() -> None:
    """Backticks, single quotes and escapes become double quotes with plain escapes."""
    assert (
        '{a="\\\\d+",b="it\'s",c="é\\n"}' == scan("{a=`\\d+`,b='it\\'s',c=\"\\xc3\\xa9\\n\"}").text
    )


def test_a_moment_before_1970_is_refused() -> None:
    """The library panics on it."""
    with pytest.raises(QueryRefusedError, match="negative moment"):
        scan("x @ -1")
