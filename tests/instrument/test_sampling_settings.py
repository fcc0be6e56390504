"""The settings of sampling, and the samplers that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from tests.instrument.rig import HandClock

from watchkeeper.errors import SettingError
from watchkeeper.instrument.recorder.span import EXCLUDED
from watchkeeper.instrument.sampling import samplers
from watchkeeper.instrument.settings import load

LOW, HIGH = 1, (1 << 64) - 1


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "follows", "tail"),
    [
        ("", "", 1.0, True, True),
        ("always_on", "", 1.0, False, True),
        ("always_off", "", 0.0, False, False),
        ("traceidratio", "0.25", 0.25, False, True),
        ("traceidratio", "", 1.0, False, True),
        ("traceidratio", "much", 1.0, False, True),
        ("parentbased_always_on", "0.5", 1.0, True, True),
        ("parentbased_always_off", "", 0.0, True, False),
        ("parentbased_traceidratio", "0.125", 0.125, True, True),
        ("jaeger_remote", "0.5", 1.0, True, True),
    ],
)
def test_opentelemetrys_sampler_is_honoured(
    sampler: str,
    argument: str,
    ratio: float,
    follows: bool,  # noqa: FBT001 - a parameter of pytest
    tail: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """Sampler and argument give ratio, parent and tail; one that is unknown is noted."""
    env = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    settings = load({}, env)
    assert (ratio, follows, tail) == (
        settings.sample_ratio,
        settings.sample_parent,
        settings.sample_tail,
    )
    noted = {"jaeger_remote": "OTEL_TRACES_SAMPLER is", "traceidratio": "OTEL_TRACES_SAMPLER_ARG"}
    odd = sampler == "jaeger_remote" or argument == "much"
    assert odd == any(noted.get(sampler, "-") in line for line in settings.ignored)


def test_our_settings_come_before_opentelemetrys() -> None:
    """What is set by our own names stays."""
    env = {
        "OTEL_TRACES_SAMPLER": "always_off",
        "WATCHKEEPER_SAMPLE_RATIO": "0.5",
        "WATCHKEEPER_SAMPLE_PARENT": "yes",
    }
    settings = load({}, env)
    assert (0.5, True, True) == (
        settings.sample_ratio,
        settings.sample_parent,
        settings.sample_tail,
    )


RULES = (("GET /healthz", 0.0), ("job nightly", 0.5), ("*", 0.1))


@pytest.mark.parametrize(
    "given",
    [
        "GET /healthz=0, job nightly=0.5, *=0.1,",
        {"GET /healthz": 0, "job nightly": 0.5, "*": 0.1},
        ["GET /healthz=0", ("job nightly", "0.5"), ("*", 0.1)],
    ],
)
def test_rules_can_be_written_in_three_ways(given: object) -> None:
    """As text, as a mapping, and as a sequence; the order stays."""
    assert RULES == load({"sample_rules": given}, {}).sample_rules


def test_rules_can_be_a_table_of_the_file(tmp_path: Path) -> None:
    """The order of the table is the order of the rules."""
    (tmp_path / "watchkeeper.toml").write_text(
        '[instrument.sample_rules]\n"GET /healthz" = 0\n"job nightly" = 0.5\n"*" = 0.1\n',
        encoding="utf-8",
    )
    assert RULES == load({}, {}).sample_rules


@pytest.mark.parametrize("given", ["GET /x", "=1", "a=2", "a=much", 7, [("a", 1, 2)], [7]])
def test_rules_that_cannot_be_read_are_refused(given: Any) -> None:
    """The error shows how rules are written."""
    with pytest.raises(SettingError, match=r"GET /orders/\{id\}=0\.1"):
        load({"sample_rules": given}, {})


def test_the_settings_make_the_samplers() -> None:
    """Ratio, rules and excluded paths are in force; the metrics path is excluded as well."""
    settings = load({"sample_ratio": 0.0, "sample_rules": "/a=1", "sample_exclude": "/quiet"}, {})
    head, tail = samplers(settings, HandClock())
    assert tail is not None
    found = [
        head.sample(HIGH, None, "GET", SpanKind.SERVER, {"url.path": path})
        for path in ("/a", "/b", "/quiet", "/metrics", "/healthz")
    ]
    assert [1, 0, EXCLUDED, EXCLUDED, 0] == found


def test_health_checks_are_not_traced_by_default() -> None:
    """Their usual paths are excluded unless told otherwise."""
    head, _ = samplers(load({}, {}), HandClock())
    assert EXCLUDED == head.sample(LOW, None, "GET", SpanKind.SERVER, {"url.path": "/healthz"})


def test_without_a_tail_there_is_none() -> None:
    """`sample_tail=False` leaves the ratio alone to decide."""
    assert samplers(load({"sample_tail": False}, {}), HandClock())[1] is None
