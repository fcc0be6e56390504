"""Settings: one table, one order of precedence, and errors that say what to do."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from watchkeeper.errors import SettingError
from watchkeeper.instrument.configure import Arguments
from watchkeeper.instrument.recorder import RecorderLimits, TailLimits
from watchkeeper.instrument.settings import TABLE, limits_of, load
from watchkeeper.instrument.settings.targets import target


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing() -> None:
    """Without any source every setting has its default."""
    settings = load({}, {})

    assert ("unknown_service", "http://127.0.0.1:4318", 1.0, "info", False) == (
        settings.service,
        settings.endpoint,
        settings.sample_ratio,
        settings.log_level,
        settings.capture_content,
    )
    assert set(settings.origins.values()) == {"default"}


def test_argument_before_environment_before_file(tmp_path: Path) -> None:
    """The first source that has a value wins, and the origin says which it was."""
    file = tmp_path / "watchkeeper.toml"
    file.write_text(
        '[instrument]\nservice = "file"\nversion = "1"\nenvironment = "file"\n', encoding="utf-8"
    )
    env = {"WATCHKEEPER_SERVICE": "env", "WATCHKEEPER_VERSION": "2", "OTEL_SERVICE_NAME": "otel"}
    settings = load({"service": "argument"}, env)

    assert ("argument", "2", "file") == (settings.service, settings.version, settings.environment)
    assert ("argument", "WATCHKEEPER_VERSION", "watchkeeper.toml", "default") == (
        settings.origins["service"],
        settings.origins["version"],
        settings.origins["environment"],
        settings.origins["endpoint"],
    )


def test_opentelemetrys_variables_are_read() -> None:
    """Each OTEL_ variable that has a counterpart is its fallback."""
    settings = load(
        {},
        {
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": (
                "service.version=1.2,deployment.environment.name=prod,team=a%20b"
            ),
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318/",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_BSP_MAX_QUEUE_SIZE": "77",
        },
    )

    assert ("shop", "1.2", "prod", "https://collector:4318", 0.25, 77) == (
        settings.service,
        settings.version,
        settings.environment,
        settings.endpoint,
        settings.sample_ratio,
        settings.span_queue_items_max,
    )
    assert settings.headers == {"authorization": "Bearer x"}
    assert settings.resource["team"] == "a b"


@pytest.mark.parametrize(
    ("sampler", "ratio"),
    [("always_off", 0.0), ("parentbased_always_on", 1.0), ("other", 1.0), ("", 1.0)],
)
def test_the_samplers_argument_counts_for_its_sampler_only(sampler: str, ratio: float) -> None:
    """A ratio meant for another sampler does not drop traces."""
    env = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.5"}

    assert ratio == load({}, env).sample_ratio


def test_switches_of_others_are_respected() -> None:
    """OTEL_SDK_DISABLED turns us off, NO_COLOR turns colours off; ours come first."""
    env = {"OTEL_SDK_DISABLED": "true", "NO_COLOR": "1"}
    ours = {**env, "WATCHKEEPER_ENABLED": "1"}

    assert (False, False) == (load({}, env).enabled, load({}, env).log_color)
    assert load({}, ours).enabled


def test_an_unknown_name_is_told_the_nearest() -> None:
    """A misspelt keyword is an error that names the right one."""
    with pytest.raises(SettingError, match="use 'service'"):
        load({"servce": "x"}, {})


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    """So is a misspelt key of the file; a broken file names itself."""
    file = tmp_path / "other.toml"
    file.write_text('[instrument]\nendpiont = "x"\n', encoding="utf-8")
    with pytest.raises(SettingError, match=r"other\.toml.*use 'endpoint'"):
        load({}, {"WATCHKEEPER_CONFIG": str(file)})
    file.write_text("[", encoding="utf-8")
    with pytest.raises(SettingError, match=r"other\.toml"):
        load({}, {"WATCHKEEPER_CONFIG": str(file)})
    with pytest.raises(SettingError, match=r"absent\.toml"):
        load({}, {"WATCHKEEPER_CONFIG": str(tmp_path / "absent.toml")})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("sample_ratio", "1.5"),
        ("sample_ratio", "nan"),
        ("sample_ratio", True),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("endpoint", "collector:4318"),
        ("headers", "novalue"),
        ("headers", {"a b": "x"}),
        ("headers", {"a": "x\r\nB: y"}),
        ("metrics_port", 70_000),
        ("metrics_path", "metrics"),
        ("enabled", "maybe"),
        ("export_interval_s", 0),
        ("span_queue_items_max", 0),
        ("span_queue_items_max", 1.5),
        ("instrument", "fast api"),
        ("instrument", 3),
        ("log_stream", "stdout"),
        ("service", "a\nb"),
        ("service", 3),
        ("access_log_exclude", 3),
    ],
)
def test_a_bad_value_is_explained(name: str, given: object) -> None:
    """The error names the setting, what was given, what is accepted, and what it is for."""
    with pytest.raises(SettingError, match=rf"(?s){name}.*Accepted: .*Next: "):
        load({name: given}, {})


def test_a_bad_value_in_our_variable_names_the_variable() -> None:
    """Whoever set it must find it."""
    with pytest.raises(SettingError, match="WATCHKEEPER_SAMPLE_RATIO"):
        load({}, {"WATCHKEEPER_SAMPLE_RATIO": "lots"})


def test_a_bad_value_in_opentelemetrys_variable_is_passed_over() -> None:
    """As its specification asks: a warning, and the default."""
    settings = load({}, {"OTEL_BSP_MAX_QUEUE_SIZE": "many"})

    assert settings.span_queue_items_max == 20_000
    assert "OTEL_BSP_MAX_QUEUE_SIZE is ignored" in settings.ignored[0]


def test_an_endpoint_holds_no_login() -> None:
    """A password in a URL is refused without being told, and in OpenTelemetry's variable ignored."""
    given = "http://bob:pa55word@c.example:4318"
    with pytest.raises(SettingError, match="credentials are headers") as caught:
        load({"endpoint": given}, {})
    assert "pa55word" not in str(caught.value)
    settings = load({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": given})
    assert "http://127.0.0.1:4318" == settings.endpoint
    (note,) = settings.ignored
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is ignored" in note
    assert "pa55word" not in note


def test_a_secret_is_never_shown() -> None:
    """Headers appear neither in the settings' text nor in an error about them."""
    settings = load({"headers": {"authorization": "hunter2"}}, {})
    with pytest.raises(SettingError) as caught:
        load({"headers": "hunter2"}, {})

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("auto", "auto"),
        ("none", ()),
        ("fastapi, SQLAlchemy", ("fastapi", "sqlalchemy")),
        (["huey"], ("huey",)),
    ],
)
def test_libraries_are_named(given: object, names: object) -> None:
    """All, none, or some libraries are instrumented."""
    assert names == load({"instrument": given}, {}).instrument


