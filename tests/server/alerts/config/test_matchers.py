"""Matchers are read as Alertmanager reads them, in the UTF-8 form and in the classic one."""

from __future__ import annotations

import contextlib
import time

import pytest

from watchkeeper.errors import MatcherError
from watchkeeper.server.alerts.config.matchers import parse_matcher, parse_matchers
from watchkeeper.server.alerts.config.model import Matcher, matchers_text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", "{}"),
        ("{}", "{}"),
        ("  ", "{}"),
        ('team="db"', '{team="db"}'),
        ("team=db", '{team="db"}'),
        ("{team=db}", '{team="db"}'),
        ("{team=db,}", '{team="db"}'),
        ("team=db,", '{team="db"}'),
        ("  team  =  db  ", '{team="db"}'),
        ('{team="db",page!="no"}', '{team="db",page!="no"}'),
        ("{team =~ db|web , page !~ n.*}", '{team=~"db|web",page!~"n.*"}'),
        ("team=", '{team=""}'),
        ('team=""', '{team=""}'),
        ("team!=", '{team!=""}'),
        ("team=ünïcode✓", '{team="ünïcode✓"}'),
        ("ünïcode=✓", '{ünïcode="✓"}'),
        ("a.b-c/d=1", '{a.b-c/d="1"}'),
        ('"two words"=1', r'{"two words"="1"}'),
        ('"two\\twords"="\\u2713 \\x41"', r'{"two\twords"="✓ A"}'),
        ('say="a, \\"b\\" {c}"', r'{say="a, \"b\" {c}"}'),
        ('say="line\\nline"', r'{say="line\nline"}'),
        (r'path=~"C:\\\\.*"', r'{path=~"C:\\\\.*"}'),
        # Only the classic form takes these.
        ("{team=db", '{team="db"}'),
        ("team=db}", '{team="db"}'),
        ("team==db", '{team="=db"}'),
        ("say=two words", '{say="two words"}'),
        ("a:b=c", '{a:b="c"}'),
        ("path=~[a-z]{2}x", '{path=~"[a-z]{2}x"}'),
        (r'path=~"\d+"', r'{path=~"\\d+"}'),
        (r"path=~\d+", r'{path=~"\\d+"}'),
        ("path=a\\", r'{path="a\\"}'),
        ("say='quoted'", "{say=\"'quoted'\"}"),
        ('say="line\nline"', r'{say="line\nline"}'),
        ("{", "{}"),
        ("}", "{}"),
        ("{a=b}c", '{a="b}c"}'),
        ("a=b c", '{a="b c"}'),
        ("a=b;c", '{a="b;c"}'),
        # Both forms take this one, and mean two things: the classic meaning stays.
        (r'say="\t"', r'{say="\\t"}'),
    ],
)
def test_what_is_read(text: str, written: str) -> None:
    """A list of matchers is read, and written back as Alertmanager writes it."""
    assert matchers_text(parse_matchers(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "team", "=db", "{}}", "{{}}", ",", "{,}", "a=b,,c=d", '"a=b', 'a="b', 'a="b"c"',
        "two words=1", '"\\q"=1', '"\\ud800"=1', '"\\xff"=1', 'a=~"("', "a!b", "a~b", "1a", '"a',
        'a="b\\,",c=d',
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    """What neither form takes is refused, whole."""
    with pytest.raises(MatcherError):
        parse_matchers(text)


@pytest.mark.parametrize("text", ["", "{a=b}", "a=b,c=d", "{a=b", "a=b}"])
def test_one_matcher_is_one(text: str) -> None:
    """Where one matcher is expected, none, several and braces are refused."""
    with pytest.raises(MatcherError):
        parse_matcher(text)


def test_the_error_names_what_is_wrong() -> None:
    """The error shows the text, what is accepted and what to do."""
    with pytest.raises(MatcherError, match=r"not RE2: missing \).*got 'a=~\"\(\"'.*Accepted.*Next"):
        parse_matcher('a=~"("')


@pytest.mark.parametrize(
    ("text", "labels", "fulfilled"),
    [
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "B"}, False),
        ("a=", {}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a=~b|c", {"a": "c"}, True),
        ("a=~b|c", {"a": "cc"}, False),
        ("a=~b.*", {"a": "b\nc"}, False),
        ("a=~.*", {}, True),
        ("a=~.+", {}, False),
        ("a!~b.*", {"a": "c"}, True),
        ("a!~b.*", {"a": "bc"}, False),
    ],
)
def test_what_is_matched(text: str, labels: dict[str, str], fulfilled: bool) -> None:  # noqa: FBT001
    """A missing label counts as empty, and patterns hold for the whole value."""
    assert parse_matcher(text).matches(labels) == fulfilled


def test_order_is_alertmanagers() -> None:
    """Matchers are sorted by name, value and kind."""
    found = [
        Matcher("b", "=", "1"),
        Matcher("a", "!=", "2"),
        Matcher("a", "!~", "1"),
        Matcher("a", "=", "1"),
    ]

    found.sort(key=lambda matcher: matcher.order)

    assert matchers_text(found) == '{a="1",a!~"1",a!="2",b="1"}'


def test_a_long_text_takes_linear_time() -> None:
    """A text of a hundred thousand blanks or backslashes is read or refused at once."""
    started = time.monotonic()
    for text in ("a=" + " " * 100_000 + "b", "a=" + "\\" * 100_001, '"' + "\\" * 100_001):
        with contextlib.suppress(MatcherError):
            parse_matchers(text)

    assert time.monotonic() - started < 5
