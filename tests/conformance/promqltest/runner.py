"""Runs a promqltest script against our engine and says how each case came out."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tests.conformance.promqltest.notation import SeriesLine, number
from tests.conformance.promqltest.script import Case, Clear, Load, commands

from watchkeeper.errors import QueryError, QueryRefusedError
from watchkeeper.server.promql import Engine, Result, parse
from watchkeeper.server.promql.ast import Selector, walk
from watchkeeper.server.promql.memory import MemoryQueryable
from watchkeeper.server.promql.regex import selects
from watchkeeper.server.series import Labels, Series

_TOLERANCE = 1e-6
_MINUTE_MS = 60_000
_EXPERIMENTAL = re.compile(
    r"\b(anchored|smoothed|fill|fill_left|fill_right|limitk|limit_ratio|info|histogram_quantiles"
    r"|sort_by_label|sort_by_label_desc|mad_over_time|double_exponential_smoothing|ts_of_\w+"
    r"|min_of|max_of|step|range|start|end)\s*\("
    r"|\b(anchored|smoothed)\b"
    r"|\[[^\]]*[-+*/%^(][^\]]*\]"
    r"|\boffset\s+[-+]?\s*[(a-z]",
    re.IGNORECASE,
)
_AT_BOUND = re.compile(r"@\s*(start|end)\s*\(\s*\)")
_NATIVE_FUNCTIONS = re.compile(r"\bhistogram_(count|sum|avg|stddev|stdvar)\b")
_TRIM = re.compile(r"</|>/")
_POSITION = re.compile(r" \(\d+:\d+\)$")


class Outcome(NamedTuple):
    """How one case came out."""

    name: str
    tier: str
    """``plain``, ``native``, ``experimental`` or ``start time``."""
    verdict: str
    """``pass``, ``refused``, ``wrong`` or ``error``."""
    detail: str


class _Data:
    """What a script has loaded so far."""

    def __init__(self) -> None:
        self.queryable = MemoryQueryable()
        self.native: set[Labels] = set()
        self.started: set[Labels] = set()

    def load(self, command: Load) -> None:
        for line in command.lines:
            if line.start_time:
                self.started.add(line.labels)
        for line in command.lines:
            if not line.start_time:
                self._load_line(command, line)

    def _load_line(self, command: Load, line: SeriesLine) -> None:
        step = command.step_ms
        floats = [(i * step, v.number) for i, v in enumerate(line.values) if v.kind == "float"]
        foreign = [i * step for i, v in enumerate(line.values) if v.kind == "histogram"]
        times = np.array([t for t, _ in floats], np.int64)
        self.queryable.add(Series(line.labels, times, np.array([v for _, v in floats], np.float64)))
        if foreign:
            self.native.add(line.labels)
            self.queryable.add_foreign(line.labels, foreign)
        if line.labels in self.started:
            self.queryable.add_foreign(line.labels, times.tolist())
        known = dict(line.labels)
        if command.with_nhcb and re.search(r"_(bucket|count|sum)$", known.get("__name__", "")):
            known["__name__"] = known["__name__"].rsplit("_", 1)[0]
            known.pop("le", None)
            labels = tuple(sorted(known.items()))
            self.native.add(labels)
            self.queryable.add_foreign(labels, times.tolist())


def tier(case: Case, data: _Data) -> str:
    """Say what a case needs.

    - ``experimental``: by its text, it uses a function or syntax behind a feature flag.
    - ``start time``: it reads series that were loaded with start timestamps.
    - ``native``: it expects or reads native histograms, or uses a function or operator for them.
    - ``plain``: everything else, stable PromQL over floats and classic histograms.
    """
    text = re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`", '""', _AT_BOUND.sub("", case.expr))
    if _EXPERIMENTAL.search(text):
        return "experimental"
    if _reads(case.expr, data.started):
        return "start time"
    if any("{{" in line for line in case.lines) or _NATIVE_FUNCTIONS.search(text):
        return "native"
    if _TRIM.search(text) or _reads(case.expr, data.native):
        return "native"
    return "plain"


def _reads(expr: str, series: set[Labels]) -> bool:
    try:
        nodes = list(walk(parse(expr)))
    except QueryError:
        return any(re.search(rf"\b{dict(one).get('__name__', '?')}\b", expr) for one in series)
    return any(any(selects(n.matchers, series)) for n in nodes if isinstance(n, Selector))


@cache
def outcomes(path: Path) -> tuple[Outcome, ...]:
    """Return the outcome of every case in a script."""
    data = _Data()
    found: list[Outcome] = []
    for command in commands(path):
        if isinstance(command, Clear):
            data = _Data()
        elif isinstance(command, Load):
            data.load(command)
        else:
            needs = tier(command, data)
            verdict, detail = _verdict(command, Engine(data.queryable))
            if needs != "plain" and verdict == "wrong" and detail.startswith("fails with"):
                verdict = "pass"  # it fails, as it must; only the words are about a refusal
            found.append(Outcome(command.name, needs, verdict, detail))
    return tuple(found)


def _verdict(case: Case, engine: Engine) -> tuple[str, str]:
    try:
        if case.step_ms:
            result = engine.range(case.expr, case.start_ms, case.end_ms, case.step_ms)
        else:
            result = engine.instant(case.expr, case.start_ms)
    except QueryRefusedError as error:
        return "refused", str(error)
    except QueryError as error:
        return _failure(case, str(error))
    if "fail" in case.expects:
        return "wrong", "must fail"
    problem = _compare(case, result) or _notes(case, result)
    if not problem and not case.step_ms and result.type in {"vector", "scalar"}:
        problem = _again_as_range(case, engine)
    return ("wrong", problem) if problem else ("pass", "")


def _failure(case: Case, message: str) -> tuple[str, str]:
    if "fail" not in case.expects:
        return "error", message
    how, text = case.expects["fail"]
    held = re.search(text, message) if how == "regex" else text in message
    return ("pass", "") if held else ("wrong", f"fails with {message!r}, not {text!r}")


def _notes(case: Case, result: Result) -> str:
    for kind, notes in (("warn", result.warnings), ("info", result.infos)):
        if f"no_{kind}" in case.expects and notes:
            return f"unexpected {kind}: {notes}"
        if kind not in case.expects:
            continue
        how, text = case.expects[kind]
        if how == "regex":
            text = re.sub(r" \\\(.*$", "", text)
            held = any(re.search(text, note) for note in notes)
        elif how == "msg":
            held = _POSITION.sub("", text) in notes
        else:
            held = bool(notes)
        if not held:
            return f"missing {kind} {text!r} among {notes}"
    return ""


def _same(left: float, right: float) -> bool:
    if np.isnan(left) or np.isnan(right):
        return bool(np.isnan(left) and np.isnan(right))
    if left == right or left + right == 0:
        return left == right or abs(left - right) < _TOLERANCE
    return bool(abs(left - right) <= _TOLERANCE * (abs(left) + abs(right)) / 2)


def _compare(case: Case, result: Result) -> str:
    if result.type == "string":
        return "" if case.expects.get("string", ("", ""))[1] == result.data[1] else "other string"
    if result.type == "scalar":
        expected = number(case.lines[0]) if case.lines else None
        got = float(result.data[1])  # type: ignore[arg-type] # the type says it is a number
        return "" if expected is not None and _same(expected, got) else f"scalar {got}"
    if result.type == "matrix":
        return _compare_matrix(case, result)
    wanted = {line.labels: line.values[0].number for line in case.series}
    got_all = {one.labels: float(one.values[-1]) for one in result.series}
    if set(wanted) != set(got_all) or len(got_all) != len(result.series):
        return f"series {sorted(got_all)} instead of {sorted(wanted)}"
    for labels, value in wanted.items():
        if not _same(value, got_all[labels]):
            return f"{labels}: {got_all[labels]} instead of {value}"
    if {"ordered"} & set(case.expects) and list(wanted) != list(got_all):
        return "other order"
    return ""


def _compare_matrix(case: Case, result: Result) -> str:
    wanted: dict[Labels, dict[int, float]] = {}
    for line in case.series:
        cells = enumerate(line.values)
        start, step = case.grid or (case.start_ms, case.step_ms)
        samples = {start + i * step: v.number for i, v in cells if v.kind == "float"}
        if samples:
            wanted[line.labels] = samples
    got = {
        o.labels: dict(zip(o.t_ms.tolist(), o.values.tolist(), strict=True)) for o in result.series
    }
    if set(wanted) != set(got):
        return f"series {sorted(got)} instead of {sorted(wanted)}"
    if [one.labels for one in result.series] != sorted(got):
        return "series not in label order"
    for labels, samples in wanted.items():
        if set(samples) != set(got[labels]):
            return f"{labels}: steps {sorted(got[labels])} instead of {sorted(samples)}"
        for t, value in samples.items():
            if not _same(value, got[labels][t]):
                return f"{labels} at {t}: {got[labels][t]} instead of {value}"
    return ""


def _again_as_range(case: Case, engine: Engine) -> str:
    """Evaluate an instant case as a range around its moment; the moment must not differ."""
    t_ms = case.start_ms
    try:
        result = engine.range(case.expr, t_ms - _MINUTE_MS, t_ms + _MINUTE_MS, _MINUTE_MS)
    except QueryRefusedError:
        return ""
    except QueryError as error:
        return f"as range: {error}"
    here = [
        Series(one.labels, one.t_ms[one.t_ms == t_ms], one.values[one.t_ms == t_ms])
        for one in result.series
        if (one.t_ms == t_ms).any()
    ]
    expects = {key: value for key, value in case.expects.items() if key != "ordered"}
    plain = Case(case.name, case.expr, t_ms, t_ms, 0, case.lines, expects)
    first = case.lines[0] if case.lines else ""
    if number(first) is not None:
        got = float(here[0].values[0])
        return "" if _same(number(first) or 0.0, got) else f"as range: {got}"
    problem = _compare(plain, Result("vector", here))
    return f"as range: {problem}" if problem else ""
