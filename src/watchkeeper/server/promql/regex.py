"""Label matchers, with RE2 for regular expressions: no pattern can take exponential time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import re2

from watchkeeper.errors import QueryParseError
from watchkeeper.server.series import Labels, Matcher, MatchOp

__all__ = ["compiled", "matches", "selects"]


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """Return *pattern* compiled, with the dot matching newlines; match with ``fullmatch``.

    Raises:
        QueryParseError: It is not RE2.
    """
    try:
        return re2.compile(f"(?s:{pattern})", _quiet())
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise QueryParseError(
            f"regular expression does not compile: {reason}: got {pattern[:200]!r}. "
            "Accepted: RE2 syntax. Next: correct the pattern."
        ) from None


def matches(matcher: Matcher) -> Callable[[str], bool]:
    """Return a test of a label's value, ``""`` standing for an absent label.

    Raises:
        QueryParseError: A regular expression does not compile.
    """
    wanted = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda value: value == wanted
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda value: value != wanted
    fullmatch = compiled(wanted).fullmatch
    negative = matcher.op is MatchOp.NOT_REGEX
    seen: dict[str, bool] = {}

    def test(value: str) -> bool:
        known = seen.get(value)
        if known is None:
            known = seen[value] = (fullmatch(value) is not None) is not negative
        return known

    return test


def selects(matchers: Sequence[Matcher], sets: Iterable[Labels]) -> list[bool]:
    """Return for each label set whether it satisfies every matcher."""
    tests = [(matcher.name, matches(matcher)) for matcher in matchers]
    return [
        all(test(found.get(name, "")) for name, test in tests)
        for found in (dict(labels) for labels in sets)
    ]
