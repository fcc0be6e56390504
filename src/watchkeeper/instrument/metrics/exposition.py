"""Families as Prometheus text 0.0.4 and OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

from watchkeeper.instrument.metrics.cells import numbers
from watchkeeper.instrument.metrics.families import (
    CounterFamily,
    GaugeFamily,
    HistogramFamily,
    label_block,
)
from watchkeeper.instrument.metrics.totals import Totals
from watchkeeper.vocabulary.model import Kind, Metric

__all__ = ["OPENMETRICS_TYPE", "TEXT_TYPE", "prefers_openmetrics", "render", "render_totals"]

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_TYPE = {
    Kind.COUNTER: "counter",
    Kind.UPDOWN: "gauge",
    Kind.GAUGE: "gauge",
    Kind.HISTOGRAM: "histogram",
}
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}

AnyFamily = CounterFamily | GaugeFamily | HistogramFamily
_Row = tuple[str, list[float], Sequence[Any] | None]
"""Labels, cells and exemplars of one series of a histogram."""


def prefers_openmetrics(accept: str) -> bool:
    """Tell whether an ``Accept`` header ranks OpenMetrics above plain text.

    A tie goes to OpenMetrics, which alone carries exemplars. A header that names neither gets text.
    """
    ranks = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        kind, *parameters = (part.strip() for part in item.lower().split(";"))
        if kind in ranks:
            ranks[kind] = max(ranks[kind], _quality(parameters))
    openmetrics = ranks["application/openmetrics-text"]
    return openmetrics > 0.0 and openmetrics >= ranks["text/plain"]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def render(
    families: Iterable[AnyFamily], *, openmetrics: bool, failed: Callable[[Exception], None]
) -> list[str]:
    """Return the text of *families*, in pieces, without OpenMetrics' closing ``# EOF``.

    Args:
        families: What to show; a family without series is left out.
        openmetrics: OpenMetrics 1.0 instead of Prometheus text 0.0.4.
        failed: Called for each callback that raised; its series is left out, the rest is shown.
    """
    out: list[str] = []
    for family in families:
        if isinstance(family, HistogramFamily):
            rows = [(one.prefix, numbers(one.cells), one.exemplars) for one in family.series()]
            lines = _histogram_lines(family.metric, rows, openmetrics=openmetrics)
        else:
            lines = _value_lines(family, failed)
        if lines:
            out.append(_header(family.metric, openmetrics=openmetrics))
            out.extend(lines)
    return out


def render_totals(totals: Totals, *, openmetrics: bool) -> list[str]:
    """Return the text of what several processes have counted, in pieces, without ``# EOF``."""
    out: list[str] = []
    for metric, family in totals.families():
        if metric.kind is Kind.HISTOGRAM:
            exemplars = totals.exemplars.get(metric.name, {})
            rows = [(labels, cells, exemplars.get(labels)) for labels, cells in family.items()]
            lines = _histogram_lines(metric, rows, openmetrics=openmetrics)
        else:
            wire = metric.prometheus_name
            lines = [
                f"{wire}{{{labels}}} {_number(cells[0])}\n"
                if labels
                else f"{wire} {_number(cells[0])}\n"
                for labels, cells in family.items()
            ]
        out.append(_header(metric, openmetrics=openmetrics))
        out.extend(lines)
    return out


def _header(metric: Metric, *, openmetrics: bool) -> str:
    name = metric.prometheus_name
    text = metric.brief.replace("\\", r"\\").replace("\n", r"\n")
    if not openmetrics:
        return f"# HELP {name} {text}\n# TYPE {name} {_TYPE[metric.kind]}\n"
    name = name.removesuffix("_total") if metric.kind is Kind.COUNTER else name
    quoted = text.replace('"', r"\"")
    header = f"# HELP {name} {quoted}\n# TYPE {name} {_TYPE[metric.kind]}\n"
    unit = metric.unit_word
    return f"{header}# UNIT {name} {unit}\n" if unit else header


def _number(value: float) -> str:
    text = repr(value)
    return _SPECIAL.get(text, text)


def _value_lines(
    family: CounterFamily | GaugeFamily, failed: Callable[[Exception], None]
) -> list[str]:
    lines = []
    for child in family.series():
        try:
            lines.append(f"{child.prefix}{_number(child.read())}\n")
        except Exception as error:  # noqa: BLE001 - a callback of the application may raise anything
            failed(error)
    if family.collect is not None:
        try:
            lines += [
                f"{family.prefix(label_block(family.label_names, values))}{_number(value)}\n"
                for values, value in family.collect().items()
            ]
        except Exception as error:  # noqa: BLE001 - likewise
            failed(error)
    return lines


def _histogram_lines(metric: Metric, rows: Iterable[_Row], *, openmetrics: bool) -> list[str]:
    name = metric.prometheus_name
    tails = [f'{_number(float(bound))}"}} ' for bound in (*metric.buckets, float("inf"))]
    lines: list[str] = []
    for labels, cells, exemplars in rows:
        total = cells[-1]
        running = list(map(int, accumulate(cells[:-1])))
        head = f'{name}_bucket{{{labels},le="' if labels else f'{name}_bucket{{le="'
        if openmetrics and exemplars is not None:
            lines += [
                f"{head}{tail}{count}{_exemplar(exemplar)}\n"
                for tail, count, exemplar in zip(tails, running, exemplars, strict=True)
            ]
        else:
            lines += [f"{head}{tail}{count}\n" for tail, count in zip(tails, running, strict=True)]
        block = f"{{{labels}}}" if labels else ""
        lines.append(f"{name}_sum{block} {_number(total)}\n{name}_count{block} {running[-1]}\n")
    return lines


def _exemplar(exemplar: Sequence[Any] | None) -> str:
    if exemplar is None:
        return ""
    value, trace_id, span_id, at_ns = exemplar
    return (
        f' # {{trace_id="{trace_id:032x}",span_id="{span_id:016x}"}} '
        f"{_number(value)} {at_ns / 1e9:.3f}"
    )
