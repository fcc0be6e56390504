"""A file of unit tests for rules, as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watchkeeper.server.rules.ruletest.notation import Values
from watchkeeper.server.series import Labels

__all__ = ["AlertTest", "ExpectedAlert", "ExpectedSample", "ExprTest", "InputSeries", "RuleTest",
           "TestFile"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class InputSeries:
    """One series that a test begins with."""

    labels: Labels
    values: Values


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """An alert that must be firing."""

    labels: Mapping[str, str]
    """``alertname`` among them."""
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AlertTest:
    """Which alerts of one name must be firing at one moment."""

    line: int
    eval_time_ms: int
    """After the test's start."""
    alertname: str
    expected: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True)
class ExpectedSample:
    """An element of an expression's result."""

    labels: Labels
    value: float
    histogram: str = ""
    """A native histogram; watchkeeper has none, so a test that expects one fails."""


@dataclass(frozen=True, slots=True)
class ExprTest:
    """What an expression must give at one moment."""

    line: int
    eval_time_ms: int
    """After the test's start."""
    expr: str
    expected: tuple[ExpectedSample, ...]


@dataclass(frozen=True, slots=True)
class RuleTest:
    """Series, and what rules and expressions must make of them."""

    line: int
    name: str
    interval_ms: int
    """Between two samples of the input series."""
    start_ms: int = 0
    """When the test's time begins, Unix milliseconds."""
    series: tuple[InputSeries, ...] = ()
    alerts: tuple[AlertTest, ...] = ()
    exprs: tuple[ExprTest, ...] = ()
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""

    @property
    def length_ms(self) -> int:
        """The latest moment that is asked about."""
        moments = [one.eval_time_ms for one in self.alerts]
        return max([*moments, *(one.eval_time_ms for one in self.exprs)], default=0)


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file of tests."""

    __test__ = False  # it is no class of tests for pytest
    path: Path
    rule_files: tuple[Path, ...]
    unmatched: tuple[str, ...]
    """Patterns of ``rule_files`` that no file matches."""
    evaluation_interval_ms: int
    group_eval_order: tuple[str, ...]
    fuzzy: bool
    """Whether values that differ in the last bit are equal."""
    tests: tuple[RuleTest, ...]
