"""The notation of promqltest: durations, series with labels, and compact runs of values."""

from __future__ import annotations

import re
from typing import NamedTuple

from watchkeeper.server.series import STALE_NAN, Labels, sorted_labels

DURATION = re.compile(r"([0-9.]+)(ms|s|m|h|d|w|y)")
UNITS_MS = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
    "y": 31_536_000_000,
}  # fmt: skip
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PAIR = re.compile(
    r"\s*(?:([a-zA-Z_][a-zA-Z0-9_.]*|\"(?:[^\"\\]|\\.)*\")\s*=\s*)?(\"(?:[^\"\\]|\\.)*\"|'[^']*')\s*,?"
)
_VALUE = re.compile(r"\{\{[^}]*\}\}(?:[-+]\{\{[^}]*\}\})?(?:x[0-9]+)?|\S+")
_RUN = re.compile(
    r"(?P<from>[-+]?[^\sx+-]*?(?:[eE][-+]?[0-9]+)?)(?P<by>[-+][^x]+)?x(?P<times>[0-9]+)"
)


class Value(NamedTuple):
    """One position of a series."""

    kind: str
    """``float``, ``gap`` or ``histogram``."""
    number: float = 0.0


class SeriesLine(NamedTuple):
    """A line that gives a series: of a load, or of an expected result."""

    labels: Labels
    values: list[Value]
    start_time: bool
    """Whether the line gives start timestamps instead of values."""


def duration_ms(text: str) -> int:
    """Return milliseconds of ``5m``, ``1h30m`` or ``300`` (seconds)."""
    if re.fullmatch(r"-?[0-9.]+", text):
        return round(float(text) * 1000)
    parts = DURATION.findall(text)
    assert parts, text
    return round(sum(float(number) * UNITS_MS[unit] for number, unit in parts))


def number(text: str) -> float | None:
    """Return the number that *text* spells, or None."""
    try:
        return STALE_NAN if text == "stale" else float(text.replace("Inf", "inf"))
    except ValueError:
        return None


def unquote(text: str) -> str:
    """Return what a quoted string means."""
    body = text[1:-1]
    if text[0] == "`":
        return body
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m.group(1), m.group(1)), body)


def series_line(line: str) -> SeriesLine:
    """Parse ``name{label="value"} 1 2+3x4 _ stale``."""
    known: dict[str, str] = {}
    at = 0
    found = _NAME.match(line)
    if found:
        known["__name__"] = found.group()
        at = found.end()
    if line[at : at + 1] == "{" and line[at : at + 2] != "{{":
        at += 1
        while line[at:].lstrip()[:1] != "}":
            pair = _PAIR.match(line, at)
            assert pair, line
            label = pair.group(1) or "__name__"
            known[unquote(label) if label[0] == '"' else label] = unquote(pair.group(2))
            at = pair.end()
        at = line.index("}", at) + 1
    start_time = line[at:].startswith("@st")
    rest = line[at + 3 * start_time :]
    values = [] if start_time else [v for t in _VALUE.findall(rest) for v in _values(t)]
    return SeriesLine(sorted_labels(known), values, start_time)


def _values(token: str) -> list[Value]:
    if token.startswith("{{"):
        repeat = re.search(r"\}\}x([0-9]+)$", token)
        return [Value("histogram")] * (int(repeat.group(1)) + 1 if repeat else 1)
    if token == "_":
        return [Value("gap")]
    plain = number(token)
    if plain is not None:
        return [Value("float", plain)]
    run = _RUN.fullmatch(token)
    assert run, token
    times, start = int(run.group("times")), run.group("from")
    if start == "_":
        return [Value("gap")] * times
    first = number(start)
    assert first is not None, token
    step = number(run.group("by")) if run.group("by") else 0.0
    assert step is not None, token
    result, value = [], first
    for _ in range(times + 1):
        result.append(Value("float", value))
        value += step
    return result
