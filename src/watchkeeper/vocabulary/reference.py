"""The reference page of everything that is emitted, made from the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from watchkeeper.vocabulary.attributes import ATTRIBUTES
from watchkeeper.vocabulary.events import EVENTS
from watchkeeper.vocabulary.limits import LIMITS
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME, METRICS
from watchkeeper.vocabulary.model import Limit, Metric
from watchkeeper.vocabulary.spans import SPANS

__all__ = ["telemetry_page"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _metric_rows(emitter: str) -> Iterable[Sequence[str]]:
    for metric in METRICS:
        if metric.emitter == emitter:
            yield (
                f"`{metric.prometheus_name}`",
                f"`{metric.name}`",
                metric.kind.value,
                f"`{metric.unit}`" if metric.unit else "",
                _code(metric.label_names),
                _origin(metric),
                metric.stability,
                str(metric.series_max),
                metric.brief,
            )


def _origin(metric: Metric) -> str:
    return metric.origin.value


def _counted(entry: Limit) -> str:
    metric = METRIC_BY_NAME.get(entry.where)
    if metric is None:
        return entry.where
    label = f'{{reason="{entry.reason}"}}' if entry.reason else ""
    return f"`{metric.prometheus_name}{label}`"


def telemetry_page() -> str:
    """Return docs/reference/telemetry.md as text, with a final line break."""
    metric_head = (
        "Prometheus name",
        "Name",
        "Kind",
        "Unit",
        "Labels",
        "Meaning from",
        "Stability",
        "Series at most",
        "What it says",
    )
    lines = [
        "# Telemetry reference",
        "",
        "Everything that watchkeeper emits.",
        "This page is generated from `watchkeeper.vocabulary`; `make docs` writes it anew.",
        "",
        "## Metrics of the application",
        "",
        *_table(metric_head, _metric_rows("application")),
        "## Metrics of the embedded server",
        "",
        *_table(metric_head, _metric_rows("server")),
        "## Histogram buckets",
        "",
        *_table(
            ("Name", "Upper bounds"),
            (
                (f"`{metric.name}`", ", ".join(f"{bound:g}" for bound in metric.buckets))
                for metric in METRICS
                if metric.buckets
            ),
        ),
        "## Spans",
        "",
        *_table(
            ("Name", "Kind", "What it says", "Attributes", "Meaning from"),
            ((f"`{s.name}`", s.kind, s.brief, _code(s.attributes), s.origin.value) for s in SPANS),
        ),
        "## Log events",
        "",
        *_table(
            ("Event", "Level", "What it says", "Attributes"),
            ((f"`{e.name}`", e.level, e.brief, _code(e.attributes)) for e in EVENTS),
        ),
        "## Attributes",
        "",
        *_table(
            ("Name", "Type", "Values", "Meaning from", "What it says"),
            ((f"`{a.name}`", a.type, _code(a.values), a.origin.value, a.brief) for a in ATTRIBUTES),
        ),
        "## Limits",
        "",
        *_table(
            ("Name", "Default", "Unit", "Where refusals are told", "What it bounds"),
            (
                (
                    f"`{entry.name}`",
                    f"{entry.default:,}",
                    entry.unit,
                    _counted(entry),
                    f"{entry.brief} No setting: {entry.fixed}." if entry.fixed else entry.brief,
                )
                for entry in LIMITS.values()
            ),
        ),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
