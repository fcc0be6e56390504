"""The same alerts and routes, given to Debian's Alertmanager and to us, come to the same messages."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.services import needed

from watchkeeper.testing.processes import free_port, wait_until
from watchkeeper.testing.server import EmbeddedServer
from watchkeeper.testing.webhook import FakeWebhook

ROUTES = """
global: {{resolve_timeout: 10m}}
route:
  receiver: all
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
  routes:
    - receiver: teams
      matchers: [team=~"db|web"]
      group_by: [team]
      continue: true
    - receiver: each
      matchers: [kind="single"]
      group_by: ['...']
receivers:
  - name: all
    webhook_configs: [{{url: "{url}/all", send_resolved: true}}]
  - name: teams
    webhook_configs: [{{url: "{url}/teams", send_resolved: false}}]
  - name: each
    webhook_configs: [{{url: "{url}/each"}}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [node]
"""


@dataclass
class Side:
    """One of the two, and who is told by it."""

    url: str
    hook: FakeWebhook

    def push(self, alerts: list[dict[str, Any]]) -> None:
        """Send alerts over the API that both have."""
        answer = httpx.post(f"{self.url}/api/v2/alerts", json=alerts, trust_env=False)
        assert 200 == answer.status_code, answer.text

    def get(self, path: str) -> Any:
        """Return an answer of the API."""
        return httpx.get(f"{self.url}/api/v2{path}", trust_env=False).json()

    def messages(self) -> dict[tuple[str, str], list[tuple[str, list[tuple[str, str]]]]]:
        """Return what was told, in order, by receiver and group."""
        found: dict[tuple[str, str], list[tuple[str, list[tuple[str, str]]]]] = {}
        for said in list(self.hook.notifications):
            alerts = sorted((str(sorted(a["labels"].items())), a["status"]) for a in said["alerts"])
            found.setdefault((said["receiver"], said["groupKey"]), []).append(
                (said["status"], alerts)
            )
        return found

    def states(self) -> list[tuple[str, str, str, int]]:
        """Return each alert's fingerprint, receivers, state, and how many inhibit it."""
        return [
            (
                alert["fingerprint"],
                str(alert["receivers"]),
                alert["status"]["state"],
                len(alert["status"]["inhibitedBy"]),
            )
            for alert in self.get("/alerts")
        ]

    def groups(self) -> list[tuple[str, str, list[str]]]:
        """Return the groups with their receivers and alerts, in the API's order."""
        return [
            (
                str(sorted(group["labels"].items())),
                group["receiver"]["name"],
                [alert["fingerprint"] for alert in group["alerts"]],
            )
            for group in self.get("/alerts/groups")
        ]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """Yield Alertmanager and ourselves, with the same routes."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        needed("prometheus-alertmanager")
    (tmp_path / "rules.yml").write_text("groups: []\n")
    with FakeWebhook() as theirs, FakeWebhook() as ours:
        for name, hook in (("theirs", theirs), ("ours", ours)):
            (tmp_path / f"{name}.yml").write_text(ROUTES.format(url=hook.url))
        port = free_port()
        process = subprocess.Popen(
            [
                program, f"--config.file={tmp_path / 'theirs.yml'}",
                f"--storage.path={tmp_path / 'am'}", f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            assert wait_until(lambda: _ready(url), 20)
            with EmbeddedServer(
                tmp_path / "wk",
                rule_files=(tmp_path / "rules.yml",),
                alertmanager_config=tmp_path / "ours.yml",
            ) as server:
                yield Side(url, theirs), Side(server.url, ours)
        finally:
            process.terminate()
            process.wait(40)


def _ready(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    return False


def alert(name: str, *, ended: bool = False, **labels: str) -> dict[str, Any]:
    """Return an alert that begins, or has ended, when it is sent."""
    return {
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": f"{name} it is"},
        "ended": ended,
    }


def timed(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return alerts with times of now: those that begin together are told after one group_wait."""
    now = datetime.now(UTC)
    found = []
    for one in alerts:
        sent = {name: value for name, value in one.items() if name != "ended"}
        sent["startsAt"] = now.isoformat()
        if one["ended"]:
            sent["startsAt"] = (now - timedelta(milliseconds=1)).isoformat()
            sent["endsAt"] = now.isoformat()
        found.append(sent)
    return found


def told(side: Side, count: int) -> Callable[[], bool]:
    """Return whether *side* has told *count* messages."""
    return lambda: len(side.hook.notifications) >= count


@pytest.mark.timeout(480)
def test_both_tell_the_same(sides: tuple[Side, Side]) -> None:
    """Groups, states, keys and the order of messages are equal, step by step.

    Each step waits until both have told what it leads to, so no times are compared.
    """
    steps: list[tuple[list[dict[str, Any]], int]] = [
        ([alert("Disk", node="a", severity="critical"), alert("Slow", node="a", severity="warning"),
          alert("Slow", node="b", severity="warning")], 2),
        ([alert("Queue", team="db"), alert("Lock", team="db"), alert("One", kind="single", n="1"),
          alert("One", kind="single", n="2")], 5),
        ([alert("Queue", team="db", n="2"), alert("Disk", node="c", severity="critical")], 7),
        ([alert("Disk", node="a", severity="critical", ended=True)], 9),
        ([alert("Lock", team="db", ended=True), alert("One", kind="single", n="1", ended=True)], 10),
        ([alert("Disk", node="c", severity="critical", ended=True),
          alert("Slow", node="a", severity="warning", ended=True),
          alert("Slow", node="b", severity="warning", ended=True)], 12),
    ]  # fmt: skip
    theirs, ours = sides
    for alerts, count in steps:
        sent = timed(alerts)
        for side in sides:
            side.push(sent)
        assert theirs.states() == ours.states()
        assert theirs.groups() == ours.groups()
        assert wait_until(told(theirs, count), 15), (theirs.messages(), count)
        assert wait_until(told(ours, count), 15), (ours.messages(), count)

    assert theirs.messages() == ours.messages()