def test_more_forms_are_accepted() -> None:
    """Paths, numbers of levels, streams and empty endpoints."""
    settings = load(
        {
            "targets_dir": Path("/x"),
            "log_level": 30,
            "log_stream": sys.stderr,
            "endpoint": "",
            "metrics_port": "0",
            "access_log_exclude": "/a,/b",
        },
        {},
    )

    assert ("/x", "warning", sys.stderr, "", 0, ("/a", "/b")) == (
        settings.targets_dir,
        settings.log_level,
        settings.log_stream,
        settings.endpoint,
        settings.metrics_port,
        settings.access_log_exclude,
    )


def test_configure_takes_every_setting() -> None:
    """The keyword arguments of `configure` are the rows of the table."""
    assert set(TABLE) == set(Arguments.__annotations__)


@pytest.mark.parametrize("kind", [RecorderLimits, TailLimits])
def test_limits_are_settings_by_name(kind: type[RecorderLimits | TailLimits]) -> None:
    """Every bound of the recorder and of the decision at the end is the setting of its name."""
    names = [field.name for field in fields(kind)]
    chosen = {name: str(number) for number, name in enumerate(names, 1)}
    environment = {f"WATCHKEEPER_{name.upper()}": number for name, number in chosen.items()}

    taken = limits_of(kind, load({}, environment))

    assert {name: int(number) for name, number in chosen.items()} == asdict(taken)


