"""Patterns of the user's own, which must not be able to stop the application.

Python's regular expressions backtrack: ``(a+)+$`` takes minutes for forty characters, and nothing can
interrupt it. So a pattern is only taken if the number of ways in which it could be tried on a window
of text is bounded and small, and it only ever sees windows of that size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from watchkeeper.errors import SettingError
from watchkeeper.instrument.redaction.hints import shape
from watchkeeper.instrument.redaction.rules import KINDS
from watchkeeper.vocabulary.limits import limit

__all__ = ["WINDOW", "Custom", "compiled", "replace"]

WINDOW = limit("redaction_window_chars_max")
_OVERLAP = WINDOW // 4
"""Longest match that is found wherever it lies."""
_WAYS_MAX = 1_024
_PATTERN_CHARS_MAX = 1_000
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PARSER: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to see what a pattern can do
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_ONE_WAY = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "RANGE", "CATEGORY"})


class Custom(NamedTuple):
    """A pattern of the user's own."""

    pattern: re.Pattern[str]
    hint: str
    """A piece that every match has, as in `watchkeeper.instrument.redaction.hints.shape`; may be
    empty."""


def compiled(patterns: Mapping[str, str]) -> dict[str, Custom]:
    """Return the user's patterns, compiled.

    Args:
        patterns: Regular expressions by the kind that their markers name.

    Raises:
        SettingError: A kind's name is unfit or taken, there are too many patterns, or one is
            malformed, matches the empty text, or could take too long.
    """
    most = limit("redact_patterns_max")
    if len(patterns) > most:
        raise _refused(f"{len(patterns)} patterns", f"at most {most}", "join some of them")
    found = {}
    for kind, pattern in patterns.items():
        if not _KIND.fullmatch(kind) or kind in KINDS:
            raise _refused(
                kind,
                "a name of up to 32 small letters, digits and _ that is none of "
                + ", ".join(KINDS),
                "choose another name for the kind",
            )
        found[kind] = _compiled(kind, pattern)
    return found


def replace(pattern: re.Pattern[str], text: str, marker: Callable[[str], str]) -> str:
    """Return *text* with each match of *pattern* replaced, looked for in windows."""
    out: list[str] = []
    done = 0
    for start, end in _matches(pattern, text):
        if start < done:
            continue
        out += (text[done:start], marker(text[start:end]))
        done = end
    if not out:
        return text
    out.append(text[done:])
    return "".join(out)


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    step = WINDOW - _OVERLAP
    for at in range(0, max(len(text) - _OVERLAP, 1), step):
        end = min(at + WINDOW, len(text))
        for match in pattern.finditer(text, at, end):
            # Near the end of a window a match may be cut short; the next window sees it whole.
            if match.start() < at + step or end == len(text):
                yield match.span()


def _compiled(kind: str, pattern: str) -> Custom:
    name = f"{kind}={pattern}"
    if len(pattern) > _PATTERN_CHARS_MAX:
        raise _refused(name, f"at most {_PATTERN_CHARS_MAX} characters", "shorten the pattern")
    try:
        made = re.compile(pattern)
        tokens = _PARSER.parse(pattern)
        ways = _ways(tokens)
    except (re.error, RecursionError, OverflowError) as error:
        raise _refused(
            name, "a regular expression of Python's re", f"correct it ({error})"
        ) from error
    if made.match(""):
        raise _refused(name, "a pattern that needs at least one character", "use + instead of *")
    if ways > _WAYS_MAX:
        raise _refused(
            name,
            "a pattern that cannot take long: no repetition or choice of different length inside a "
            f"repetition, no back reference, and repetitions with bounds whose product is at most "
            f"{_WAYS_MAX:,} (an open one counts {WINDOW:,})",
            "write {1,40} instead of +, and [ab] instead of (a|b)",
        )
    return Custom(made, _hint(tokens))


def _hint(tokens: Any) -> str:
    """Return the longest run of fixed characters."""
    runs = [""]
    for operation, argument in tokens:
        if str(operation) == "LITERAL":
            runs[-1] += chr(argument)
        else:
            runs.append("")
    longest = max(runs, key=len)
    # Letters beyond ASCII have forms that a search without case would also find.
    return shape(longest) if longest.isascii() else ""


def _ways(tokens: Any) -> int:
    """Return in how many ways *tokens* could match one text, at most `_WAYS_MAX` + 1."""
    ways = 1
    for operation, argument in tokens:
        ways = min(ways * _ways_of(str(operation), argument), _WAYS_MAX + 1)
    return ways


def _ways_of(operation: str, argument: Any) -> int:
    if operation in _ONE_WAY:
        return 1
    if operation in _REPEATS:
        least, most, body = argument
        inner = _ways(body)
        most = min(int(most), WINDOW)
        if inner == 1:
            return most - int(least) + 1
        return min(inner**most, _WAYS_MAX + 1) if most < 16 else _WAYS_MAX + 1
    if operation == "SUBPATTERN":
        return _ways(argument[-1])
    if operation == "ATOMIC_GROUP":
        return _ways(argument)
    if operation == "BRANCH":
        return sum(_ways(branch) for branch in argument[1])
    if operation in {"ASSERT", "ASSERT_NOT"}:
        return _ways(argument[1])
    return _WAYS_MAX + 1


def _refused(got: str, accepted: str, next_step: str) -> Exception:
    return SettingError.explain(
        "the setting redact_patterns cannot be used",
        got=got,
        accepted=accepted,
        next_step=next_step,
    )
