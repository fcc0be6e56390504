"""OpenTelemetry's environment variables: each is honoured, or a sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from watchkeeper.clock import SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument.exporting import exporters
from watchkeeper.instrument.recorder import GrpcExporter, HttpExporter
from watchkeeper.instrument.settings import TABLE, Settings, load
from watchkeeper.instrument.settings.export import ExportSettings
from watchkeeper.instrument.settings.targets import target


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)


COMMON: list[tuple[str, str, str, Any]] = [
    ("OTEL_SERVICE_NAME", "shop", "service", "shop"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=b%2Cc,d=%C3%BC", "resource", {"a": "b,c", "d": "ü"}),
    ("OTEL_SDK_DISABLED", "true", "enabled", False),
    ("OTEL_SDK_DISABLED", "yes", "enabled", True),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4318/", "endpoint", "https://c:4318"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "protocol", "grpc"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c,d=e=f", "headers", {"a": "b c", "d": "e=f"}),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500", "export_timeout_s", 2.5),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "compression", "none"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem", "certificate", "/ca.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k.pem", "client_key", "/k.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c.pem", "client_certificate", "/c.pem"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "true", "insecure", True),
    ("OTEL_TRACES_EXPORTER", "none", "traces_exporter", ()),
    ("OTEL_TRACES_EXPORTER", "otlp,console", "traces_exporter", ("otlp", "console")),
    ("OTEL_LOGS_EXPORTER", "console", "logs_exporter", ("console",)),
    ("OTEL_BSP_SCHEDULE_DELAY", "5000", "export_interval_s", 5.0),
    ("OTEL_BLRP_SCHEDULE_DELAY", "250", "export_interval_s", 0.25),
    ("OTEL_BSP_EXPORT_TIMEOUT", "4000", "traces_timeout_s", 4.0),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "4000", "logs_timeout_s", 4.0),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "7", "span_queue_items_max", 7),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "7", "log_queue_items_max", 7),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "7", "batch_items_max", 7),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "7", "batch_items_max", 7),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7", "span_attributes_max", 7),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7", "event_attributes_max", 7),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7", "link_attributes_max", 7),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7", "attribute_value_chars_max", 7),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7", "attribute_value_chars_max", 7),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "7", "span_attributes_max", 7),
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "7", "event_attributes_max", 7),
    ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "7", "link_attributes_max", 7),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "7", "span_events_max", 7),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "7", "span_links_max", 7),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "7", "log_fields_max", 7),
]
BY_SIGNAL: list[tuple[str, str, str, Any]] = [
    ("ENDPOINT", "http://c:1/x/", "endpoint", "http://c:1/x/"),
    ("PROTOCOL", "grpc", "protocol", "grpc"),
    ("HEADERS", "a=%25", "headers", {"a": "%"}),
    ("TIMEOUT", "1500", "timeout_s", 1.5),
    ("COMPRESSION", "gzip", "compression", "gzip"),
    ("CERTIFICATE", "/ca.pem", "certificate", "/ca.pem"),
    ("CLIENT_KEY", "/k.pem", "client_key", "/k.pem"),
    ("CLIENT_CERTIFICATE", "/c.pem", "client_certificate", "/c.pem"),
    ("INSECURE", "TRUE", "insecure", True),
]
ROWS = COMMON + [
    (f"OTEL_EXPORTER_OTLP_{signal}_{name}", text, f"{signal.lower()}_{setting}", value)
    for signal in ("TRACES", "LOGS")
    for name, text, setting, value in BY_SIGNAL
]


@pytest.mark.parametrize(("variable", "text", "setting", "value"), ROWS)
def test_a_variable_sets_its_setting(variable: str, text: str, setting: str, value: object) -> None:
    """Milliseconds become seconds, percent-encoded values are decoded, nothing is ignored."""
    settings = load({}, {variable: text})

    assert value == getattr(settings, setting)
    assert () == settings.ignored
    assert settings.origins[setting] in {variable, "default"}


def test_every_variable_of_the_export_is_tested() -> None:
    """A variable that a row of the export reads appears above."""
    names = ExportSettings.__dataclass_fields__
    read = {
        variable for name in names for variable in TABLE[name].env if variable.startswith("OTEL_")
    }

    assert set() == read - {variable for variable, *_ in ROWS}


@pytest.mark.parametrize(
    ("variable", "text", "part"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "needs the protocol grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "collector:4318", "needs the protocol grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c", "a URL"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "name=value"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp,none", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp", "never pushed"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c", "never pushed"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000", "never pushed"),
        ("OTEL_CONFIG_FILE", "x.yaml", "watchkeeper.toml"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9", "attribute_value_chars_max"),
    ],
)
def test_what_cannot_be_honoured_is_said(variable: str, text: str, part: str) -> None:
    """The default stays, and one sentence names the variable."""
    settings = load({}, {variable: text})

    (sentence,) = settings.ignored
    assert sentence.startswith(f"{variable} is ignored: ")
    assert part in sentence
    assert {"default"} == set(settings.origins.values())


@pytest.mark.parametrize("exporter", ["none", "prometheus", ""])
def test_metrics_that_are_scraped_anyway_need_no_remark(exporter: str) -> None:
    """Prometheus and none are what happens."""
    assert () == load({}, {"OTEL_METRICS_EXPORTER": exporter}).ignored


def test_two_delays_for_one_worker_are_remarked() -> None:
    """Spans and logs are exported together: the delay of spans counts."""
    env = {"OTEL_BSP_SCHEDULE_DELAY": "1000", "OTEL_BLRP_SCHEDULE_DELAY": "2000"}
    settings = load({}, env)

    assert 1.0 == settings.export_interval_s
    assert "OTEL_BLRP_SCHEDULE_DELAY is ignored" in settings.ignored[0]
    assert () == load({}, {**env, "OTEL_BLRP_SCHEDULE_DELAY": "1000"}).ignored


def settings_of(**env: str) -> Settings:
    """Return the settings of ``OTEL_EXPORTER_OTLP_`` variables."""
    return load({}, {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in env.items()})


@pytest.mark.parametrize(
    ("env", "traces", "logs"),
    [
        ({}, "http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/logs"),
        ({"ENDPOINT": "http://c/otlp/"}, "http://c/otlp/v1/traces", "http://c/otlp/v1/logs"),
        ({"TRACES_ENDPOINT": "http://t/x/"}, "http://t/x/", "http://127.0.0.1:4318/v1/logs"),
        ({"PROTOCOL": "grpc"}, "http://127.0.0.1:4317", "http://127.0.0.1:4317"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "c:9"}, "https://c:9", "https://c:9"),
        (
            {"PROTOCOL": "grpc", "ENDPOINT": "c:9", "INSECURE": "true", "LOGS_INSECURE": "false"},
            "http://c:9",
            "https://c:9",
        ),
        (
            {"LOGS_PROTOCOL": "grpc", "ENDPOINT": "http://c:9"},
            "http://c:9/v1/traces",
            "http://c:9",
        ),
    ],
)
def test_the_url_of_each_signal(env: dict[str, str], traces: str, logs: str) -> None:
    """A signal's own URL is used as it is; the common one gets the signal's path with HTTP."""
    settings = settings_of(**env)
    found = [target(settings, signal) for signal in ("traces", "logs")]

    assert [traces, logs] == [goal.url for goal in found if goal is not None]


def test_a_signals_own_values_win() -> None:
    """Headers, timeout, compression and certificates of one signal leave the other's alone."""
    settings = settings_of(
        HEADERS="a=1", LOGS_HEADERS="b=2", TIMEOUT="9000", LOGS_TIMEOUT="2000",
        COMPRESSION="gzip", LOGS_COMPRESSION="none", CERTIFICATE="/a", LOGS_CERTIFICATE="/b",
    )  # fmt: skip
    traces, logs = target(settings, "traces"), target(settings, "logs")

    assert traces is not None
    assert logs is not None
    assert (
        ((("a", "1"),), 9.0, True, "/a"),
        ((("b", "2"),), 2.0, False, "/b"),
    ) == tuple((t.headers, t.timeout_s, t.compress, t.certificate) for t in (traces, logs))


