"""The closed tables agree with themselves, with OpenTelemetry, and with the documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import yaml
from tests.corpora import corpus
from tests.house.rooms import ROOT, modules

from watchkeeper.instrument.settings import TABLE
from watchkeeper.vocabulary.attributes import ATTRIBUTE_BY_NAME, ATTRIBUTES
from watchkeeper.vocabulary.events import EVENTS
from watchkeeper.vocabulary.limits import APPLICATION_LIMITS, LIMITS
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME, METRICS
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


def test_every_limit_counts_what_it_refuses_or_says_why_not() -> None:
    """A limit names a reason of a declared metric, a declared metric, or says where else it tells."""
    for entry in LIMITS.values():
        assert entry.default > 0
        metric = METRIC_BY_NAME.get(entry.where)
        if entry.reason:
            assert re.fullmatch(r"[a-z_]+", entry.reason)
            assert metric is not None, entry
            assert "reason" in metric.labels
        elif metric is None:
            assert " " in entry.where, f"{entry.where} is neither a metric nor words"


def test_every_reason_of_a_limit_is_counted_by_code() -> None:
    """The code has the reason of each limit, as a literal or taken from the table, and its metric."""
    literals: set[str] = set()
    taken: set[str] = set()
    for module in modules():
        if module.name == "watchkeeper.vocabulary.limits" or ".define" in module.name:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if not module.name.startswith("watchkeeper.vocabulary"):
                    literals.add(node.value)
            elif (
                isinstance(node, ast.Attribute)
                and node.attr == "reason"
                and isinstance(node.value, ast.Subscript)
                and isinstance(node.value.slice, ast.Constant)
            ):
                taken.add(str(node.value.slice.value))
    from_table = {LIMITS[name].reason for name in taken}

    uncounted = {
        entry.name: entry.reason
        for entry in LIMITS.values()
        if entry.reason and entry.reason not in literals | from_table
    }
    metrics = {entry.where for entry in LIMITS.values()} & set(METRIC_BY_NAME)
    assert {} == uncounted
    assert set() == metrics - literals


def test_every_limit_of_the_application_is_a_setting_or_says_why_not() -> None:
    """What can be changed has a setting of its own name; the rest is fixed, for a stated reason."""
    fixed = {name for name in APPLICATION_LIMITS if LIMITS[name].fixed}

    assert set(APPLICATION_LIMITS) - fixed == set(APPLICATION_LIMITS) & set(TABLE)


def test_the_reference_page_is_current() -> None:
    """docs/reference/telemetry.md is what the tables generate (``make docs`` writes it)."""
    page = ROOT / "docs" / "reference" / "telemetry.md"

    assert telemetry_page() == page.read_text(encoding="utf-8")
