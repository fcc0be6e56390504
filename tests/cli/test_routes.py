"""``watchkeeper routes`` judges files and names receivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.cli.main import main

_FILE = """\
route:
  receiver: everyone
  routes:
  - matchers: [team="db", severity=~"page|ticket"]
    receiver: db
    continue: true
  - matchers: [severity="page"]
    receiver: pager
receivers:
- name: everyone
- name: db
  webhook_configs: [{url: http://h}]
- name: pager
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good file."""
    path = tmp_path / "am.yml"
    path.write_text(_FILE, encoding="utf-8")
    return path


def test_a_good_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good file exits with 0, and what is in it is counted."""
    assert main(["routes", "check", str(file)]) == 0

    shown = capsys.readouterr().out
    assert f"OK      {file}: for Alertmanager" in shown
    assert "3 routes, 3 receivers with 1 integrations, 0 inhibition rules" in shown


def test_a_bad_file_among_good_ones(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One bad file makes the exit code 1 and is named with its line; the others are still judged."""
    bad = file.with_name("bad.yml")
    bad.write_text(_FILE.replace("receiver: db", "receiver: dba"), encoding="utf-8")

    assert main(["routes", "check", str(bad), str(file)]) == 1

    shown = capsys.readouterr().out
    assert f"FAILED  {bad}:5: the receiver 'dba' is not defined" in shown
    assert f"OK      {file}" in shown


def test_what_the_server_refuses(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not served is told, and is an error only when judged for the embedded server."""
    file.write_text(_FILE + "  sns_configs: [{topic_arn: a}]\n", encoding="utf-8")

    assert main(["routes", "check", str(file)]) == 0
    assert main(["routes", "check", "--serve", str(file)]) == 1

    assert capsys.readouterr().out.count("line 14: the embedded server refuses sns_configs") == 2


def test_our_own_receivers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Our own apprise_configs are an error for Alertmanager and none for the embedded server."""
    file.write_text(_FILE + "  apprise_configs: [{urls: ['json://h']}]\n", encoding="utf-8")

    assert main(["routes", "check", str(file)]) == 1
    assert main(["routes", "check", "--serve", str(file)]) == 0

    assert capsys.readouterr().out.count("Alertmanager refuses apprise_configs") == 2


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ([], "everyone"),
        (["team=db"], "everyone"),
        (["team=db", "severity=ticket"], "db"),
        (["team=db", 'severity="page"'], "db,pager"),
        (["severity=page"], "pager"),
    ],
)
def test_where_an_alert_goes(
    file: Path, capsys: pytest.CaptureFixture[str], labels: list[str], receivers: str
) -> None:
    """The receivers of an alert are printed in order, and can be asserted."""
    assert main(["routes", "test", str(file), *labels]) == 0
    assert main(["routes", "test", str(file), *labels, "--expect", receivers]) == 0
    assert main(["routes", "test", str(file), *labels, "--expect", "nobody"]) == 1

    assert capsys.readouterr().out.splitlines() == [
        receivers, receivers, receivers, "FAILED  expected nobody",
    ]  # fmt: skip


@pytest.mark.parametrize("label", ["team", "team!=db", "team=~db", "{team=db}"])
def test_what_is_no_label(file: Path, capsys: pytest.CaptureFixture[str], label: str) -> None:
    """A word that is not ``name=value`` is refused with what is accepted."""
    assert main(["routes", "test", str(file), label]) == 1

    assert "name=" in capsys.readouterr().err
