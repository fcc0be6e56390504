"""``watchkeeper notify test`` sends through the real path and says what came back."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.cli.main import main
from watchkeeper.testing import Answer, FakePagerDuty, FakeWebhook


def written(folder: Path, hook: FakeWebhook, pager: FakePagerDuty) -> str:
    """Write a configuration; return its path."""
    path = folder / "alertmanager.yml"
    path.write_text(f"""
route: {{receiver: team}}
receivers:
- name: team
  webhook_configs: [{{url: '{hook.url}', send_resolved: false}}]
  pagerduty_configs: [{{routing_key: {pager.routing_key}, url: '{pager.url}'}}]
- name: nobody
""")
    return str(path)


def test_each_integration_is_told_of_the_alert_and_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answers are printed, nothing stays open, and the exit code is 0."""
    with FakeWebhook() as hook, FakePagerDuty() as pager:
        code = main(["notify", "test", "team", "--config", written(tmp_path, hook, pager)])
    lines = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert [
        ("OK", "pagerduty_configs[0]", "firing", "HTTP 202: trigger, Event processed"),
        ("OK", "pagerduty_configs[0]", "resolved", "HTTP 202: resolve, Event processed"),
        ("OK", "webhook_configs[0]", "firing", "HTTP 200"),
    ] == sorted((*line.split()[:3], line.split(" ms  ")[1]) for line in lines)
    assert ["firing"] == [body["status"] for body in hook.notifications]
    assert ["resolved"] == [incident.status for incident in pager.incidents]


def test_an_integration_that_does_not_take_it_is_told_with_its_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are told all the same; the exit code is 1; no secret is shown."""
    with FakeWebhook() as hook, FakePagerDuty() as pager:
        hook.answer_next(Answer(404, b"no such hook"))
        path = written(tmp_path, hook, pager)
        code = main(["notify", "test", "team", "--config", path, "--keep-open"])
    said = capsys.readouterr().out

    assert 1 == code
    assert "HTTP 404: no such hook (final)" in said
    assert ["triggered"] == [incident.status for incident in pager.incidents]
    assert "secret" not in said
    assert pager.routing_key not in said


@pytest.mark.parametrize("name", ["nobody", "unknown"])
def test_a_receiver_that_tells_nobody_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The error names those that do."""
    with FakeWebhook() as hook, FakePagerDuty() as pager:
        code = main(["notify", "test", name, "--config", written(tmp_path, hook, pager)])

    assert 1 == code
    assert "Accepted: team" in capsys.readouterr().err
