"""Prometheus names for OTLP metrics and attributes.

Rules: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["label_pairs", "metric_name"]

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "kBy": "kilobytes", "MBy": "megabytes",
    "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "%": "percent", "USD": "usd",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}
_WRONG = re.compile(r"[^a-zA-Z0-9_:]+")
_WRONG_LABEL = re.compile(r"[^a-zA-Z0-9_]+")
_BRACES = re.compile(r"\{[^}]*\}")


@lru_cache(maxsize=4096)
def metric_name(name: str, unit: str, kind: str) -> str:
    """Return the family name of an OTLP metric.

    Args:
        name: The OTLP name.
        unit: The UCUM unit.
        kind: ``counter``, ``gauge``, ``histogram`` or ``summary``.
    """
    base = re.sub("_+", "_", _WRONG.sub("_", name)).strip("_") or "_"
    if base[0].isdigit():
        base = f"_{base}"
    word = _unit(unit)
    if unit == "1" and kind == "gauge":
        word = "ratio"
    counter = kind == "counter"
    base = base.removesuffix("_total") if counter else base
    if word and not base.endswith(f"_{word}"):
        base = f"{base}_{word}"
    return f"{base}_total" if counter else base


def _unit(unit: str) -> str:
    whole, _, per = _BRACES.sub("", unit).strip().partition("/")
    word = _UNITS.get(whole, "" if whole == "1" else _WRONG.sub("_", whole).strip("_"))
    if per:
        word = f"{word}_per_{_PER.get(per, _WRONG.sub('_', per).strip('_'))}".lstrip("_")
    return word


@lru_cache(maxsize=4096)
def _label(name: str) -> str:
    clean = _WRONG_LABEL.sub("_", name) or "_"
    return f"key_{clean}" if clean[0].isdigit() else clean


def label_pairs(attributes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return labels for attributes; values of names that become equal are joined by ``;``."""
    found: dict[str, str] = {}
    for name, value in sorted(attributes):
        key = _label(name)
        found[key] = f"{found[key]};{value}" if key in found else value
    return found
