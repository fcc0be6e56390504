"""Families of prometheus_client: what the application measures with that package, or its libraries."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from typing import Any

__all__ = ["collect", "text", "text_of"]

_DUPLICATES = ("process_", "python_gc_", "python_info")
"""Families of prometheus_client's own collectors, which our process metrics stand in for."""


class _Shown:
    """Families that do not repeat ours, as a registry."""

    def __init__(self, families: Iterable[Any], ours: Collection[str]) -> None:
        self._families = families
        self._ours = ours

    def collect(self) -> list[Any]:
        return [
            family
            for family in self._families
            if not family.name.startswith(_DUPLICATES)
            and family.name not in self._ours
            and f"{family.name}_total" not in self._ours
        ]


def collect(ours: Collection[str]) -> list[Any]:
    """Return the families of ``prometheus_client.REGISTRY`` as JSON can hold them.

    Args:
        ours: Names on the wire that are ours.

    Returns:
        For each family its name, type, help, unit and samples; for each sample its name, labels,
        value, and exemplar as labels, value and time. Nothing if the package is not imported: who
        has such families has imported it.
    """
    package: Any = sys.modules.get("prometheus_client")
    if package is None:
        return []
    return [
        [
            family.name,
            family.type,
            family.documentation,
            family.unit,
            [
                [sample.name, list(sample.labels.items()), sample.value, _plain(sample.exemplar)]
                for sample in family.samples
            ],
        ]
        for family in _Shown(package.REGISTRY.collect(), ours).collect()
    ]


def text(ours: Collection[str], *, openmetrics: bool) -> str:
    """Return the families of ``prometheus_client.REGISTRY`` of this process as text."""
    package: Any = sys.modules.get("prometheus_client")
    if package is None:
        return ""
    return _written(_Shown(package.REGISTRY.collect(), ours), openmetrics=openmetrics)


def text_of(families: Iterable[Any], *, openmetrics: bool) -> str:
    """Return families that `collect` returned, of several processes, as text."""
    made = []
    for name, kind, help_text, unit, samples in families:
        core: Any = _module("prometheus_client.metrics_core")
        parts: Any = _module("prometheus_client.samples")
        # The name has its unit already, and is a good one: it has been through here before.
        family = core.Metric(name, help_text, kind, unit)
        for sample, labels, value, exemplar in samples:
            shown = None if exemplar is None else parts.Exemplar(*exemplar)
            family.add_sample(sample, dict(labels), value, None, shown)
        made.append(family)
    return _written(_Shown(made, ()), openmetrics=openmetrics) if made else ""


def _written(registry: _Shown, *, openmetrics: bool) -> str:
    if openmetrics:
        writer: Any = _module("prometheus_client.openmetrics.exposition")
        found: str = writer.generate_latest(registry).decode()
        return found.removesuffix("# EOF\n")
    shown: bytes = _module("prometheus_client").generate_latest(registry)
    return shown.decode()


def _module(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def _plain(exemplar: Any) -> list[Any] | None:
    if exemplar is None:
        return None
    at = exemplar.timestamp
    return [dict(exemplar.labels), exemplar.value, None if at is None else float(at)]
