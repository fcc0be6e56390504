"""The closed tables agree with themselves, with OpenTelemetry, and with the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from tests.corpora import corpus
from tests.house.rooms import ROOT

from watchkeeper.vocabulary.attributes import ATTRIBUTE_BY_NAME, ATTRIBUTES
from watchkeeper.vocabulary.events import EVENTS
from watchkeeper.vocabulary.limits import LIMITS
from watchkeeper.vocabulary.metrics import METRICS
from watchkeeper.vocabulary.model import Kind, Origin
from watchkeeper.vocabulary.reference import telemetry_page
from watchkeeper.vocabulary.spans import SPANS

UNITS = {"USD"}
"""Units of ours that UCUM lacks."""


def entries() -> Iterator[dict[str, Any]]:
    """Yield every group and attribute of the semantic conventions' registry."""
    for path in sorted(corpus("semconv").rglob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key in ("groups", "attributes", "metrics", "attribute_groups", "spans", "events"):
            yield from document.get(key, []) if isinstance(document, dict) else []


def registry() -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the registry's metrics by name, and its attribute names."""
    metrics: dict[str, dict[str, Any]] = {}
    attributes: set[str] = set()
    for entry in entries():
        name = entry.get("metric_name") or (entry.get("name") if "instrument" in entry else None)
        if name:
            metrics[name] = entry
        for attribute in [entry, *entry.get("attributes", [])]:
            for key in ("id", "key", "ref"):
                if isinstance(attribute.get(key), str):
                    attributes.add(attribute[key])
    return metrics, attributes


def test_names_are_given_once() -> None:
    """No metric, attribute or event is declared twice."""
    for names in (
        [metric.name for metric in METRICS],
        [metric.prometheus_name for metric in METRICS],
        [attribute.name for attribute in ATTRIBUTES],
        [event.name for event in EVENTS],
    ):
        assert sorted(set(names)) == sorted(names)


def test_labels_and_attributes_are_declared() -> None:
    """Every label, span attribute and event attribute is in the attribute table."""
    used = {label for metric in METRICS for label in metric.labels}
    used |= {name for span in SPANS for name in span.attributes}
    used |= {name for event in EVENTS for name in event.attributes}

    assert set() == used - set(ATTRIBUTE_BY_NAME)


def test_histograms_have_ascending_buckets() -> None:
    """Histograms declare their buckets in order; nothing else declares any."""
    for metric in METRICS:
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
        assert sorted(set(metric.buckets)) == list(metric.buckets)


def test_metrics_of_opentelemetry_are_in_its_registry() -> None:
    """A metric claimed to be OpenTelemetry's has its name, unit and instrument."""
    known, _ = registry()
    instruments = {
        Kind.COUNTER: "counter",
        Kind.UPDOWN: "updowncounter",
        Kind.GAUGE: "gauge",
        Kind.HISTOGRAM: "histogram",
    }
    for metric in METRICS:
        if metric.origin is not Origin.SEMCONV:
            continue
        assert metric.name in known
        assert instruments[metric.kind] == known[metric.name]["instrument"]
        assert metric.unit == known[metric.name]["unit"]


def test_attributes_of_opentelemetry_are_in_its_registry() -> None:
    """An attribute claimed to be OpenTelemetry's exists there under that name."""
    _, known = registry()
    claimed = {entry.name for entry in ATTRIBUTES if entry.origin is Origin.SEMCONV}

    assert set() == claimed - known


def test_own_names_stay_out_of_opentelemetrys_namespaces() -> None:
    """A name of ours does not begin with a namespace of the conventions."""
    taken = ("http", "db", "gen_ai", "messaging", "faas", "rpc", "otel", "process", "system")
    own = [metric.name for metric in METRICS if metric.origin is Origin.OWN]
    own += [attribute.name for attribute in ATTRIBUTES if attribute.origin is Origin.OWN]

    assert [name for name in own if name.split(".")[0] in taken] == []


def test_every_limit_has_a_reason_and_a_positive_default() -> None:
    """A limit bounds something and says how refusals are counted."""
    for entry in LIMITS.values():
        assert entry.default > 0
        assert re.fullmatch(r"[a-z_]+", entry.reason)


def test_the_reference_page_is_current() -> None:
    """docs/reference/telemetry.md is what the tables generate (``make docs`` writes it)."""
    page = ROOT / "docs" / "reference" / "telemetry.md"

    assert telemetry_page() == page.read_text(encoding="utf-8")
