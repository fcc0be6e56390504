"""Reads SLO files strictly: what is unknown, missing or impossible is an error with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from watchkeeper.define.dashboards.shipped import DASHBOARDS
from watchkeeper.define.slo import Availability, Events, Latency, Ratio, Slo, rules_per_slo
from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode, SequenceNode, read
from watchkeeper.errors import RuleFileError
from watchkeeper.vocabulary.limits import limit
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME

__all__ = ["read_slos"]

_KINDS = ("availability", "latency", "ratio")
_FIELDS = {"name", "objective", "window", "labels", "least_failures", *_KINDS}
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_TAKEN = {"alertname", "alertstate", "severity", "slo", "long_window", "short_window"}
_WINDOWS = ("28d", "30d")
_LEAST = Decimal(90)
_BUCKETS = METRIC_BY_NAME["http.server.request.duration"].buckets


def read_slos(text: str, path: str, check_expr: Callable[[str], object]) -> tuple[Slo, ...]:
    """Return the objectives in *text*.

    Args:
        text: YAML: a mapping whose field ``slos`` is a list; its fields are those of `Slo`.
        path: Shown in errors.
        check_expr: Raises an exception for a text that is not PromQL.

    Raises:
        RuleFileError: The text is not YAML or not such a mapping, an objective cannot be met or
            alerted on, a name is given twice, or there would be more rules than ``rules_max``. The
            message names the line.
    """
    reader = _Reader(path, check_expr)
    return reader.slos(read(text, path, kind="an SLO file"))


class _Reader:
    def __init__(self, path: str, check_expr: Callable[[str], object]) -> None:
        self._path = path
        self._check_expr = check_expr

    def slos(self, root: Node | None) -> tuple[Slo, ...]:
        if root is None:
            self._refuse(1, "the file is empty", "a list of objectives under slos")
        fields = self._mapping(root, "the file", {"slos"})
        items = fields.get("slos")
        if not isinstance(items, SequenceNode) or not items.items:
            self._refuse(fields.line, "there are no objectives", "a list under slos")
        most = limit("rules_max") // rules_per_slo()
        if len(items.items) > most:
            self._refuse(items.line, f"there are {len(items.items)} objectives", f"up to {most}")
        found: dict[str, Slo] = {}
        for item in items.items:
            slo = self._slo(item)
            if slo.name in found:
                self._refuse(item.line, f"the name {slo.name!r} is given twice", "distinct names")
            found[slo.name] = slo
        return tuple(found.values())

    def _slo(self, node: Node) -> Slo:
        fields = self._mapping(node, "an objective", _FIELDS)
        name = self._text(fields, "name", required=True)
        if not _NAME.fullmatch(name):
            self._refuse(
                self._line(fields, "name"), f"the name is {name[:80]!r}",
                "up to 63 of the characters a-z, 0-9, - and _, the first and last not - or _",
            )  # fmt: skip
        window = self._text(fields, "window") or "30d"
        if window not in _WINDOWS:
            self._refuse(
                self._line(fields, "window"),
                f"the window is {window[:80]!r}",
                " or ".join(_WINDOWS),
            )
        return Slo(
            name=name,
            objective=self._objective(fields),
            events=self._events(fields),
            window=window,
            labels=self._labels(fields),
            least_failures=self._least_failures(fields),
        )

    def _objective(self, fields: MappingNode) -> Decimal:
        text = self._text(fields, "objective", required=True)
        try:
            objective = Decimal(text.removesuffix("%").strip())
        except InvalidOperation:
            objective = Decimal("nan")
        if not (objective.is_finite() and _LEAST <= objective < 100):
            self._refuse(
                self._line(fields, "objective"), f"the objective is {text[:80]!r}",
                f"percent, from {_LEAST} to below 100; with 100 there is no budget to spend, and "
                f"below {_LEAST} no pace of spending it would page",
            )  # fmt: skip
        return objective

    def _least_failures(self, fields: MappingNode) -> int:
        text = self._text(fields, "least_failures") or "5"
        if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
            self._refuse(
                self._line(fields, "least_failures"), f"least_failures is {text[:80]!r}",
                "a whole number from 1",
            )  # fmt: skip
        return int(text)

    def _events(self, fields: MappingNode) -> Events:
        given = [kind for kind in _KINDS if fields.get(kind) is not None]
        if len(given) != 1:
            self._refuse(
                fields.line, f"the objective has {' and '.join(given) or 'nothing to measure'}",
                f"exactly one of {', '.join(_KINDS)}",
            )  # fmt: skip
        node = fields.get(given[0])
        if node is None or given[0] == "ratio":
            return self._ratio(node or fields)
        if given[0] == "availability":
            only = MappingNode((), node.line, 1)
            if not (isinstance(node, ScalarNode) and node.null):
                only = self._mapping(node, "availability", {"job", "route"})
            return Availability(self._text(only, "job"), self._text(only, "route"))
        chosen = self._mapping(node, "latency", {"job", "route", "threshold"})
        return Latency(
            self._threshold(chosen), self._text(chosen, "job"), self._text(chosen, "route")
        )

    def _threshold(self, fields: MappingNode) -> float:
        text = self._text(fields, "threshold", required=True)
        try:
            threshold = float(text.removesuffix("s"))
        except ValueError:
            threshold = -1.0
        if threshold not in _BUCKETS:
            self._refuse(
                self._line(fields, "threshold"), f"the threshold is {text[:80]!r}",
                "seconds that are a bound of the histogram: "
                + ", ".join(f"{bound:g}" for bound in _BUCKETS),
            )  # fmt: skip
        return threshold

    def _ratio(self, node: Node) -> Ratio:
        fields = self._mapping(node, "ratio", {"good", "total", "dashboard"})
        place = self._text(fields, "dashboard")
        places = {
            f"{board.uid}#{panel.id}"
            for board in DASHBOARDS
            for row in board.rows
            for panel in row.panels
        }
        if place and place not in places | {board.uid for board in DASHBOARDS}:
            self._refuse(
                self._line(fields, "dashboard"), f"the dashboard is {place[:80]!r}",
                "the uid of a dashboard, or uid#panel, such as work#job-outcomes",
            )  # fmt: skip
        return Ratio(self._expr(fields, "good"), self._expr(fields, "total"), place)

    def _expr(self, fields: MappingNode, name: str) -> str:
        text = self._text(fields, name, required=True).strip()
        line = self._line(fields, name)
        if "$window" not in text:
            self._refuse(
                line, f"{name} has no $window: {text[:80]!r}",
                "PromQL that counts the events of $window, such as "
                'sum(increase(agent_runs_total{agent_outcome="success"}[$window]))',
            )  # fmt: skip
        try:
            self._check_expr(text.replace("$window", "5m"))
        except Exception as error:  # noqa: BLE001 - whatever the parser raises is told with the line
            self._refuse(line, f"{name} is not PromQL: {error}", "a PromQL expression")
        return text

    def _labels(self, fields: MappingNode) -> Mapping[str, str]:
        node = fields.get("labels")
        if node is None or (isinstance(node, ScalarNode) and node.null):
            return {}
        if not isinstance(node, MappingNode):
            self._refuse(node.line, "labels is not a mapping", "names and texts")
        for name, value in node.entries:
            if not _LABEL.fullmatch(name) or name.startswith("__") or name in _TAKEN:
                self._refuse(
                    value.line, f"labels has the name {name[:80]!r}",
                    f"a label name, but none of {', '.join(sorted(_TAKEN))}",
                )  # fmt: skip
        return {name: self._text(node, name, required=True) for name, _ in node.entries}

    def _mapping(self, node: Node, what: str, known: set[str]) -> MappingNode:
        if not isinstance(node, MappingNode):
            self._refuse(node.line, f"{what} is not a mapping", ", ".join(sorted(known)))
        for name, value in node.entries:
            if name not in known:
                self._refuse(
                    value.line, f"{what} has the unknown field {name[:80]!r}",
                    ", ".join(sorted(known)),
                )  # fmt: skip
        return node

    def _text(self, fields: MappingNode, name: str, *, required: bool = False) -> str:
        node = fields.get(name)
        if node is None or (isinstance(node, ScalarNode) and (node.null or not node.text)):
            if required:
                line = fields.line if node is None else node.line
                self._refuse(line, f"{name} is missing", f"a text for {name}")
            return ""
        if not isinstance(node, ScalarNode):
            self._refuse(node.line, f"{name} is not a text", "a text")
        return node.text

    def _line(self, fields: MappingNode, name: str) -> int:
        node = fields.get(name)
        return fields.line if node is None else node.line

    def _refuse(self, line: int, what: str, accepted: str) -> NoReturn:
        raise RuleFileError(
            f"{self._path}:{line}: {what}. Accepted: {accepted}. Next: correct the file."
        )
