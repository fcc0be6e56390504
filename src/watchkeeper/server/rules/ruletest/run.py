"""Runs files of unit tests and says what differs from what they expect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.clock import Clock
from watchkeeper.errors import QueryError, RuleFileError
from watchkeeper.server.promql.numbers import sample_text
from watchkeeper.server.rules.loader import load_file
from watchkeeper.server.rules.model import AlertState, Group, ResultSample
from watchkeeper.server.rules.ruletest.evaluate import Evaluation
from watchkeeper.server.rules.ruletest.model import (
    AlertTest,
    ExpectedSample,
    ExprTest,
    RuleTest,
    TestFile,
)
from watchkeeper.server.rules.ruletest.reader import read_tests
from watchkeeper.server.series import Labels, sorted_labels
from watchkeeper.vocabulary.limits import limit

__all__ = ["Failure", "Outcome", "run_file"]

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold, or an error."""

    where: str
    """File and line, ``rules_test.yml:12``; empty if `what` says it."""
    what: str
    expected: tuple[str, ...] | None = None
    """One text for each alert or sample; None where nothing is compared."""
    got: tuple[str, ...] | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file of tests."""

    path: Path
    tests: int = 0
    checks: int = 0
    """Expectations that were looked at."""
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()


def run_file(path: Path, clock: Clock) -> Outcome:
    """Run the tests in the file at *path*.

    A file that cannot be read, or whose rules cannot be loaded, is an outcome with a failure, so
    that further files still run.

    Args:
        path: The file of tests.
        clock: Read for the time that queries may take; tests have a time of their own.
    """
    try:
        tests = read_tests(path)
        groups = _groups(tests)
    except RuleFileError as error:
        return Outcome(path, failures=(Failure("", str(error)),))
    failures = [
        failure for test in tests.tests for failure in _Running(tests, test, groups, clock).run()
    ]
    return Outcome(
        path,
        tests=len(tests.tests),
        checks=sum(len(test.alerts) + len(test.exprs) for test in tests.tests),
        failures=tuple(failures),
        warnings=tuple(f"no rule file matches {pattern}" for pattern in tests.unmatched),
    )


def _groups(tests: TestFile) -> list[Group]:
    """Return the groups in their order; those that the order does not name count as the first."""
    if not tests.tests:
        return []
    order = {name: place for place, name in enumerate(tests.group_eval_order)}
    groups = [group for path in tests.rule_files for group in load_file(path)]
    return sorted(groups, key=lambda group: order.get(group.name, 0))


class _Running:
    def __init__(
        self, file: TestFile, test: RuleTest, groups: Sequence[Group], clock: Clock
    ) -> None:
        self._file = file
        self._test = test
        self._groups = groups
        self._clock = clock
        self._step_ms = file.evaluation_interval_ms

    def _fail(
        self,
        line: int,
        what: str,
        *,
        expected: Sequence[str] | None = None,
        got: Sequence[str] | None = None,
        hint: str = "",
    ) -> Failure:
        named = f"test {self._test.name!r}: " if self._test.name else ""
        return Failure(
            f"{self._file.path}:{line}",
            named + what,
            None if expected is None else tuple(expected),
            None if got is None else tuple(got),
            hint,
        )

    def run(self) -> list[Failure]:
        turns = self._test.length_ms // self._step_ms + 1
        if turns > limit("rule_test_turns_max"):
            most = limit("rule_test_turns_max")
            return [
                self._fail(
                    self._test.line,
                    f"the test takes {turns} evaluations. Accepted: up to {most} "
                    "(rule_test_turns_max). Next: raise evaluation_interval.",
                )
            ]
        try:
            evaluation = Evaluation(self._test, self._groups, self._step_ms, self._clock)
        except QueryError as error:
            return [self._fail(self._test.line, str(error))]
        failures: list[Failure] = []
        due = sorted(self._test.alerts, key=lambda one: one.eval_time_ms)
        for turn in range(turns):
            at_ms = turn * self._step_ms
            problems = evaluation.turn(at_ms)
            failures += [
                self._fail(
                    self._test.line,
                    f"rule {problem.rule.name} ({problem.file}:{problem.rule.line}) at "
                    f"{_duration(at_ms)}: {problem.error}",
                )
                for problem in problems
            ]
            if problems:
                return failures
            while due and due[0].eval_time_ms < at_ms + self._step_ms:
                failures += self._alert(evaluation, due.pop(0))
        for one in self._test.exprs:
            failures += self._expr(evaluation, one)
        return failures

    def _alert(self, evaluation: Evaluation, wanted: AlertTest) -> Iterator[Failure]:
        firing = evaluation.alerts(wanted.alertname, AlertState.FIRING)
        expected = sorted(
            (sorted(one.labels.items()), sorted(one.annotations.items())) for one in wanted.expected
        )
        got = sorted((sorted(alert.labels), sorted(alert.annotations)) for alert in firing)
        if expected == got:
            return
        pending = evaluation.alerts(wanted.alertname, AlertState.PENDING)
        hint = ""
        if pending:
            hint = "pending: " + ", ".join(_labels(alert.labels) for alert in pending)
        elif not self._known(wanted.alertname):
            hint = f"no rule that was loaded is called {wanted.alertname}"
        yield self._fail(
            wanted.line,
            f"alert {wanted.alertname} at {_duration(wanted.eval_time_ms)}",
            expected=[_alert(*one) for one in expected],
            got=[_alert(*one) for one in got],
            hint=hint,
        )

    def _known(self, name: str) -> bool:
        return any(rule.alerting and rule.name == name for g in self._groups for rule in g.rules)

    def _expr(self, evaluation: Evaluation, wanted: ExprTest) -> Iterator[Failure]:
        what = f"expression {wanted.expr} at {_duration(wanted.eval_time_ms)}"
        try:
            found = evaluation.ask(wanted.expr, self._test.start_ms + wanted.eval_time_ms)
        except QueryError as error:
            yield self._fail(wanted.line, f"{what}: {error}")
            return
        got = sorted(found, key=lambda one: one.labels)
        expected = sorted(wanted.expected, key=lambda one: one.labels)
        same = len(got) == len(expected) and all(
            self._equal(one, other) for one, other in zip(expected, got, strict=True)
        )
        if same:
            return
        nan = any(math.isnan(one.value) for one in expected)
        yield self._fail(
            wanted.line,
            what,
            expected=[one.histogram or _sample(one.labels, one.value) for one in expected],
            got=[_sample(one.labels, one.value) for one in got],
            hint="NaN equals nothing, as in promtool; test the expression with == bool or absent()"
            if nan
            else "",
        )

    def _equal(self, expected: ExpectedSample, got: ResultSample) -> bool:
        if expected.labels != got.labels or expected.histogram:
            return False
        near = (math.nextafter(expected.value, -math.inf), math.nextafter(expected.value, math.inf))
        return expected.value == got.value or (self._file.fuzzy and got.value in near)


def _labels(labels: Labels) -> str:
    known: Mapping[str, str] = dict(labels)
    pairs = ", ".join(f'{name}="{value}"' for name, value in labels if name != "__name__")
    name = known.get("__name__", "")
    return f"{name}{{{pairs}}}" if pairs or not name else name


def _sample(labels: Labels, value: float) -> str:
    return f"{_labels(labels)} {sample_text(value)}"


def _alert(labels: Sequence[tuple[str, str]], annotations: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f'{name}="{value}"' for name, value in annotations)
    return _labels(sorted_labels(dict(labels))) + (f" annotations {{{shown}}}" if shown else "")


def _duration(ms: int) -> str:
    parts = []
    for unit, size in _UNITS:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
