"""The settings of the application side: one table, and the only reader of the environment here.

A value comes from the first of: argument of `watchkeeper.configure`, environment variable (ours
before OpenTelemetry's), table ``[instrument]`` of ``watchkeeper.toml``, default. An empty variable
counts as unset. A value of ours that cannot be read is an error; an unreadable ``OTEL_`` variable is
noted in `Settings.ignored` and passed over, as the OpenTelemetry specification asks.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from watchkeeper.errors import SettingError, WatchkeeperError
from watchkeeper.instrument import parse
from watchkeeper.vocabulary.limits import LIMITS, limit

__all__ = ["TABLE", "Setting", "Settings", "load"]

_FILE = "watchkeeper.toml"
_ON, _OFF = True, False


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: how a setting is read and described."""

    brief: str
    parse: Callable[[object], Any]
    """Turns an argument, a variable's text or a file's value into the value, or raises ValueError
    with the accepted form as its message."""
    env: tuple[str, ...] = ()
    """Environment variables, the first set one wins."""
    secret: bool = False
    """The value must never be shown."""


def _row(
    default: object, brief: str, parser: Callable[[object], Any], *env: str, secret: bool = False
) -> Any:
    metadata = {"setting": Setting(brief, parser, env, secret)}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


def _limit_row(name: str, *env: str) -> Any:
    return _row(
        limit(name), LIMITS[name].brief, parse.at_least_one, f"WATCHKEEPER_{name.upper()}", *env
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value; `origins` says where each came from."""

    service: str = _row(
        "unknown_service",
        "Name of the service.",
        parse.text,
        "WATCHKEEPER_SERVICE",
        "OTEL_SERVICE_NAME",
    )
    version: str = _row("", "Version of the service.", parse.text, "WATCHKEEPER_VERSION")
    environment: str = _row(
        "",
        "Where the service runs: `production`, `staging`.",
        parse.text,
        "WATCHKEEPER_ENVIRONMENT",
    )
    enabled: bool = _row(
        _ON,
        "False turns every part off: nothing is recorded, logs stay as they are.",
        parse.boolean,
        "WATCHKEEPER_ENABLED",
    )
    endpoint: str = _row(
        "http://127.0.0.1:4318",
        "OTLP/HTTP endpoint without `/v1/…`; empty sends nothing.",
        parse.endpoint,
        "WATCHKEEPER_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    headers: Mapping[str, str] = _row(
        MappingProxyType({}),
        "HTTP headers of every export, `name=value,…`.",
        parse.pairs,
        "WATCHKEEPER_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
        secret=True,
    )
    resource: Mapping[str, str] = _row(
        MappingProxyType({}),
        "Further resource attributes, `name=value,…`.",
        parse.pairs,
        "WATCHKEEPER_RESOURCE",
        "OTEL_RESOURCE_ATTRIBUTES",
    )
    sample_ratio: float = _row(
        1.0,
        "Share of traces that are exported, 0 to 1; metrics stay exact.",
        parse.ratio,
        "WATCHKEEPER_SAMPLE_RATIO",
        "OTEL_TRACES_SAMPLER_ARG",
    )
    log_level: str = _row(
        "info",
        "Least severe level that is logged.",
        parse.log_level,
        "WATCHKEEPER_LOG_LEVEL",
    )
    log_format: str = _row(
        "auto",
        "`json`, `console`, or `auto`: console on a terminal, JSON elsewhere.",
        parse.one_of("auto", "json", "console"),
        "WATCHKEEPER_LOG_FORMAT",
    )
    log_stream: TextIO | None = _row(  # noqa: RUF009 - a field like the others, its type hides it
        None,
        "Where log lines go; None is the standard output.",
        parse.stream,
    )
    log_color: bool = _row(
        _ON,
        "Colour console lines on a terminal; `NO_COLOR` turns it off too.",
        parse.boolean,
        "WATCHKEEPER_LOG_COLOR",
    )
    targets_dir: str = _row(
        "",
        "Directory for Prometheus `file_sd` files that announce this process.",
        parse.text,
        "WATCHKEEPER_TARGETS_DIR",
    )
    metrics_port: int | None = _row(
        None,
        "Port of the side listener for `/metrics` on 127.0.0.1, 0 for a free one; "
        "None starts it on a free port when `targets_dir` is set.",
        parse.port,
        "WATCHKEEPER_METRICS_PORT",
    )
    metrics_path: str = _row(
        "/metrics",
        "Path of the metrics, in the side listener and in ASGI applications.",
        parse.path,
        "WATCHKEEPER_METRICS_PATH",
    )
    include_prometheus_client: bool = _row(
        _ON,
        "Show the application's own prometheus_client metrics too.",
        parse.boolean,
        "WATCHKEEPER_INCLUDE_PROMETHEUS_CLIENT",
    )
    capture_content: bool = _row(
        _OFF,
        "Record prompts and answers of LLM calls.",
        parse.boolean,
        "WATCHKEEPER_CAPTURE_CONTENT",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    )
    spool_dir: str = _row(
        "",
        "Directory for telemetry that waits for its endpoint; empty is one per user.",
        parse.text,
        "WATCHKEEPER_SPOOL_DIR",
    )
    access_log_exclude: tuple[str, ...] = _row(
        ("/healthz", "/livez", "/readyz", "/-/healthy", "/-/ready"),
        "Paths whose requests write no access line, separated by commas.",
        parse.paths,
        "WATCHKEEPER_ACCESS_LOG_EXCLUDE",
    )
    export_interval_s: float = _row(
        1.0,
        "Seconds between exports.",
        parse.positive,
        "WATCHKEEPER_EXPORT_INTERVAL_S",
    )
    export_timeout_s: float = _row(
        10.0,
        "Seconds that one export request may take.",
        parse.positive,
        "WATCHKEEPER_EXPORT_TIMEOUT_S",
    )
    instrument: str | tuple[str, ...] = _row(
        "auto",
        "Libraries to instrument: `auto`, or names separated by commas.",
        parse.names,
        "WATCHKEEPER_INSTRUMENT",
    )
    span_queue_items_max: int = _limit_row("span_queue_items_max", "OTEL_BSP_MAX_QUEUE_SIZE")
    log_queue_items_max: int = _limit_row("log_queue_items_max", "OTEL_BLRP_MAX_QUEUE_SIZE")
    span_attributes_max: int = _limit_row("span_attributes_max", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
    span_events_max: int = _limit_row("span_events_max", "OTEL_SPAN_EVENT_COUNT_LIMIT")
    span_links_max: int = _limit_row("span_links_max", "OTEL_SPAN_LINK_COUNT_LIMIT")
    attribute_value_chars_max: int = _limit_row(
        "attribute_value_chars_max", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
    )
    batch_items_max: int = _limit_row("batch_items_max", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    spool_bytes_max: int = _limit_row("spool_bytes_max")
    log_line_bytes_max: int = _limit_row("log_line_bytes_max")
    metric_series_max: int = _limit_row("metric_series_max")
    content_chars_max: int = _limit_row("content_chars_max")
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """``argument``, the variable's name, the file's path, or ``default``, for each setting."""
    ignored: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """One sentence for each ``OTEL_`` variable that could not be read."""
    home: str = field(default="", repr=False, compare=False)
    """Directory for this user's state, the parent of the default `spool_dir`."""


TABLE: Mapping[str, Setting] = MappingProxyType(
    {row.name: row.metadata["setting"] for row in fields(Settings) if "setting" in row.metadata}
)


def load(arguments: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that *arguments*, the environment and the file add up to.

    Args:
        arguments: Settings by name; None means not given.
        environ: The environment; by default this process's.

    Raises:
        SettingError: A name is unknown, or a value cannot be read.
    """
    env = os.environ if environ is None else environ
    for name in arguments:
        if name not in TABLE:
            raise _unknown(name, "argument of configure")
    file_path, file_values = _read_file(env)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    ignored: list[str] = []
    for name, row in TABLE.items():
        # None is what a caller passes who has no value.
        if arguments.get(name) is not None:
            values[name], origins[name] = (
                _parsed(name, row, arguments[name], "argument"),
                "argument",
            )
        elif found := _from_env(name, row, env, ignored):
            values[name], origins[name] = found
        elif name in file_values:
            values[name] = _parsed(name, row, file_values[name], file_path)
            origins[name] = file_path
        else:
            origins[name] = "default"
    _fall_back(values, origins, env)
    return Settings(
        **values, origins=MappingProxyType(origins), ignored=tuple(ignored), home=_home(env)
    )


def _unknown(name: str, where: str) -> WatchkeeperError:
    near = difflib.get_close_matches(name, TABLE, n=1)
    return SettingError.explain(
        f"unknown setting in {where}",
        got=name,
        accepted=", ".join(TABLE),
        next_step=f"use {near[0]!r}" if near else "choose one of these names",
    )


def _parsed(name: str, row: Setting, given: object, where: str) -> Any:
    try:
        return row.parse(given)
    except ValueError as error:
        raise SettingError.explain(
            f"the setting {name} ({where}) cannot be read",
            got="[secret]" if row.secret else given,
            accepted=str(error),
            next_step=f"correct it, or remove it to use the default. {name}: {row.brief}".rstrip(
                "."
            ),
        ) from error


def _from_env(
    name: str, row: Setting, env: Mapping[str, str], ignored: list[str]
) -> tuple[Any, str] | None:
    for variable in row.env:
        given = env.get(variable, "")
        if not given.strip():
            continue
        if not variable.startswith("OTEL_"):
            return _parsed(name, row, given, variable), variable
        try:
            return row.parse(given), variable
        except ValueError as error:
            ignored.append(f"{variable} is ignored: accepted is {error}")
    return None


def _fall_back(values: dict[str, Any], origins: dict[str, str], env: Mapping[str, str]) -> None:
    attributes = values.get("resource", {})
    for name, keys in (
        ("service", ("service.name",)),
        ("version", ("service.version",)),
        ("environment", ("deployment.environment.name", "deployment.environment")),
    ):
        found = next((attributes[key] for key in keys if attributes.get(key)), None)
        if found and name not in values:
            values[name], origins[name] = found, f"resource ({origins['resource']})"
    if "enabled" not in values and env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        values["enabled"], origins["enabled"] = False, "OTEL_SDK_DISABLED"
    if "log_color" not in values and env.get("NO_COLOR"):
        values["log_color"], origins["log_color"] = False, "NO_COLOR"
    sampler = env.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_")
    if origins["sample_ratio"] in {"default", "OTEL_TRACES_SAMPLER_ARG"}:
        fixed = {"always_on": 1.0, "always_off": 0.0}.get(sampler)
        if fixed is not None:
            values["sample_ratio"], origins["sample_ratio"] = fixed, "OTEL_TRACES_SAMPLER"
        elif sampler != "traceidratio":
            values.pop("sample_ratio", None)
            origins["sample_ratio"] = "default"


def _read_file(env: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    asked = env.get("WATCHKEEPER_CONFIG", "")
    path = Path(asked or _FILE)
    if not asked and not path.is_file():
        return "", {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("instrument", {})
    except (OSError, ValueError) as error:
        raise SettingError.explain(
            "the settings file cannot be read",
            got=str(path),
            accepted="a TOML file with a table [instrument]",
            next_step=f"correct it or unset WATCHKEEPER_CONFIG ({error})",
        ) from error
    for name in table:
        if name not in TABLE or name == "log_stream":
            raise _unknown(name, f"{path}, table [instrument]")
    return str(path), table


def _home(env: Mapping[str, str]) -> str:
    state = env.get("XDG_STATE_HOME", "")
    if not state:
        home = env.get("HOME", "")
        state = str(Path(home, ".local", "state")) if home else ""
    return str(Path(state, "watchkeeper")) if state else ""
