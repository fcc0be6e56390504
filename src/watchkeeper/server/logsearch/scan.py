"""Lines that a log query keeps: what SQL can decide, then what only the line's labels can."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import re2

from watchkeeper.errors import QueryParseError
from watchkeeper.server.logsearch.ast import (
    LabelFilter,
    LabelLogical,
    LabelTest,
    LineFilter,
    LogQuery,
    Parser,
    Stage,
)
from watchkeeper.server.logsearch.labels import Line, stream_labels, structured_metadata
from watchkeeper.server.series import Matcher, MatchOp
from watchkeeper.server.tokens import duration_ns
from watchkeeper.vocabulary.model import label_name

__all__ = ["COLUMNS", "Kept", "Scan"]

COLUMNS = (
    "time_ns, body, service, severity_number, severity_text, resource, scope, attributes, "
    "coalesce(lower(hex(trace_id)), ''), coalesce(lower(hex(span_id)), ''), event_name"
)
"""The columns of `Line`, in order."""

_LOGFMT = re.compile(r'([A-Za-z_][\w.\-/]*)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))')
_HEX = re.compile(r"[0-9a-fA-F]+")


class Kept:
    """A line that passed, with its labels by where they came from."""

    __slots__ = ("line", "metadata", "parsed", "stream")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.stream = stream_labels(line.service, line.severity_number, line.resource)
        self.metadata = structured_metadata(line)
        self.parsed: dict[str, str] = {}

    def get(self, label: str) -> str:
        """Return a label's value, or the empty string."""
        for source in (self.parsed, self.stream, self.metadata):
            if label in source:
                return source[label]
        return ""


