"""The settings of traces: which are kept, and what travels between processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.domain import DomainSettings
from watchkeeper.instrument.settings.row import row

__all__ = ["TraceSettings"]

_OWN_PROPAGATORS = frozenset({"tracecontext", "baggage"})


def _keys(given: object) -> tuple[str, ...]:
    """Accept names without spaces, as a sequence or separated by commas."""
    items = given.split(",") if isinstance(given, str) else given
    if isinstance(items, Sequence):
        found = tuple(parse.text(item) for item in items if str(item).strip())
        if not any(re.search(r"[\s,;=]", item) for item in found):
            return found
    raise ValueError("names such as tenant.id,session.id")


def _propagators(given: object) -> tuple[str, ...]:
    """Accept names of propagators that exist here, as a sequence or separated by commas."""
    wanted = () if given == "none" else tuple(dict.fromkeys(_keys(given)))
    foreign = {name for name in wanted if name not in _OWN_PROPAGATORS}
    if foreign and not foreign <= {
        entry.name for entry in entry_points(group="opentelemetry_propagator")
    }:
        raise ValueError(
            "none, or tracecontext, baggage and names of installed OpenTelemetry propagators "
            "(pip install opentelemetry-propagator-b3 for b3 and b3multi, for example)"
        )
    return wanted


@dataclass(frozen=True, slots=True)
class TraceSettings(DomainSettings):
    """The part of the table that the sampler and the propagation read."""

    sample_ratio: float = row(
        1.0,
        "Share of traces that are exported, 0 to 1; metrics stay exact.",
        parse.ratio,
        "WATCHKEEPER_SAMPLE_RATIO",
        "OTEL_TRACES_SAMPLER_ARG",
    )
    propagators: tuple[str, ...] = row(
        ("tracecontext", "baggage"),
        "Formats of the context in headers: `tracecontext`, `baggage`, `none`, or names of "
        "installed OpenTelemetry propagators such as `b3`.",
        _propagators,
        "WATCHKEEPER_PROPAGATORS",
        "OTEL_PROPAGATORS",
    )
    baggage_keys: tuple[str, ...] = row(
        (),
        "Keys of the baggage that spans and log lines show, separated by commas.",
        _keys,
        "WATCHKEEPER_BAGGAGE_KEYS",
    )
