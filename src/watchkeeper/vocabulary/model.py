"""The types that the closed tables are written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Attribute",
    "Event",
    "Kind",
    "Limit",
    "Merge",
    "Metric",
    "Origin",
    "Span",
    "label_name",
]

_UNIT_WORDS = {"s": "seconds", "By": "bytes", "USD": "usd"}
"""Units that become a word in a Prometheus name, by OpenTelemetry's compatibility document."""


class Kind(Enum):
    """What a metric measures and how Prometheus shows it."""

    COUNTER = "counter"
    UPDOWN = "updown"
    """A sum that goes up and down; Prometheus shows it as a gauge."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(Enum):
    """How the values that several processes have for one series become one."""

    SUM = "sum"
    """Counters, histograms, and gauges of what each process holds for itself."""
    MAX = "max"
    """The largest of the living processes: the worst one, or something that all of them see."""
    MIN = "min"
    """The smallest of the living processes: whether all of them agree that something is well."""
    MAX_EVER = "max, kept"
    """The largest that any process had, also one that is gone: the time of a last success."""


class Origin(Enum):
    """Who gave a name its meaning."""

    SEMCONV = "OpenTelemetry semantic conventions"
    """Checked against the registry of the semantic conventions."""
    SEMCONV_GENAI = "OpenTelemetry semantic conventions for generative AI"
    """Published in their own repository since core 1.42, so the core registry may lack it."""
    OWN = "watchkeeper"


def label_name(attribute: str) -> str:
    """Return the Prometheus label for an attribute name: ``http.route`` becomes ``http_route``."""
    return re.sub(r"[^a-zA-Z0-9_]+", "_", attribute)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of spans, log events or metrics."""

    name: str
    type: str
    """``str``, ``int``, ``float``, ``bool`` or ``str[]``."""
    brief: str
    origin: Origin = Origin.SEMCONV
    values: tuple[str, ...] = ()
    """The closed set of values, or empty if the values are open."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what is emitted, shown, charted and alerted on under this name."""

    name: str
    """The dotted OpenTelemetry name."""
    kind: Kind
    unit: str
    """The UCUM unit: ``s``, ``By``, ``{token}``, ``1``, or ``USD``."""
    brief: str
    labels: tuple[str, ...] = ()
    """Attribute names; `label_name` gives their Prometheus form."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram without ``+Inf``, in the unit above."""
    origin: Origin = Origin.SEMCONV
    stability: str = "stable"
    """``stable`` or ``development``."""
    series_max: int = 2_000
    """Series that one process may create; the rest fold into one overflow series."""
    emitter: str = "application"
    """``application`` (in the instrumented process) or ``server`` (the embedded engine)."""
    merge: Merge = Merge.SUM
    """How the workers of a group add up. Only a `Kind.GAUGE` has a choice, and must make it."""

    @property
    def unit_word(self) -> str:
        """The unit as Prometheus and OpenMetrics spell it, or "" where they show none."""
        if self.unit == "1" and self.kind is Kind.GAUGE:
            return "ratio"
        return _UNIT_WORDS.get(self.unit, "")

    @property
    def prometheus_name(self) -> str:
        """The family name on the wire, without ``_bucket``, ``_sum`` and ``_count``.

        Rules: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md.
        """
        base = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_:]", "_", self.name)).strip("_")
        word = self.unit_word
        if word and not base.endswith(f"_{word}"):
            base = f"{base}_{word}"
        if self.kind is Kind.COUNTER and not base.endswith("_total"):
            base = f"{base}_total"
        return base

    @property
    def label_names(self) -> tuple[str, ...]:
        """The Prometheus label names, in declared order."""
        return tuple(label_name(attribute) for attribute in self.labels)

    @property
    def series_names(self) -> tuple[str, ...]:
        """Every ``__name__`` that this metric puts on the wire."""
        name = self.prometheus_name
        if self.kind is Kind.HISTOGRAM:
            return (f"{name}_bucket", f"{name}_sum", f"{name}_count")
        return (name,)


@dataclass(frozen=True, slots=True)
class Span:
    """One kind of span."""

    key: str
    """Our handle, for documentation."""
    name: str
    """The name's pattern, attributes in braces."""
    kind: str
    """``server``, ``client``, ``internal``, ``producer`` or ``consumer``."""
    brief: str
    attributes: tuple[str, ...]
    origin: Origin = Origin.SEMCONV


@dataclass(frozen=True, slots=True)
class Event:
    """One named log event."""

    name: str
    level: str
    brief: str
    attributes: tuple[str, ...]
    origin: Origin = Origin.OWN


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on something, and where it is told what it refused."""

    name: str
    default: int
    unit: str
    brief: str
    """What is bounded, and what happens beyond it."""
    reason: str = ""
    """The ``reason`` under which `where` counts refusals; empty where no such label tells them."""
    where: str = "watchkeeper.telemetry.dropped"
    """Name of the metric that counts refusals, or words on why none does."""
    fixed: str = ""
    """Why no setting changes it; empty if one does."""
