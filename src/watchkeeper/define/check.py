"""Whether dashboards and rules agree with the vocabulary and with themselves.

Needs the parser of the ``server`` extra. Definitions are ours, so their text is trusted here;
rule files that come from outside are read by ``watchkeeper.server.rules``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import promql_parser as pp

from watchkeeper.define.dimension import dimension, fits
from watchkeeper.define.model import AlertRule, Dashboard, Panel, RecordingRule, RuleGroup
from watchkeeper.vocabulary.metrics import METRIC_BY_SERIES

__all__ = ["problems", "selectors"]

_TARGET = {"job", "instance"}
_ALERT = {"alertname", "alertstate", "severity"}
_SCRAPED = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
}
_LEGEND_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_TEMPLATE_LABEL = re.compile(r"\$labels\.(\w+)")
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)\Z")


def problems(dashboards: Sequence[Dashboard], groups: Sequence[RuleGroup]) -> list[str]:
    """Return what is wrong with the definitions, one sentence each; empty if nothing is.

    Checked: expressions parse; every metric and label is in the vocabulary (or is made by
    scraping or by rule evaluation); labels named in legends and alert texts exist on the
    series; units fit where the expression decides them; ids are unique; thresholds ascend; alerts link to
    panels that exist.
    """
    recorded: dict[str, set[str]] = {}
    for group in groups:
        for rule in group.rules:
            if isinstance(rule, RecordingRule):
                recorded.setdefault(rule.record, set()).update(rule.labels)
    uids = [board.uid for board in dashboards]
    found = [f"dashboard uid {uid} is used twice" for uid in _repeated(uids)]
    for board in dashboards:
        found += [f"{board.uid}: {text}" for text in _dashboard(board, recorded)]
    places = set(uids) | {
        f"{board.uid}#{panel.id}"
        for board in dashboards
        for row in board.rows
        for panel in row.panels
    }
    for group in groups:
        found += [f"{group.name}: {text}" for text in _group(group, recorded, places)]
    return found


def selectors(expr: str) -> list[tuple[str, set[str]]]:
    """Return the metric name and the matchers' label names of every selector in *expr*.

    Raises:
        ValueError: The expression does not parse.
    """
    return [
        (node.name or "", {matcher.name for matcher in node.matchers.matchers})
        for node in _nodes(pp.parse(_filled(expr)))
        if isinstance(node, pp.VectorSelector)
    ]


def _filled(expr: str) -> str:
    return expr.replace("$__rate_interval", "5m").replace("$__range", "1h")


def _nodes(expr: pp.Expr) -> list[pp.Expr]:
    found: list[pp.Expr] = []
    pp.walk(expr, pre_visit=found.append)
    return found


def _repeated(names: Sequence[str]) -> Iterator[str]:
    yield from sorted({name for name in names if names.count(name) > 1})


def _labels_of(series: str, recorded: Mapping[str, set[str]]) -> set[str] | None:
    """Return the labels that *series* may carry, or None if there is no such series."""
    if series in _SCRAPED:
        return _TARGET
    if series in {"ALERTS", "ALERTS_FOR_STATE"}:
        return _ALERT
    if series in recorded:
        return _TARGET | recorded[series]
    metric = METRIC_BY_SERIES.get(series)
    if metric is None:
        return None
    bucket = {"le"} if series.endswith("_bucket") else set[str]()
    return {*metric.label_names, *_TARGET, *bucket}


def _expr(expr: str, recorded: Mapping[str, set[str]]) -> tuple[list[str], set[str]]:
    """Return the problems of *expr* and the labels that its series may carry."""
    try:
        nodes = _nodes(pp.parse(_filled(expr)))
    except ValueError as error:
        return [f"does not parse ({error}): {expr}"], set()
    found: list[str] = []
    known: set[str] = set()
    for node in nodes:
        if isinstance(node, pp.VectorSelector):
            labels = _labels_of(node.name or "", recorded)
            if labels is None:
                found.append(f"metric {node.name} is not in the vocabulary: {expr}")
                continue
            known |= labels
            found += [
                f"{node.name} has no label {matcher.name}: {expr}"
                for matcher in node.matchers.matchers
                if matcher.name not in labels
            ]
        if isinstance(node, pp.Call) and node.func.name in {"label_replace", "label_join"}:
            known.add(str(getattr(node.args[1], "val", "")))
    for name in _grouping(nodes):
        if name not in known:
            found.append(f"no series here has the label {name}: {expr}")
    return found, known


def _grouping(nodes: Iterable[pp.Expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, pp.AggregateExpr) and node.modifier is not None:
            yield from node.modifier.labels
        if isinstance(node, pp.BinaryExpr) and node.modifier is not None:
            yield from node.modifier.matching.labels if node.modifier.matching else ()
            yield from node.modifier.group_labels or ()


def _dashboard(board: Dashboard, recorded: Mapping[str, set[str]]) -> Iterator[str]:
    panels = [panel for row in board.rows for panel in row.panels]
    yield from (f"panel id {name} is used twice" for name in _repeated([p.id for p in panels]))
    for variable in board.variables:
        match = _LABEL_VALUES.fullmatch(variable.query)
        if match is None:
            yield f"variable {variable.name}: not label_values(series, label): {variable.query}"
            continue
        found, known = _expr(match[1], recorded)
        yield from (f"variable {variable.name}: {text}" for text in found)
        if match[2] not in known:
            yield f"variable {variable.name}: no series there has the label {match[2]}"
    for row in board.rows:
        if not row.question.endswith("?"):
            yield f"row {row.title} asks no question"
    for panel in panels:
        yield from (f"{panel.id}: {text}" for text in _panel(panel, recorded))


def _panel(panel: Panel, recorded: Mapping[str, set[str]]) -> Iterator[str]:
    if not 1 <= panel.width <= 12:
        yield f"width {panel.width} is not 1 to 12"
    values = [threshold.value for threshold in panel.thresholds]
    if values != sorted(values):
        yield "thresholds do not ascend"
    for query in panel.queries:
        found, known = _expr(query.expr, recorded)
        yield from found
        for name in _LEGEND_LABEL.findall(query.legend):
            if name not in known:
                yield f"the legend names {name}, which no series there has"
        if not found:
            measured = dimension(pp.parse(_filled(query.expr)))
            if measured is not None and not fits(panel.unit, measured):
                yield f"unit {panel.unit.value} does not fit {measured}: {query.expr}"


def _group(group: RuleGroup, recorded: Mapping[str, set[str]], places: set[str]) -> Iterator[str]:
    for rule in group.rules:
        name = rule.name if isinstance(rule, AlertRule) else rule.record
        found, known = _expr(rule.expr, recorded)
        yield from (f"{name}: {text}" for text in found)
        if isinstance(rule, AlertRule):
            texts = f"{rule.summary} {rule.description}"
            for used in _TEMPLATE_LABEL.findall(texts):
                if used not in known:
                    yield f"{name}: its text names the label {used}, which no series there has"
            if rule.dashboard and rule.dashboard not in places:
                yield f"{name}: no dashboard or panel {rule.dashboard}"
