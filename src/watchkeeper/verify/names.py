"""Whether everything that is declared is alive, and every metric that lives is declared."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from watchkeeper.vocabulary.events import EVENTS
from watchkeeper.vocabulary.metrics import METRIC_BY_SERIES, METRICS

__all__ = ["EVENTS_MAY_BE_UNSEEN", "MAY_BE_UNSEEN", "undeclared", "unseen", "unseen_events"]

_PROMETHEUS_OWN = ("up", "scrape_", "ALERTS")
"""Series that Prometheus and its rules make by themselves."""

MAY_BE_UNSEEN = MappingProxyType(
    {
        "watchkeeper.hook.errors": "an error in watchkeeper itself",
        "watchkeeper.server.duplicate_batches": "an acknowledgement that got lost on its way",
        "watchkeeper.server.quarantined": "a file that was damaged",
        "watchkeeper.server.refused": "telemetry beyond a limit of the server",
        "watchkeeper.server.rule.iterations_missed": "rules that take longer than their interval",
        "watchkeeper.server.scrape.failures": "a page of metrics that could not be read",
        "watchkeeper.telemetry.truncated": "a value beyond a limit of the application",
    }
)
"""Metrics that appear only when telemetry itself fails, and what has to happen for that."""

EVENTS_MAY_BE_UNSEEN = MappingProxyType(
    {"log.levels": "an operator who changes the levels of loggers"}
)
"""Events that need a person, and what that person would have to do."""


def undeclared(names: Iterable[str]) -> list[str]:
    """Return those of the *names* of series that the vocabulary does not declare."""
    return sorted(name for name in names if not _declared(name))


def unseen(names: Iterable[str]) -> list[str]:
    """Return the declared metrics of which the *names* of series hold none."""
    seen = set(names)
    return sorted(metric.name for metric in METRICS if not seen & set(metric.series_names))


def unseen_events(names: Iterable[str]) -> list[str]:
    """Return the declared log events that are not among *names*."""
    seen = set(names)
    return sorted(event.name for event in EVENTS if event.name not in seen)


def _declared(name: str) -> bool:
    # Colons are for what recording rules make (Prometheus, "Metric names and labels").
    if name in METRIC_BY_SERIES or name.startswith(_PROMETHEUS_OWN) or ":" in name:
        return True
    base = name.removesuffix("_created")  # prometheus_client's time of a series' start
    return base != name and any(f"{base}{end}" in METRIC_BY_SERIES for end in ("_total", "_count"))
