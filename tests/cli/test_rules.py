"""`watchkeeper rules` says what is wrong with rule files, and which unit tests fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.cli.main import main

GOOD = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: m > 1}\n"
BAD = "groups:\n- name: g\n  rules:\n  - {alert: B, expr: 'm >'}\n"
TESTS = """
rule_files: [good.yml]
tests:
- input_series: [{series: m, values: 2}]
  alert_rule_test: [{alertname: A, exp_alerts: [{}]}]
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a good and a bad rule file, and a passing and a failing test file."""
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "bad.yml").write_text(BAD)
    (tmp_path / "pass.yml").write_text(TESTS)
    (tmp_path / "fail.yml").write_text(TESTS.replace("values: 2", "values: 1"))
    monkeypatch.chdir(tmp_path)


def test_check_names_the_bad_file_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """One bad file makes the exit code 1; the others are still judged."""
    assert 1 == main(["rules", "check", "bad.yml", "good.yml"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("FAILED  bad.yml:4: expr cannot be evaluated")
    assert "OK      good.yml: 1 rules in 1 groups" == shown[1]
    assert 0 == main(["rules", "check", "good.yml"])


def test_check_tells_of_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that stands there twice is told, and is no error."""
    (tmp_path / "two.yml").write_text(GOOD + "  - {alert: A, expr: m > 2}\n")
    assert 0 == main(["rules", "check", "two.yml"])
    assert "A{} stands there more than once" in capsys.readouterr().out


def test_check_judges_names_as_older_versions_do(tmp_path: Path) -> None:
    """``--names legacy`` refuses what Prometheus 2 refuses."""
    (tmp_path / "utf8.yml").write_text(GOOD.replace("m > 1", "m > 1, labels: {a.b: c}"))
    assert 0 == main(["rules", "check", "utf8.yml"])
    assert 1 == main(["rules", "check", "--names", "legacy", "utf8.yml"])


def test_test_shows_each_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """A failing test makes the exit code 1, with what was expected and what came."""
    assert 1 == main(["rules", "test", "fail.yml", "pass.yml"])
    assert [
        "FAILED  fail.yml: 1 tests, 1 expectations, 1 failures",
        "  fail.yml:5: alert A at 0s",
        '    expected  {alertname="A"}',
        "    got       nothing",
        "OK      pass.yml: 1 tests, 1 expectations",
    ] == capsys.readouterr().out.splitlines()
    assert 0 == main(["rules", "test", "pass.yml"])


def test_a_missing_file_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is a failure with its reason, for both commands."""
    assert 1 == main(["rules", "check", "gone.yml"])
    assert 1 == main(["rules", "test", "gone.yml"])
    assert 2 == capsys.readouterr().out.count("gone.yml: cannot be read")


def test_without_a_file_the_command_line_makes_no_sense() -> None:
    """Exit code 2, as for every command."""
    with pytest.raises(SystemExit) as caught:
        main(["rules", "test"])
    assert 2 == caught.value.code
