"""The guide about receivers says what is true: its files are served and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.test_examples import BLOCK
from tests.house.rooms import ROOT

from watchkeeper.cli.main import main
from watchkeeper.server.alerts.config.fields import SLACK
from watchkeeper.server.alerts.config.loader import load_config_file
from watchkeeper.server.alerts.receivers import build_senders
from watchkeeper.testing import FakeWebhook
from watchkeeper.vocabulary.limits import LIMITS

PAGE = ROOT / "docs" / "alerting" / "receivers.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = BLOCK.findall(TEXT)


def code(kind: str) -> list[str]:
    """Return the guide's blocks of one language."""
    return [text for language, text in BLOCKS if language == kind]


def test_its_files_become_senders(tmp_path: Path) -> None:
    """Each configuration of the guide is served, with its file of templates."""
    [templates] = re.findall(r"^```go-template\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "team.tmpl").write_text(templates, encoding="utf-8")
    path = tmp_path / "alertmanager.yml"
    for text in code("yaml"):
        path.write_text(text, encoding="utf-8")

        assert build_senders(load_config_file(path))


def test_the_command_prints_what_the_guide_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the time that it took, and the address that is free here."""
    [expected] = code("text")
    path = tmp_path / "alertmanager.yml"
    with FakeWebhook() as hook:
        path.write_text(code("yaml")[0].replace("http://127.0.0.1:9099/hook", hook.url))
        [command] = code("sh")
        assert 0 == main([*command.split()[1:-1], str(path)])

    assert re.sub(r"\d+ ms", "N ms", expected) == re.sub(r"\d+ ms", "N ms", capsys.readouterr().out)


def test_the_example_with_a_fake_runs() -> None:
    """It is a whole program."""
    [program] = code("python")
    exec(compile(program, str(PAGE), "exec"), {})  # noqa: S102 - the page's own code


def test_it_names_the_fields_of_slack_that_are_left_out() -> None:
    """What is refused, or has no effect, is told."""
    for name in ("callback_id", "mrkdwn_in", "short_fields", "update_message"):
        assert name in SLACK.fields
        assert f"`{name}`" in TEXT


def test_the_limits_that_it_names_exist() -> None:
    """By their names in the reference."""
    named = set(re.findall(r"`(notification_\w+_max)`", TEXT))

    assert named
    assert named <= set(LIMITS)


def test_the_readme_leads_here() -> None:
    """The first page links the guide."""
    assert "(docs/alerting/receivers.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
