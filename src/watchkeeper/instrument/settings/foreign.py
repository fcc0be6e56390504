"""What OpenTelemetry's variables ask for that is not done, or only in part: one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["remarks"]

_SCRAPED = "metrics are scraped at the metrics path and never pushed"
_NOT_DONE = {
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": _SCRAPED,
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS": _SCRAPED,
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": _SCRAPED,
    "OTEL_METRIC_EXPORT_INTERVAL": _SCRAPED,
    "OTEL_METRIC_EXPORT_TIMEOUT": _SCRAPED,
    "OTEL_CONFIG_FILE": "watchkeeper.toml and the other variables are read instead",
    "OTEL_EXPERIMENTAL_CONFIG_FILE": "watchkeeper.toml and the other variables are read instead",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": (
        "attribute_value_chars_max bounds the values of log records too"
    ),
}


def remarks(values: dict[str, Any], origins: dict[str, str], env: Mapping[str, str]) -> list[str]:
    """Return what cannot be honoured, and take unusable values of such variables back.

    Args:
        values: The values so far, by setting; may be changed.
        origins: Where each came from; may be changed.
        env: The environment.
    """
    found = [
        f"{variable} is ignored: {reason}"
        for variable, reason in _NOT_DONE.items()
        if env.get(variable, "").strip()
    ]
    exporter = env.get("OTEL_METRICS_EXPORTER", "").strip().lower()
    if exporter not in {"", "none", "prometheus"}:
        found.append(f"OTEL_METRICS_EXPORTER is ignored: {_SCRAPED}")
    found += _two_in_one(env, "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY")
    found += _two_in_one(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE")
    for name in ("endpoint", "traces_endpoint", "logs_endpoint"):
        if _needs_scheme(name, values):
            found.append(
                f"{origins[name]} is ignored: accepted is a URL such as http://127.0.0.1:4318; "
                "without http:// or https:// it needs the protocol grpc"
            )
            values.pop(name)
            origins[name] = "default"
    return found


def _two_in_one(env: Mapping[str, str], first: str, second: str) -> list[str]:
    """Spans and logs share one worker: of two different values the first counts."""
    one, other = env.get(first, "").strip(), env.get(second, "").strip()
    if one and other and one != other:
        return [f"{second} is ignored: spans and logs are exported together, {first} counts"]
    return []


def _needs_scheme(name: str, values: Mapping[str, Any]) -> bool:
    given = values.get(name, "")
    if not given or "://" in given:
        return False
    common = values.get("protocol", "http/protobuf")
    signals = ("traces", "logs") if name == "endpoint" else (name.partition("_")[0],)
    return any((values.get(f"{signal}_protocol") or common) != "grpc" for signal in signals)
