"""`watchkeeper config show` says what is in force, from where, and no secret."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from watchkeeper.cli.config import rows
from watchkeeper.cli.main import main


def test_each_value_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment wins over the file, the file over the default, and each is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "watchkeeper.toml").write_text('[instrument]\nservice = "a"\nversion = "1"\n')
    found = rows(changed=False, environ={"WATCHKEEPER_SERVICE": "b"})

    assert {"value": "b", "origin": "WATCHKEEPER_SERVICE"} == found["service"]
    assert {"value": "1", "origin": "watchkeeper.toml"} == found["version"]
    assert {"value": 1.0, "origin": "default"} == found["sample_ratio"]


def test_only_changed_settings_on_request() -> None:
    """``--changed`` leaves out what has its default."""
    found = rows(changed=True, environ={"WATCHKEEPER_ENVIRONMENT": "production"})

    assert ["environment"] == list(found)


def test_secrets_are_masked() -> None:
    """Header values never appear, nor keys in an endpoint's query or in the resource."""
    environ = {
        "WATCHKEEPER_HEADERS": "authorization=Bearer abc123xyz",
        "WATCHKEEPER_TRACES_ENDPOINT": "https://c.example/v1/traces?team=a&api_key=abc123xyz",
        "WATCHKEEPER_RESOURCE": "team.name=a,team.token=abc123xyz",
        "WATCHKEEPER_LOG_LEVELS": "shop.auth=debug",
    }
    found = rows(changed=True, environ=environ)

    assert "[secret]" == found["headers"]["value"]
    assert {"team.name": "a", "team.token": "[secret]"} == found["resource"]["value"]
    assert "https://c.example/v1/traces?team=a&api_key=" in found["traces_endpoint"]["value"]
    assert "shop.auth" in found["log_levels"]["value"]
    assert "[secret]" not in str(found["log_levels"])
    assert "abc123xyz" not in str(found)


def test_it_prints_json_and_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both forms name the setting, its value and its origin."""
    for name in [name for name in os.environ if name.startswith(("WATCHKEEPER_", "OTEL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WATCHKEEPER_SERVICE", "shop")
    assert 0 == main(["config", "show", "--changed", "--json"])
    shown = orjson.loads(capsys.readouterr().out)
    assert {"value": "shop", "origin": "WATCHKEEPER_SERVICE"} == shown["settings"]["service"]
    assert 0 == main(["config", "show"])
    assert "WATCHKEEPER_SERVICE" in capsys.readouterr().out


def test_a_mistake_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown key of the file ends with 1 and the key that was meant."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "watchkeeper.toml").write_text('[instrument]\nservise = "a"\n')

    assert 1 == main(["config", "show"])
    assert "use 'service'" in capsys.readouterr().err


def test_a_mistyped_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that looks like ours and is none ends with 1 and the name that was meant."""
    monkeypatch.setenv("WATCHKEEPER_SERVISE", "a")

    assert 1 == main(["config", "show", "--changed"])
    assert "WATCHKEEPER_SERVICE" in capsys.readouterr().out
