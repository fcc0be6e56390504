"""Runs a test's rules over its series, as the server's evaluation does, on the test's own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from watchkeeper.clock import Clock
from watchkeeper.errors import QueryError
from watchkeeper.server.promql.engine import Engine
from watchkeeper.server.rules.model import (
    Alert,
    AlertState,
    Group,
    LoadedRule,
    ResultSample,
    RuleStatus,
)
from watchkeeper.server.rules.ruletest.memory import TestStore
from watchkeeper.server.rules.ruletest.model import RuleTest
from watchkeeper.server.rules.state import step_alert, step_record
from watchkeeper.server.rules.template import TemplateData, expand
from watchkeeper.server.rules.template_functions import QuerySample
from watchkeeper.server.series import Series

__all__ = ["Evaluation", "RuleProblem"]


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """A rule that could not be evaluated."""

    rule: LoadedRule
    file: str
    error: str


@dataclass(slots=True)
class _Ran:
    group: Group
    statuses: list[RuleStatus] = field(default_factory=list)


class Evaluation:
    """One test's series and rules.

    Args:
        test: The test.
        groups: Its rule groups, in the order in which they are evaluated. Every group is
            evaluated at each turn, whatever its own interval, as in promtool.
        step_ms: Time between two turns, milliseconds; also the default step of subqueries.
        clock: Read for the time that queries may take; the test's time is its own.

    Raises:
        QueryError: A series is given twice.
    """

    def __init__(self, test: RuleTest, groups: Sequence[Group], step_ms: int, clock: Clock) -> None:
        self._test = test
        self._store = TestStore()
        for one in test.series:
            t_ms = test.start_ms + one.values.positions * test.interval_ms
            self._store.load(
                Series(one.labels, t_ms, one.values.numbers),
                [test.start_ms + place * test.interval_ms for place in one.values.histograms],
            )
        self._engine = Engine(self._store, clock=clock, subquery_step_s=step_ms / 1000)
        self._ran = [_Ran(group, [RuleStatus() for _ in group.rules]) for group in groups]

    def turn(self, at_ms: int) -> list[RuleProblem]:
        """Evaluate every group at *at_ms*, milliseconds after the test's start.

        Returns:
            The rules that failed.
        """
        now_ms = self._test.start_ms + at_ms
        self._store.until_ms = now_ms
        problems = []
        for ran in self._ran:
            for rule, status in zip(ran.group.rules, ran.statuses, strict=True):
                try:
                    self._step(ran.group, rule, status, now_ms)
                except QueryError as error:
                    problems.append(RuleProblem(rule, ran.group.file, str(error)))
        return problems

    def _step(self, group: Group, rule: LoadedRule, status: RuleStatus, now_ms: int) -> None:
        asked_ms = now_ms - group.query_offset_ms
        results = self.ask(rule.expr, asked_ms)
        if rule.alerting:

            def expanded(text: str, labels: Mapping[str, str], value: float) -> str:
                return expand(text, self._template(labels, value, now_ms))

            step = step_alert(
                rule,
                status.alerts,
                results,
                now_ms,
                expanded,
                alerts_max=group.limit,
                offset_ms=group.query_offset_ms,
            )
        else:
            step = step_record(rule, status.series, results, asked_ms, series_max=group.limit)
        self._store.record(step.samples)
        status.alerts, status.series = step.alerts, step.series

    def _template(self, labels: Mapping[str, str], value: float, now_ms: int) -> TemplateData:
        def query(expr: str) -> list[QuerySample]:
            return [
                QuerySample(dict(sample.labels), sample.value) for sample in self.ask(expr, now_ms)
            ]

        return TemplateData(
            labels, value, self._test.external_labels, self._test.external_url, query
        )

    def ask(self, expr: str, t_ms: int) -> list[ResultSample]:
        """Return the result of *expr* at *t_ms*, Unix milliseconds.

        Raises:
            QueryError: It cannot be answered, or gives neither a vector nor a scalar.
        """
        result = self._engine.instant(expr, t_ms)
        if result.type == "vector":
            return [ResultSample(one.labels, float(one.values[0])) for one in result.series]
        if result.type == "scalar" and isinstance(result.data, tuple):
            return [ResultSample((), float(result.data[1]))]
        raise QueryError(
            f"the expression gives a {result.type}. Accepted: an instant vector or a scalar. "
            "Next: correct the expression."
        )

    def alerts(self, name: str, state: AlertState) -> list[Alert]:
        """Return the alerts called *name* that are in *state*, of all groups."""
        return [
            alert
            for ran in self._ran
            for rule, status in zip(ran.group.rules, ran.statuses, strict=True)
            if rule.alerting and rule.name == name
            for alert in status.alerts.values()
            if alert.state is state
        ]
