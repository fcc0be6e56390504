"""What applications say they emitted, read from their own `/metrics` pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.vocabulary.metrics import METRIC_BY_NAME

__all__ = ["Emitted", "read_emitted", "targets"]


@dataclass(frozen=True, slots=True)
class Emitted:
    """Totals over every process."""

    spans: int
    """Spans started, without those that sampling left out on purpose (health checks, for one)."""
    logs: int
    dropped: int
    """Spans and log records that were lost, for whatever reason."""


def targets(directory: Path) -> list[str]:
    """Return the ``host:port`` of every target in a folder of ``file_sd`` files."""
    found = []
    for path in sorted(directory.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            found += group["targets"]
    return found


def read_emitted(addresses: list[str]) -> Emitted:
    """Read and add up the emission counters of every process.

    Raises:
        httpx.HTTPError: A process did not answer.
    """
    names = {
        METRIC_BY_NAME["otel.sdk.span.started"].prometheus_name: "spans",
        METRIC_BY_NAME["otel.sdk.log.created"].prometheus_name: "logs",
        METRIC_BY_NAME["watchkeeper.telemetry.dropped"].prometheus_name: "dropped",
        METRIC_BY_NAME["watchkeeper.telemetry.sampled_out"].prometheus_name: "left_out",
    }
    totals = {"spans": 0, "logs": 0, "dropped": 0, "left_out": 0}
    for address in addresses:
        page = httpx.get(f"http://{address}/metrics", timeout=10.0).raise_for_status().text
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name in names:
                    totals[names[sample.name]] += int(sample.value)
    return Emitted(totals["spans"] - totals["left_out"], totals["logs"], totals["dropped"])
