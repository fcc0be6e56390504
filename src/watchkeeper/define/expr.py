"""PromQL text built from vocabulary names, so that a misspelt metric or label cannot be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from watchkeeper.errors import DefinitionError
from watchkeeper.vocabulary.attributes import ATTRIBUTE_BY_NAME
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME
from watchkeeper.vocabulary.model import Kind, label_name

__all__ = [
    "JOB",
    "OR_ZERO",
    "RATE",
    "count",
    "label",
    "legend",
    "mean",
    "quantile",
    "rate",
    "series",
    "share",
    "total",
    "where",
]

JOB = 'job=~"$job"'
"""Matcher for the dashboards' service variable."""

OR_ZERO = " or on() vector(0)"
"""Ends an expression whose series appear with the first event: 0 while there is none at all."""

RATE = "$__rate_interval"
"""The window that fits the chart's step."""

_TARGET_LABELS = {"job", "instance", "le", "alertname", "severity"}


def label(attribute: str) -> str:
    """Return the Prometheus label of a vocabulary attribute, or a label that scraping adds.

    Raises:
        DefinitionError: The vocabulary has no such attribute.
    """
    if attribute in _TARGET_LABELS:
        return attribute
    if attribute not in ATTRIBUTE_BY_NAME:
        raise DefinitionError.explain(
            "an expression names an unknown attribute",
            got=attribute,
            accepted="a name from vocabulary/attributes.py, job, instance or le",
            next_step="correct the name, or declare it there",
        )
    return label_name(attribute)


def where(attribute: str, op: str, value: str) -> str:
    """Return one matcher: ``where("http.route", "=~", "/api/.*")``."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{label(attribute)}{op}"{escaped}"'


def legend(*attributes: str) -> str:
    """Return a legend that shows the values of these labels."""
    return " ".join("{{" + label(attribute) + "}}" for attribute in attributes)


def series(name: str, *matchers: str, part: str = "") -> str:
    """Return a selector of a vocabulary metric.

    Args:
        name: The dotted name.
        *matchers: Matchers as `where` makes them.
        part: ``bucket``, ``sum`` or ``count`` of a histogram; empty otherwise.

    Raises:
        DefinitionError: The metric is unknown, or *part* does not fit its kind.
    """
    metric = METRIC_BY_NAME.get(name)
    if metric is None:
        raise DefinitionError.explain(
            "an expression names an unknown metric",
            got=name,
            accepted="a name from vocabulary/metrics.py",
            next_step="correct the name, or declare the metric there",
        )
    if (metric.kind is Kind.HISTOGRAM) != (part in {"bucket", "sum", "count"}):
        raise DefinitionError.explain(
            f"an expression takes a part that the {metric.kind.value} {name} does not have",
            got=part,
            accepted="bucket, sum or count for a histogram, nothing for other kinds",
            next_step="correct the part",
        )
    full = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
    return f"{full}{{{','.join(matchers)}}}" if matchers else full


def _by(attributes: Iterable[str]) -> str:
    names = [label(attribute) for attribute in attributes]
    return f" by ({', '.join(names)})" if names else ""


def total(selector: str, *, by: Sequence[str] = (), op: str = "sum") -> str:
    """Return an aggregation of *selector*: ``sum by (…) (selector)``."""
    return f"{op}{_by(by)} ({selector})"


def rate(selector: str, *, by: Sequence[str] = (), window: str = RATE) -> str:
    """Return the per-second rate of a counter, summed."""
    return f"sum{_by(by)} (rate({selector}[{window}]))"


def count(name: str, *matchers: str, by: Sequence[str] = (), window: str = RATE) -> str:
    """Return how often a histogram was observed per second."""
    return rate(series(name, *matchers, part="count"), by=by, window=window)


def quantile(
    q: float, name: str, *matchers: str, by: Sequence[str] = (), window: str = RATE
) -> str:
    """Return the *q* quantile of a histogram, estimated from its buckets."""
    buckets = rate(series(name, *matchers, part="bucket"), by=("le", *by), window=window)
    return f"histogram_quantile({q:g}, {buckets})"


def mean(name: str, *matchers: str, by: Sequence[str] = (), window: str = RATE) -> str:
    """Return the mean of a histogram's observations."""
    over = rate(series(name, *matchers, part="sum"), by=by, window=window)
    return f"{over} / {count(name, *matchers, by=by, window=window)}"


def share(part: str, whole: str) -> str:
    """Return *part* / *whole*, 0 where *part* has no series although *whole* has one."""
    return f"({part} or {whole} * 0) / {whole}"
