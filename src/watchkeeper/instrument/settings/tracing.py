"""The settings of traces: which are kept, and what travels between processes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.domain import DomainSettings
from watchkeeper.instrument.settings.row import limit_row, row

__all__ = ["TraceSettings", "apply_sampler"]

_ON = True
_SAMPLER = "OTEL_TRACES_SAMPLER"
_SAMPLERS: Mapping[str, float | None] = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}
"""OpenTelemetry's samplers, with the ratio that each stands for."""
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


def _rules(given: object) -> tuple[tuple[str, float], ...]:
    """Accept a mapping, or ``pattern=ratio`` separated by commas, of patterns to ratios."""
    form = "patterns and ratios from 0 to 1: GET /orders/{id}=0.1, job nightly=1, *=0.05"
    if isinstance(given, Mapping):
        pairs = [(str(pattern), ratio) for pattern, ratio in given.items()]
    else:
        parts = given.split(",") if isinstance(given, str) else given
        if not isinstance(parts, Sequence):
            raise ValueError(form)  # noqa: TRY004 - one error for all
        pairs = [_rule(part) for part in parts if not isinstance(part, str) or part.strip()]
    found = []
    for pattern, ratio in pairs:
        try:
            found.append((parse.text(pattern), parse.ratio(ratio)))
        except ValueError:
            raise ValueError(form) from None
    if not all(pattern for pattern, _ in found):
        raise ValueError(form)
    return tuple(found)


def _rule(part: object) -> tuple[str, object]:
    if isinstance(part, str):
        pattern, _, ratio = part.rpartition("=")
        return pattern, ratio
    if isinstance(part, Sequence) and len(part) == 2:
        return str(part[0]), part[1]
    return "", None


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
    sample_parent: bool = row(
        _ON,
        "Follow the decision of a caller in another process.",
        parse.boolean,
        "WATCHKEEPER_SAMPLE_PARENT",
    )
    sample_rules: tuple[tuple[str, float], ...] = row(
        (),
        "Ratios by route, span name or kind, the first match counts: "
        "`GET /orders/{id}=0.1, job nightly=1, *=0.05`.",
        _rules,
        "WATCHKEEPER_SAMPLE_RULES",
    )
    sample_exclude: tuple[str, ...] = row(
        ("/healthz", "/livez", "/readyz", "/-/healthy", "/-/ready"),
        "Paths whose requests are never traced, separated by commas; metrics count them.",
        parse.paths,
        "WATCHKEEPER_SAMPLE_EXCLUDE",
    )
    sample_tail: bool = row(
        _ON,
        "Keep failed, slow, new and exemplar-linked traces on top of the ratio.",
        parse.boolean,
        "WATCHKEEPER_SAMPLE_TAIL",
    )
    sample_slow_s: float | None = row(
        None,
        "Seconds from which a request or job is slow; None leaves it to what is usual for its "
        "route.",
        parse.positive,
        "WATCHKEEPER_SAMPLE_SLOW_S",
    )
    sample_new_s: float = row(
        86_400.0,
        "Seconds after which a route, model or error that did not occur counts as new again.",
        parse.positive,
        "WATCHKEEPER_SAMPLE_NEW_S",
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
        "Keys of incoming baggage that become attributes of the server span and fields of its log "
        "lines, separated by commas.",
        _keys,
        "WATCHKEEPER_BAGGAGE_KEYS",
    )
    baggage_value_chars_max: int = limit_row("baggage_value_chars_max")
    sample_kept_per_s_max: int = limit_row("sample_kept_per_s_max")
    sample_held_spans_max: int = limit_row("sample_held_spans_max")
    sample_held_traces_max: int = limit_row("sample_held_traces_max")
    sample_held_s_max: int = limit_row("sample_held_s_max")
    sample_trace_spans_max: int = limit_row("sample_trace_spans_max")
    sample_decisions_max: int = limit_row("sample_decisions_max")
    sample_seen_max: int = limit_row("sample_seen_max")


def apply_sampler(
    values: dict[str, Any], origins: dict[str, str], env: Mapping[str, str], ignored: list[str]
) -> None:
    """Let ``OTEL_TRACES_SAMPLER`` decide what no setting of ours has decided.

    Args:
        values: Values that were found, by setting; changed in place.
        origins: Where they came from; changed in place.
        env: The environment.
        ignored: Gets a sentence if the variable cannot be honoured.
    """
    given = env.get(_SAMPLER, "").strip()
    plain = given.removeprefix("parentbased_")
    if given and plain not in _SAMPLERS:
        ignored.append(
            f"{_SAMPLER} is ignored: accepted is {', '.join(_SAMPLERS)}, each also with "
            "parentbased_ before it"
        )
    if origins["sample_ratio"] in {"default", "OTEL_TRACES_SAMPLER_ARG"}:
        fixed = _SAMPLERS.get(plain)
        if fixed is not None:
            values["sample_ratio"], origins["sample_ratio"] = fixed, _SAMPLER
        elif plain != "traceidratio":
            values.pop("sample_ratio", None)
            origins["sample_ratio"] = "default"
        if plain == "always_off" and "sample_tail" not in values:
            # Who switches tracing off does not want failed traces either.
            values["sample_tail"], origins["sample_tail"] = False, _SAMPLER
    if plain in _SAMPLERS and plain == given and "sample_parent" not in values:
        values["sample_parent"], origins["sample_parent"] = False, _SAMPLER
