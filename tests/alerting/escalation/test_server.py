"""The whole server: from a rule that fires to an acknowledged page, and back to quiet."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.house.rooms import ROOT

from watchkeeper.cli.main import main, parser
from watchkeeper.clock import SystemClock
from watchkeeper.errors import EscalationFileError
from watchkeeper.server.alerts.escalation.loader import load_text
from watchkeeper.server.run import build
from watchkeeper.server.settings import ServerSettings
from watchkeeper.testing.processes import wait_until
from watchkeeper.testing.server import EmbeddedServer
from watchkeeper.testing.webhook import FakeWebhook

GUIDE = ROOT / "docs" / "alerting" / "escalation.md"

RULES = """\
groups:
  - name: g
    interval: 1s
    rules:
      - alert: Down
        expr: vector(1)
        labels: {severity: critical}
"""
ROUTES = """\
route: {{receiver: chat, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: chat
    webhook_configs: [{{url: '{chat}'}}]
  - name: phone
    webhook_configs: [{{url: '{phone}'}}]
"""
BOOK = """\
users: {ann: {contacts: [phone]}}
schedules:
  all:
    time_zone: UTC
    layers: [{users: [ann], start: 2020-01-01T00:00, turn: daily}]
policies:
  - name: p
    steps: [{notify: [{schedule: all}], wait: 1s}]
    repeat_every: 1m
"""


def files(folder: Path, chat: str, phone: str) -> dict[str, Path]:
    """Write the three files and return their paths."""
    texts = {
        "rules.yml": RULES,
        "alertmanager.yml": ROUTES.format(chat=chat, phone=phone),
        "escalation.yml": BOOK,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in texts}


def test_a_rule_pages_and_a_person_acknowledges_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The route's receiver and who is on call are told; the incident shows all of it."""
    with FakeWebhook() as chat, FakeWebhook() as phone:
        paths = files(tmp_path, chat.url, phone.url)
        with EmbeddedServer(
            tmp_path,
            rule_files=(paths["rules.yml"],),
            alertmanager_config=paths["alertmanager.yml"],
            escalation_file=paths["escalation.yml"],
        ) as server:
            assert phone.wait_for(1, 30)
            assert chat.wait_for(1, 30)
            assert [body["receiver"] for body in phone.notifications] == ["phone"]
            at = ["--server", server.url]
            assert main(["oncall", *at]) == 0
            assert "all: ann" in capsys.readouterr().out
            assert main(["incidents", "list", *at]) == 0
            number = capsys.readouterr().out.split()[0]
            assert main(["incidents", "ack", number[:6], "--as", "ann", *at]) == 0
            assert "acknowledged" in capsys.readouterr().out
            assert main(["incidents", "ack", number, "--as", "bob", *at]) == 1
            assert "already, by ann" in capsys.readouterr().err
            assert main(["incidents", "comment", number, "a \x1b[31mred\x1b[0m word", *at]) == 0
            assert main(["incidents", "show", number, *at]) == 0
            shown = capsys.readouterr().out
            assert "paged ann over phone (webhook[0]): delivered (HTTP 200)" in shown
            assert "\x1b" not in shown
            assert main(["incidents", "export", number, *at]) == 0
            assert f"# Incident {number}" in capsys.readouterr().out
            assert main(["incidents", "resolve", number, *at]) == 0
            assert wait_until(lambda: len(phone.notifications) == 2, 20)
            assert phone.notifications[1]["status"] == "resolved"
            assert listed(server.url) == []


def listed(url: str) -> list[Any]:
    """Return the open incidents."""
    found: list[Any] = httpx.get(f"{url}/api/watchkeeper/v1/incidents").json()["incidents"]
    return found


def test_a_file_that_names_an_unknown_receiver_does_not_start(tmp_path: Path) -> None:
    """The server says which line names what alertmanager.yml lacks."""
    paths = files(tmp_path, "http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    paths["escalation.yml"].write_text(BOOK.replace("[phone]", "[fax]"))
    with pytest.raises(EscalationFileError, match=r"escalation.yml:1: no receiver is called 'fax'"):
        build(
            ServerSettings(
                data_dir=tmp_path / "data",
                targets_dir=tmp_path / "targets",
                alertmanager_config=paths["alertmanager.yml"],
                escalation_file=paths["escalation.yml"],
            ),
            clock=SystemClock(),
        )


def test_a_file_is_checked_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check tells who is on call, gaps, and receivers that are missing."""
    paths = files(tmp_path, "http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    check = ["escalation", "check", str(paths["escalation.yml"])]
    config = ["--alertmanager-config", str(paths["alertmanager.yml"])]
    assert main([*check, *config]) == 0
    assert "schedule all: ann is on call now" in capsys.readouterr().out
    gap = "turn: daily, only: [{from: '09:00', until: '17:00'}]"
    paths["escalation.yml"].write_text(BOOK.replace("[phone]", "[fax]").replace("turn: daily", gap))
    assert main([*check, *config]) == 1
    told = capsys.readouterr().out
    assert "no receiver is called 'fax'" in told
    assert "gap: " in told
    paths["escalation.yml"].write_text("polices: []")
    assert main(check) == 1
    assert "did you mean policies?" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the address and the remedy."""
    assert main(["incidents", "list", "--server", "http://127.0.0.1:9"]) == 1
    assert "the server does not answer" in capsys.readouterr().err


def test_the_guide_shows_what_is_accepted() -> None:
    """The guide's file loads, and its commands are ones that our command line understands."""
    page = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    books = [text for kind, text in blocks if kind == "yaml" and not text.startswith("# file: ")]
    assert len(books) == 2
    whole = load_text("\n".join(books), "escalation.yml")
    assert [policy.name for policy in whole.policies] == ["pages", "tickets"]
    assert whole.bridge is not None
    commands = [line for kind, text in blocks if kind == "sh" for line in text.splitlines()]
    for line in commands:
        parser().parse_args(shlex.split(line)[1:])
    assert len(commands) == 11
    assert "(docs/alerting/escalation.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