class Scan:
    """A log query split into an SQL condition and a test of single lines.

    Attributes:
        where: SQL condition on the logs table.
        params: Its named parameters.
        exact: Whether the condition decides alone; else `keep` has the last word.
    """

    def __init__(self, query: LogQuery, start_ns: int, end_ns: int) -> None:
        """Split *query*; times are Unix nanoseconds, start inclusive, end exclusive.

        Raises:
            QueryParseError: The selector matches every stream.
        """
        if not any(_selective(matcher) for matcher in query.matchers):
            raise QueryParseError(
                "stream selector matches everything: got "
                f"{len(query.matchers)} matchers. Accepted: at least one that cannot be empty, "
                'as {service_name=~".+"}. Next: add one.'
            )
        self.params: dict[str, Any] = {"start": start_ns, "end": end_ns}
        self._matchers: list[Callable[[dict[str, str]], bool]] = []
        self._stages: list[Stage] = []
        parts = ["time_ns >= $start", "time_ns < $end"]
        parts += [sql for matcher in query.matchers for sql in self._matcher(matcher)]
        parsed = False
        for stage in query.stages:
            if isinstance(stage, LineFilter):
                parts.append(self._line_filter(stage))
                continue
            parsed = parsed or isinstance(stage, Parser)
            sql = None if parsed or isinstance(stage, Parser) else self._identity(stage)
            if sql is None:
                self._stages.append(stage)
            else:
                parts.append(sql)
        self.where = " AND ".join(parts)

    @property
    def exact(self) -> bool:
        """Whether SQL decides alone."""
        return not self._matchers and not self._stages

    @property
    def exact_by_stream(self) -> bool:
        """Whether a line's stream labels are all that SQL leaves to decide."""
        return not self._stages

    def keeps_stream(self, labels: dict[str, str]) -> bool:
        """Return whether a stream with these labels is selected."""
        return all(test(labels) for test in self._matchers)

    def keep(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[Kept]:
        """Yield the lines that pass every remaining test."""
        for row in rows:
            kept = Kept(Line(*row))
            if self.keeps_stream(kept.stream) and self._passes(kept):
                yield kept

    def _bind(self, value: object) -> str:
        name = f"v{len(self.params)}"
        self.params[name] = value
        return f"${name}"

    def _matcher(self, matcher: Matcher) -> list[str]:
        if matcher.name == "service_name":
            value = self._bind(matcher.value)
            return [
                {
                    MatchOp.EQUAL: f"service = {value}",
                    MatchOp.NOT_EQUAL: f"service <> {value}",
                    MatchOp.REGEX: f"regexp_full_match(service, {value}, 's')",
                    MatchOp.NOT_REGEX: f"NOT regexp_full_match(service, {value}, 's')",
                }[matcher.op]
            ]
        self._matchers.append(_stream_test(matcher))
        return []

    def _line_filter(self, stage: LineFilter) -> str:
        function = "contains" if stage.op in ("|=", "!=") else "regexp_matches"
        extra = "" if function == "contains" else ", 's'"
        tests = " OR ".join(f"{function}(body, {self._bind(text)}{extra})" for text in stage.texts)
        return f"({tests})" if stage.op[0] == "|" else f"NOT ({tests})"

    def _identity(self, stage: Stage) -> str | None:
        """Return SQL for a test of the trace or span id, which the table has as columns."""
        if (
            isinstance(stage, LabelTest)
            and stage.label in ("trace_id", "span_id")
            and stage.op in ("=", "==")
            and isinstance(stage.value, str)
            and _HEX.fullmatch(stage.value)
            and len(stage.value) % 2 == 0
        ):
            return f"{stage.label} = {self._bind(bytes.fromhex(stage.value))}"
        return None

    def _passes(self, kept: Kept) -> bool:
        for stage in self._stages:
            if isinstance(stage, Parser):
                _parse_line(kept, stage.name)
            elif not _holds(stage, kept):  # type: ignore[arg-type] # line filters went to SQL
                return False
        return True


def _selective(matcher: Matcher) -> bool:
    if matcher.op is MatchOp.EQUAL:
        return matcher.value != ""
    if matcher.op is MatchOp.REGEX:
        return re2.fullmatch(matcher.value, "") is None
    return False


def _stream_test(matcher: Matcher) -> Callable[[dict[str, str]], bool]:
    name, value = matcher.name, matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda labels: labels.get(name, "") == value
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda labels: labels.get(name, "") != value
    pattern = re2.compile(f"(?s:{value})")
    wanted = matcher.op is MatchOp.REGEX
    return lambda labels: (pattern.fullmatch(labels.get(name, "")) is not None) == wanted


def _parse_line(kept: Kept, parser: str) -> None:
    found: dict[str, str] = {}
    if parser == "json":
        try:
            value = orjson.loads(kept.line.body)
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            _flatten(value, "", found)
        else:
            kept.parsed["__error__"] = "JSONParserErr"
    else:
        for key, quoted, plain in _LOGFMT.findall(kept.line.body):
            found[label_name(key)] = quoted.replace('\\"', '"') if quoted else plain
    for name, text in found.items():
        taken = name in kept.stream or name in kept.metadata
        kept.parsed[f"{name}_extracted" if taken else name] = text


def _flatten(value: dict[str, Any], prefix: str, found: dict[str, str]) -> None:
    for key, inner in value.items():
        name = label_name(prefix + key)
        if isinstance(inner, dict):
            _flatten(inner, f"{name}_", found)
        elif isinstance(inner, str):
            found[name] = inner
        elif inner is not None and not isinstance(inner, list):
            found[name] = orjson.dumps(inner).decode()


def _holds(test: LabelFilter, kept: Kept) -> bool:
    if isinstance(test, LabelLogical):
        left = _holds(test.left, kept)
        if test.op == "and":
            return left and _holds(test.right, kept)
        return left or _holds(test.right, kept)
    text = kept.get(test.label)
    if isinstance(test.value, float):
        return _compare(_number(text), test.op, test.value)
    if test.op in ("=~", "!~"):
        matched = re2.fullmatch(f"(?s:{test.value})", text) is not None
        return matched == (test.op == "=~")
    return (text == test.value) == (test.op in ("=", "=="))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return duration_ns(text) / 1e9
    except QueryParseError:
        return None


def _compare(number: float | None, op: str, wanted: float) -> bool:
    if number is None:
        return False
    return {
        "=": number == wanted,
        "==": number == wanted,
        "!=": number != wanted,
        ">": number > wanted,
        ">=": number >= wanted,
        "<": number < wanted,
        "<=": number <= wanted,
    }[op]
