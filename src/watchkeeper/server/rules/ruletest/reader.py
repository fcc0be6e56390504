"""Reads files of unit tests for rules.

Source: Prometheus documentation, "Unit testing for rules". Unknown fields are errors, as in
promtool, with file and line.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode, read
from watchkeeper.server.rules.loader import read_text
from watchkeeper.server.rules.ruletest.model import (
    AlertTest,
    ExpectedAlert,
    ExpectedSample,
    ExprTest,
    InputSeries,
    RuleTest,
    TestFile,
)
from watchkeeper.server.rules.ruletest.notation import NotationError, metric, values
from watchkeeper.server.rules.treereader import TreeReader
from watchkeeper.vocabulary.limits import limit

__all__ = ["read_tests"]

_FILE = {"rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"}
_TEST = {
    "interval", "name", "start_timestamp", "input_series", "alert_rule_test", "promql_expr_test",
    "external_labels", "external_url",
}  # fmt: skip
_SERIES = {"series", "values"}
_ALERT = {"eval_time", "alertname", "exp_alerts"}
_EXP_ALERT = {"exp_labels", "exp_annotations"}
_EXPR = {"expr", "eval_time", "exp_samples"}
_SAMPLE = {"labels", "value", "histogram"}
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_MINUTE_MS = 60_000

T = TypeVar("T")


def read_tests(path: Path) -> TestFile:
    """Return the tests in the file at *path*.

    Patterns of ``rule_files`` are relative to the file's folder.

    Raises:
        RuleFileError: The file cannot be read or is not a file of unit tests; names the line.
    """
    return _Reader(path).file(read(read_text(path), str(path), kind="a file of unit tests"))


class _Reader(TreeReader):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._file = path

    def file(self, root: Node | None) -> TestFile:
        if root is None or (isinstance(root, ScalarNode) and root.null):
            root = MappingNode((), 1, 1)
        fields = self.mapping(root, "the file", _FILE)
        interval_ms = self.duration(fields, "evaluation_interval") or _MINUTE_MS
        found: dict[Path, None] = {}
        unmatched = []
        for node in self.sequence(fields.get("rule_files"), "rule_files"):
            matches = self._matching(self._item(node, "rule_files"))
            found |= dict.fromkeys(matches)
            if not matches:
                unmatched.append(self._item(node, "rule_files"))
        tests = [
            self._test(node, interval_ms) for node in self.sequence(fields.get("tests"), "tests")
        ]
        return TestFile(
            path=self._file,
            rule_files=tuple(found),
            unmatched=tuple(unmatched),
            evaluation_interval_ms=interval_ms,
            group_eval_order=self._order(fields),
            fuzzy=self._flag(fields, "fuzzy_compare"),
            tests=tuple(tests),
        )

    def _matching(self, pattern: str) -> list[Path]:
        whole = str(self._file.parent / pattern)
        return [Path(name) for name in sorted(glob.glob(whole, include_hidden=True))]  # noqa: PTH207 - absolute patterns too

    def _item(self, node: Node, what: str) -> str:
        if not isinstance(node, ScalarNode):
            self.refuse(node.line, f"an item of {what} is not a text", "a text")
        return node.text

    def _order(self, fields: MappingNode) -> tuple[str, ...]:
        order: dict[str, None] = {}
        for node in self.sequence(fields.get("group_eval_order"), "group_eval_order"):
            name = self._item(node, "group_eval_order")
            if name in order:
                self.refuse(node.line, f"group {name[:80]!r} is given twice", "each group once")
            order[name] = None
        return tuple(order)

    def _flag(self, fields: MappingNode, name: str) -> bool:
        text = self.text(fields, name).lower()
        if text not in {"", "true", "false", "yes", "no", "on", "off"}:
            self.refuse(self.line(fields, name), f"{name} is {text[:40]!r}", "true or false")
        return text in {"true", "yes", "on"}

    def _test(self, node: Node, interval_ms: int) -> RuleTest:
        fields = self.mapping(node, "a test", _TEST)
        given = self.sequence(fields.get("input_series"), "input_series")
        test = RuleTest(
            line=node.line,
            name=self.text(fields, "name"),
            interval_ms=self.duration(fields, "interval") or interval_ms,
            start_ms=self._moment(fields, "start_timestamp"),
            series=tuple(self._series(one) for one in given),
            alerts=tuple(
                self._alert(one)
                for one in self.sequence(fields.get("alert_rule_test"), "alert_rule_test")
            ),
            exprs=tuple(
                self._expr(one)
                for one in self.sequence(fields.get("promql_expr_test"), "promql_expr_test")
            ),
            external_labels=self._texts(fields, "external_labels"),
            external_url=self.text(fields, "external_url"),
        )
        most = limit("rule_test_samples_max")
        if sum(len(one.values.positions) for one in test.series) > most:
            self.refuse(node.line, "the test has too many samples", f"up to {most} in one test")
        return test

    def _moment(self, fields: MappingNode, name: str) -> int:
        text = self.text(fields, name)
        if not text:
            return 0
        if _FLOAT.fullmatch(text):
            return round(float(text) * 1000)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.refuse(
                self.line(fields, name), f"{name} is {text[:60]!r}",
                "Unix seconds, or a time with its zone such as 2026-01-01T00:00:00Z",
            )  # fmt: skip
        return round(moment.timestamp() * 1000)

    def _spelt(self, read_text: Callable[[str], T], fields: MappingNode, name: str) -> T:
        text = self.text(fields, name).strip()
        try:
            if "\n" in text:
                raise NotationError("it has more than one line")  # noqa: TRY301 - one place says it
            return read_text(text)
        except NotationError as error:
            self.refuse(
                self.line(fields, name), f"{name} is {text[:100]!r}: {error}",
                'a metric such as up{job="api"}' if name != "values"
                else "values such as 1 2+3x4 _ stale, on one line",
            )  # fmt: skip

    def _series(self, node: Node) -> InputSeries:
        fields = self.mapping(node, "an input series", _SERIES)
        labels = self._spelt(metric, fields, "series")
        if not labels:
            self.refuse(node.line, "an input series has no labels", "a metric's name, or labels")
        return InputSeries(labels, self._spelt(values, fields, "values"))

    def _alert(self, node: Node) -> AlertTest:
        fields = self.mapping(node, "an item of alert_rule_test", _ALERT)
        name = self.text(fields, "alertname")
        if not name:
            self.refuse(node.line, "an item of alert_rule_test has no alertname", "an alert's name")
        expected = []
        for one in self.sequence(fields.get("exp_alerts"), "exp_alerts"):
            if isinstance(one, ScalarNode) and one.null:
                one = MappingNode((), one.line, 1)  # noqa: PLW2901 - an alert without labels
            wanted = self.mapping(one, "an expected alert", _EXP_ALERT)
            labels = self._texts(wanted, "exp_labels") | {"alertname": name}
            expected.append(ExpectedAlert(labels, self._texts(wanted, "exp_annotations")))
        return AlertTest(node.line, self.duration(fields, "eval_time"), name, tuple(expected))

    def _expr(self, node: Node) -> ExprTest:
        fields = self.mapping(node, "an item of promql_expr_test", _EXPR)
        return ExprTest(
            node.line,
            self.duration(fields, "eval_time"),
            self.text(fields, "expr"),
            tuple(
                self._sample(one) for one in self.sequence(fields.get("exp_samples"), "exp_samples")
            ),
        )

    def _sample(self, node: Node) -> ExpectedSample:
        fields = self.mapping(node, "an expected sample", _SAMPLE)
        labels = self._spelt(metric, fields, "labels")
        return ExpectedSample(labels, self._number(fields), self.text(fields, "histogram"))

    def _number(self, fields: MappingNode) -> float:
        text = self.text(fields, "value").replace("_", "") or "0"
        special = _SPECIAL.get(text.lower())
        if special is not None:
            return float(special)
        if _FLOAT.fullmatch(text):
            return float(text)
        if not re.fullmatch(r"[-+]?0(x[0-9a-fA-F]+|o[0-7]+|b[01]+)", text):
            self.refuse(
                self.line(fields, "value"), f"value is {text[:60]!r}", "a number, .inf or .nan"
            )
        return float(int(text, 0))

    def _texts(self, fields: MappingNode, name: str) -> dict[str, str]:
        node = fields.get(name)
        if node is None or (isinstance(node, ScalarNode) and node.null):
            return {}
        if not isinstance(node, MappingNode):
            self.refuse(node.line, f"{name} is not a mapping", "names and texts")
        found = {}
        for key, value in node.entries:
            if not isinstance(value, ScalarNode):
                self.refuse(value.line, f"{name}.{key[:80]} is not a text", "a text")
            found[key] = "" if value.null else value.text
        return found