@pytest.mark.parametrize(
    ("endpoint", "compression", "packed"),
    [
        ("http://localhost:4318", "auto", False),
        ("http://127.0.0.2:4318", "auto", False),
        ("http://[::1]:4318", "auto", False),
        ("http://collector:4318", "auto", True),
        ("http://127.evil.example", "auto", True),
        ("http://localhost:4318", "gzip", True),
        ("http://collector:4318", "none", False),
    ],
)
def test_what_stays_on_this_machine_is_not_packed(
    endpoint: str,
    compression: str,
    packed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """By default requests are compressed unless they go to a loopback address."""
    goal = target(load({"endpoint": endpoint, "compression": compression}, {}), "traces")

    assert goal is not None
    assert packed is goal.compress


def test_the_processors_timeout_only_shortens() -> None:
    """OTEL_BSP_EXPORT_TIMEOUT bounds the export as a whole, so the exporter's shorter one stays."""
    env = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3000", "OTEL_BSP_EXPORT_TIMEOUT": "30000"}
    longer, shorter = (
        target(load({}, {**env, "OTEL_BSP_EXPORT_TIMEOUT": text}), "traces")
        for text in ("30000", "1000")
    )

    assert longer is not None
    assert shorter is not None
    assert (3.0, 1.0) == (longer.timeout_s, shorter.timeout_s)


def test_headers_come_from_a_file(tmp_path: Path) -> None:
    """A mounted secret is read as it is, and headers given directly win."""
    file = tmp_path / "headers"
    file.write_text("# from the vault\nAuthorization: Bearer a:b%20\nX-Team: core\n\n", "utf-8")
    settings = load({"headers_file": file, "headers": {"X-Team": "mine"}}, {})
    goal = target(settings, "traces")

    assert goal is not None
    assert {"Authorization": "Bearer a:b%20", "X-Team": "mine"} == dict(goal.headers)


@pytest.mark.parametrize("content", [None, "no colon\n\x00: x", "a b: c"])
def test_an_unusable_file_of_headers_is_explained(tmp_path: Path, content: str | None) -> None:
    """The error names the file and shows nothing of its content."""
    file = tmp_path / "headers"
    if content is not None:
        file.write_text(content, "utf-8")
    with pytest.raises(SettingError, match=r"(?s)headers.*Accepted: .*Next: ") as caught:
        target(load({"headers_file": file}, {}), "traces")
    assert "a b" not in str(caught.value)


def test_signals_share_an_exporter_where_they_can() -> None:
    """One connection for one host with equal options; otherwise each has its own."""
    clock = SystemClock()
    one = exporters(load({}, {}), clock)
    apart = exporters(settings_of(LOGS_ENDPOINT="http://127.0.0.1:9/x"), clock)
    paths = exporters(settings_of(LOGS_ENDPOINT="http://127.0.0.1:4318/x"), clock)
    mixed = exporters(settings_of(LOGS_PROTOCOL="grpc"), clock)

    assert one["traces"] is one["logs"]
    assert paths["traces"] is paths["logs"]
    assert apart["traces"] is not apart["logs"]
    assert (HttpExporter, GrpcExporter) == (type(mixed["traces"]), type(mixed["logs"]))


def test_a_signal_that_goes_nowhere_has_no_exporter() -> None:
    """None and console need no connection, nor does an empty endpoint or a disabled process."""
    clock = SystemClock()
    cases: list[dict[str, object]] = [
        {"traces_exporter": "none"}, {"logs_exporter": "console"}, {"endpoint": ""},
        {"enabled": False},
    ]  # fmt: skip

    assert [["logs"], ["traces"], [], []] == [list(exporters(load(c, {}), clock)) for c in cases]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_unusable_certificates_are_explained(tmp_path: Path, protocol: str) -> None:
    """A wrong path is told at the start, with all three paths."""
    given = {
        "protocol": protocol,
        "endpoint": "https://c:1",
        "certificate": str(tmp_path / "absent.pem"),
    }
    with pytest.raises(SettingError, match=r"(?s)certificates.*absent\.pem.*Next: "):
        exporters(load(given, {}), SystemClock())
