"""Reads promqltest scripts: what to load, what to evaluate, what to expect.

The format is described in Prometheus' promql/promqltest/README.md; this is our own reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.promqltest.notation import SeriesLine, duration_ms, series_line, unquote

_EVAL = re.compile(
    r"eval(?P<mode>_fail|_ordered|_warn|_info)?\s+"
    r"(?:instant\s+at\s+(?P<at>\S+)|"
    r"range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))\s+(?P<expr>.+)"
)
_EXPECT = re.compile(
    r"expect\s+(?P<what>fail|warn|no_warn|info|no_info|ordered|string)\b"
    r"(?:\s*(?P<how>msg|regex):\s*(?P<text>.*))?(?P<rest>.*)"
)
_RANGE_VECTOR = re.compile(
    r"expect\s+range\s+vector\s+from\s+(?P<start>\S+)\s+to\s+\S+\s+step\s+(?P<step>\S+)"
)


@dataclass(frozen=True, slots=True)
class Load:
    """Series to load, samples *step_ms* apart from time zero."""

    step_ms: int
    with_nhcb: bool
    lines: tuple[SeriesLine, ...]


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget everything loaded."""


@dataclass(slots=True)
class Case:
    """One evaluation and what it must give."""

    name: str
    """File and line, ``operators.test:42``; stable while the corpus is."""
    expr: str
    start_ms: int
    end_ms: int
    step_ms: int
    """Zero for an instant query."""
    lines: list[str] = field(default_factory=list)
    expects: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Expectation to (``msg``, ``regex`` or nothing, text)."""

    grid: tuple[int, int] | None = None
    """Start and step of the expected samples, where an instant query gives a range vector."""

    @property
    def series(self) -> list[SeriesLine]:
        """The expected series."""
        return [series_line(line) for line in self.lines]


def commands(path: Path) -> Iterator[Load | Clear | Case]:
    """Yield the commands of a script in order."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        first = at
        at += 1
        if not line or line.startswith("#"):
            continue
        if line == "clear":
            yield Clear()
            continue
        block: list[str] = []
        while at < len(lines) and lines[at].strip():
            if not lines[at].strip().startswith("#"):
                block.append(lines[at].strip())
            at += 1
        if line.startswith("load"):
            word, step = line.split()
            series = tuple(series_line(entry) for entry in block)
            yield Load(duration_ms(step), word == "load_with_nhcb", series)
        else:
            yield _case(f"{path.name}:{first + 1}", line, block)


def _case(name: str, line: str, block: list[str]) -> Case:
    found = _EVAL.fullmatch(line)
    assert found, f"{name}: {line}"
    if found["at"]:
        start = end = duration_ms(found["at"])
        step = 0
    else:
        start, end, step = (duration_ms(found[key]) for key in ("start", "end", "step"))
    case = Case(name, found["expr"], start, end, step)
    if found["mode"]:
        case.expects[found["mode"][1:]] = ("", "")
    for entry in block:
        window = _RANGE_VECTOR.fullmatch(entry)
        if window:
            case.grid = (duration_ms(window["start"]), duration_ms(window["step"]))
            continue
        expected = _EXPECT.fullmatch(entry)
        if expected is None:
            case.lines.append(entry)
        elif expected["what"] == "string":
            case.expects["string"] = ("", unquote(expected["rest"].strip()))
        else:
            case.expects[expected["what"]] = (expected["how"] or "", expected["text"] or "")
    return case