def test_every_setting_is_described() -> None:
    """Each row has a sentence, and a variable of ours unless it cannot have one."""
    for name, row in TABLE.items():
        assert row.brief.endswith(".")
        assert name == "log_stream" or row.env[0] == f"WATCHKEEPER_{name.upper()}"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the environment is this process's."""
    monkeypatch.setitem(os.environ, "WATCHKEEPER_SERVICE", "from-environ")

    assert load({}).service == "from-environ"


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    """``_FILE`` behind a secret's variable names the file that holds it."""
    (tmp_path / "secret").write_text("a-token\n")
    settings = load({}, {"WATCHKEEPER_METRICS_TOKEN_FILE": str(tmp_path / "secret")})

    assert "a-token" == settings.metrics_token
    assert "WATCHKEEPER_METRICS_TOKEN_FILE" == settings.origins["metrics_token"]


def test_the_file_of_headers_is_read_in_its_own_form(tmp_path: Path) -> None:
    """``WATCHKEEPER_HEADERS_FILE`` is a setting of its own, not the secret `headers` in a file."""
    (tmp_path / "headers").write_text("Authorization: Bearer abc\n")
    settings = load({}, {"WATCHKEEPER_HEADERS_FILE": str(tmp_path / "headers")})

    assert {} == dict(settings.headers)
    found = target(settings, "traces")
    assert found is not None
    assert (("Authorization", "Bearer abc"),) == found.headers


def test_a_secret_file_that_is_missing_is_said(tmp_path: Path) -> None:
    """The error names the setting and the path."""
    with pytest.raises(SettingError, match="the secret metrics_token") as caught:
        load({}, {"WATCHKEEPER_METRICS_TOKEN_FILE": str(tmp_path / "none")})

    assert str(tmp_path / "none") in str(caught.value)


def test_a_mistyped_variable_is_noted() -> None:
    """A variable close to one of ours is named with the one that was meant; others are let be."""
    settings = load({}, {"WATCHKEEPER_SERVISE": "a", "WATCHKEEPER_SOMETHING_ELSE_ENTIRELY": "b"})

    assert 1 == len(settings.ignored)
    assert "did you mean WATCHKEEPER_SERVICE?" in settings.ignored[0]


@pytest.mark.parametrize("given", ["cheap", "[1]", '{"m": 3}', '{"m": {"input": -1}}', '{"m": {}}'])
def test_prices_that_cannot_be_read_are_refused(given: str) -> None:
    """A price needs a model and at least the rate of its input, not negative."""
    with pytest.raises(SettingError, match="llm_prices"):
        load({"llm_prices": given}, {})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("true", True), ("SPAN_ONLY", True), ("span_and_event", True), ("NO_CONTENT", False)],
)
def test_content_is_opted_in(given: str, wanted: bool) -> None:  # noqa: FBT001 - a table
    """OpenTelemetry's variable was a boolean first and is a word now."""
    settings = load({}, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": given})
    assert (wanted, ()) == (settings.capture_content, settings.ignored)


@pytest.mark.parametrize(
    ("given", "latest"),
    [("http/dup,gen_ai_latest_experimental", True), ("http", False), ("database/dup", False)],
)
def test_newer_genai_names_are_opted_in(given: str, latest: bool) -> None:  # noqa: FBT001 - a table
    """OpenTelemetry's variable turns them on, whatever else it lists."""
    assert latest == load({}, {"OTEL_SEMCONV_STABILITY_OPT_IN": given}).genai_latest
