"""The command line answers a newcomer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house.rooms import ROOT

from watchkeeper.cli.main import COMMANDS, main, parser
from watchkeeper.cli.reference import commands_page
from watchkeeper.cli.run import environment, service_name


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, the help tells where to start."""
    assert main([]) == 2

    assert "watchkeeper demo" in capsys.readouterr().out


def test_a_mistyped_flag_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown flag exits with 2 and names the flag that was meant."""
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--prot", "8401"])

    assert caught.value.code == 2
    assert "--prot" in (shown := capsys.readouterr().err)
    assert "watchkeeper --help" in shown


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: str(module.NAME))
def test_every_command_explains_itself(module: object, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` of each command shows its purpose and each option with a text."""
    name = module.NAME  # type: ignore[attr-defined] # a command module
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])

    assert caught.value.code == 0
    assert (module.__doc__ or "").splitlines()[0][:60] in capsys.readouterr().out


def test_the_reference_page_is_current() -> None:
    """docs/reference/commands.md is what the parsers generate (``make docs`` writes it)."""
    page = ROOT / "docs" / "reference" / "commands.md"

    assert commands_page(parser()) == page.read_text(encoding="utf-8")


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """A server that cannot have its port exits with 1 and says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "watchkeeper.cli", "serve", "--port", str(port),
             "--otlp-port", "0", "--data-dir", str(tmp_path / "data")],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert ended.returncode == 1
    assert f"got port {port}" in ended.stderr
    assert "choose another port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    """A folder that holds something else is not taken as a data directory."""
    (tmp_path / "thesis.txt").write_text("mine")
    ended = subprocess.run(
        [sys.executable, "-m", "watchkeeper.cli", "serve", "--port", "0", "--otlp-port", "0",
         "--data-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "Next:" in ended.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_rule_file_with_a_typo_is_said(tmp_path: Path) -> None:
    """A rule that does not parse stops the start, with file, line and reason."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum(rate(x[5m])\n")
    ended = subprocess.run(
        [sys.executable, "-m", "watchkeeper.cli", "serve", "--port", "0", "--otlp-port", "0",
         "--data-dir", str(tmp_path / "data"), "--rules", str(rules)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "rules.yml" in ended.stderr
    assert "Next:" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["uvicorn", "shop.app:app", "--workers", "2"], "shop"),
        (["uvicorn", "app:app"], "app"),
        (["python", "-m", "server"], "python"),
        (["flask", "--app", "shop.web:create_app()", "run"], "shop"),
        (["flask", "--app=src/shop.py", "run", "--port", "80"], "shop"),
        (["/venv/bin/flask", "run"], "flask"),
        (["celery", "-A", "shop.tasks", "worker"], "shop"),
    ],
)
def test_the_service_is_named_after_what_runs(command: list[str], expected: str) -> None:
    """``watchkeeper run`` names the service after the application's module."""
    assert expected == service_name(command)


def test_flask_alone_is_named_after_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``flask run`` is named after ``FLASK_APP``, else after the file that Flask takes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").touch()
    names = [service_name(["flask", "run"])]
    monkeypatch.setenv("FLASK_APP", "shop.web:app")
    assert ["app", "shop"] == [*names, service_name(["flask", "run"])]


def test_run_without_a_command_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    """``watchkeeper run`` alone exits with 1 and shows the form."""
    assert main(["run"]) == 1

    assert "watchkeeper run -- COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "arguments", "expected"),
    [
        ({}, [], {"SERVICE": "app", "ENDPOINT": "http://127.0.0.1:8400"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SERVICE_NAME": "shop"}, [], {}),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, [], {"SERVICE": "app"}),
        ({"WATCHKEEPER_ENDPOINT": "http://c:1"}, [], {"SERVICE": "app", "ENDPOINT": "http://c:1"}),
        (
            {"WATCHKEEPER_ENDPOINT": "http://c:1", "OTEL_SERVICE_NAME": "shop"},
            ["--endpoint", "http://d:2", "--service", "till"],
            {"SERVICE": "till", "ENDPOINT": "http://d:2"},
        ),
    ],
    ids=["nothing", "OpenTelemetry's", "gRPC", "ours", "flags"],
)
def test_what_is_set_wins_over_what_run_makes_up(
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    arguments: list[str],
    expected: dict[str, str],
) -> None:
    """A flag wins over the environment, and a variable of either kind over what is made up."""
    for name in [name for name in os.environ if name.startswith(("WATCHKEEPER_", "OTEL_"))]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    command = ["uvicorn", "app:app"]
    args = parser().parse_args(["run", *arguments, "--", *command])
    made = environment(args, command)
    found = {name: made.get(f"WATCHKEEPER_{name}") for name in ("SERVICE", "ENDPOINT")}
    assert expected == {name: value for name, value in found.items() if value is not None}


def test_a_settings_file_wins_over_what_run_makes_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What ``watchkeeper.toml`` says is not hidden by a made up variable."""
    (tmp_path / "watchkeeper.toml").write_text('[instrument]\nendpoint = "http://c:4318"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WATCHKEEPER_ENDPOINT", raising=False)
    args = parser().parse_args(["run", "--", "uvicorn", "app:app"])
    assert "WATCHKEEPER_ENDPOINT" not in environment(args, ["uvicorn", "app:app"])
