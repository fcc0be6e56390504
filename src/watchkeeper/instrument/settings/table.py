"""Every setting with its default, its description and its variables: one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.logs import LogSettings
from watchkeeper.instrument.settings.row import Setting, limit_row, row

__all__ = ["TABLE", "Settings"]

_ON, _OFF = True, False


@dataclass(frozen=True, slots=True)
class Settings(LogSettings):
    """Every setting with its value; `origins` says where each came from."""

    service: str = row(
        "unknown_service",
        "Name of the service.",
        parse.text,
        "WATCHKEEPER_SERVICE",
        "OTEL_SERVICE_NAME",
    )
    version: str = row("", "Version of the service.", parse.text, "WATCHKEEPER_VERSION")
    environment: str = row(
        "",
        "Where the service runs: `production`, `staging`.",
        parse.text,
        "WATCHKEEPER_ENVIRONMENT",
    )
    enabled: bool = row(
        _ON,
        "False turns every part off: nothing is recorded, logs stay as they are.",
        parse.boolean,
        "WATCHKEEPER_ENABLED",
    )
    resource: Mapping[str, str] = row(
        MappingProxyType({}),
        "Further resource attributes, `name=value,…`.",
        parse.pairs,
        "WATCHKEEPER_RESOURCE",
        "OTEL_RESOURCE_ATTRIBUTES",
    )
    targets_dir: str = row(
        "",
        "Directory for Prometheus `file_sd` files that announce this process.",
        parse.text,
        "WATCHKEEPER_TARGETS_DIR",
    )
    metrics_port: int | None = row(
        None,
        "Port of the side listener for `/metrics` on 127.0.0.1, 0 for a free one; "
        "None starts it on a free port when `targets_dir` is set.",
        parse.port,
        "WATCHKEEPER_METRICS_PORT",
    )
    metrics_path: str = row(
        "/metrics",
        "Path of the metrics, in the side listener and in ASGI applications.",
        parse.path,
        "WATCHKEEPER_METRICS_PATH",
    )
    metrics_group: str = row(
        "",
        "Name of the group of workers whose metrics are one page; empty finds it out.",
        parse.text,
        "WATCHKEEPER_METRICS_GROUP",
    )
    metrics_token: str = row(
        "",
        "Token that a scrape must bring as `Authorization: Bearer`; empty asks for none.",
        parse.text,
        "WATCHKEEPER_METRICS_TOKEN",
        secret=True,
    )
    metrics_allow: tuple[str, ...] = row(
        (),
        "Networks that may scrape, `127.0.0.0/8,10.0.0.0/8`; none lets every address.",
        parse.networks,
        "WATCHKEEPER_METRICS_ALLOW",
    )
    include_prometheus_client: bool = row(
        _ON,
        "Show the application's own prometheus_client metrics too.",
        parse.boolean,
        "WATCHKEEPER_INCLUDE_PROMETHEUS_CLIENT",
    )
    access_log_exclude: tuple[str, ...] = row(
        ("/healthz", "/livez", "/readyz", "/-/healthy", "/-/ready"),
        "Paths whose requests write no access line, separated by commas.",
        parse.paths,
        "WATCHKEEPER_ACCESS_LOG_EXCLUDE",
    )
    instrument: str | tuple[str, ...] = row(
        "auto",
        "Libraries to instrument: `auto`, or names separated by commas.",
        parse.names,
        "WATCHKEEPER_INSTRUMENT",
    )
    metric_series_max: int = limit_row("metric_series_max")
    scrape_connections_max: int = limit_row("scrape_connections_max")
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """``argument``, the variable's name, the file's path, or ``default``, for each setting."""
    ignored: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """One sentence for each ``OTEL_`` variable that could not be read."""
    home: str = field(default="", repr=False, compare=False)
    """Directory for this user's state, the parent of the default `spool_dir`."""


TABLE: Mapping[str, Setting] = MappingProxyType(
    {
        entry.name: entry.metadata["setting"]
        # The order of the reference page: what an application sets first comes first.
        for entry in sorted(
            fields(Settings), key=lambda entry: entry.name in LogSettings.__dataclass_fields__
        )
        if "setting" in entry.metadata
    }
)
