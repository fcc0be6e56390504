"""Debian's ``amtool`` works against our server, and sees what our API says."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.services import needed

from watchkeeper.testing.processes import wait_until
from watchkeeper.testing.server import EmbeddedServer
from watchkeeper.testing.webhook import FakeWebhook

QUIET = "groups: []\n"
ROUTES = """
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 1h
  routes:
    - receiver: dev
      matchers: [team="dev"]
receivers:
  - name: ops
    slack_configs: [{api_url: "https://127.0.0.1:9/secret-path", channel: "#a"}]
  - name: dev
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [alertname]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Yield a server with routes and without rules."""
    folder = tmp_path_factory.mktemp("server")
    rules, routes = folder / "rules.yml", folder / "alertmanager.yml"
    rules.write_text(QUIET)
    routes.write_text(ROUTES)
    with EmbeddedServer(folder, rule_files=(rules,), alertmanager_config=routes) as running:
        yield running


def amtool(server: EmbeddedServer, *args: str, fails: bool = False) -> str:
    """Return what amtool prints, or its complaint."""
    program = shutil.which("amtool")
    if program is None:
        needed("amtool (Debian's prometheus-alertmanager)")
    done = subprocess.run(
        [program, "--alertmanager.url", server.url, *args],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stderr
    return done.stderr if fails else done.stdout


def query(server: EmbeddedServer, *args: str) -> list[dict[str, Any]]:
    """Return what a query of amtool shows."""
    found: list[dict[str, Any]] = json.loads(amtool(server, "-o", "json", *args))
    return found


def names(alerts: list[dict[str, Any]]) -> list[str]:
    """Return the names of alerts, sorted."""
    return sorted(alert["labels"]["alertname"] for alert in alerts)


def test_alerts_are_added_and_queried(server: EmbeddedServer) -> None:
    """``alert add`` and ``alert query`` by matchers, receiver and state; our API says the same."""
    amtool(server, "alert", "add", "Disk", "team=dev", "--annotation=summary=full")
    amtool(server, "alert", "add", "Net", "node=a", "--generator-url=http://127.0.0.1/g")
    assert {"Disk", "Net"} <= set(names(query(server, "alert", "query")))
    assert ["Disk"] == names(query(server, "alert", "query", "team=dev"))
    assert ["Net"] == names(query(server, "alert", "query", 'alertname=~"N.*"'))
    assert ["Disk"] == names(query(server, "alert", "query", "--receiver", "dev"))
    (disk,) = query(server, "alert", "query", "Disk")
    (ours,) = httpx.get(
        f"{server.url}/api/v2/alerts", params={"filter": "alertname=Disk"}, trust_env=False
    ).json()

    assert {"summary": "full"} == disk["annotations"]
    assert (disk["fingerprint"], "active") == (ours["fingerprint"], ours["status"]["state"])
    assert [{"name": "dev"}] == ours["receivers"]


def test_an_alert_with_an_end_in_the_past_is_gone(server: EmbeddedServer) -> None:
    """It counts as resolved, and is not shown."""
    amtool(server, "alert", "add", "Gone", "a=b")
    assert ["Gone"] == names(query(server, "alert", "query", "Gone"))
    amtool(server, "alert", "add", "Gone", "a=b", "--end=2026-01-01T00:00:00Z",
        "--start=2025-12-31T00:00:00Z")  # fmt: skip

    assert [] == query(server, "alert", "query", "Gone")


def test_silences_are_added_queried_updated_and_expired(server: EmbeddedServer) -> None:
    """Each verb of ``amtool silence`` does what it says, and alerts follow at once."""
    amtool(server, "alert", "add", "Loud", "a=b")
    identity = amtool(
        server, "silence", "add", "Loud", 'a=~"b|c"', "--comment=why", "--author=me", "-d", "1h"
    ).strip()
    (silence,) = query(server, "silence", "query", "Loud")
    assert (identity, "active", "why", "me") == (
        silence["id"], silence["status"]["state"], silence["comment"], silence["createdBy"],
    )  # fmt: skip
    assert [] == query(server, "alert", "query", "Loud")
    (muted,) = query(server, "alert", "query", "--silenced", "Loud")
    assert ("suppressed", [identity]) == (muted["status"]["state"], muted["status"]["silencedBy"])
    updated = amtool(server, "silence", "update", identity, "-d", "2h", "--comment=longer")
    assert identity in updated
    (silence,) = query(server, "silence", "query", "Loud")
    assert (identity, "longer") == (silence["id"], silence["comment"])
    amtool(server, "silence", "expire", identity)
    assert [] == query(server, "silence", "query", "Loud")
    (ended,) = query(server, "silence", "query", "--expired", "Loud")

    assert "expired" == ended["status"]["state"]
    assert ["Loud"] == names(query(server, "alert", "query", "Loud"))


def test_silences_are_imported(server: EmbeddedServer, tmp_path: Path) -> None:
    """What ``silence query -o json`` gave can be imported; an id that is unknown here is refused."""
    amtool(server, "silence", "add", "Imported", "--comment=x", "--author=me", "-d", "1h")
    found = query(server, "silence", "query", "Imported")
    file = tmp_path / "silences.json"
    file.write_text(json.dumps(found))
    amtool(server, "silence", "import", "--force", str(file))
    both = query(server, "silence", "query", "Imported")

    assert 2 == len(both)
    assert 2 == len({silence["id"] for silence in both})


def test_what_is_no_silence_is_refused(server: EmbeddedServer) -> None:
    """A matcher of everything, and an id that is unknown."""
    everything = amtool(
        server, "silence", "add", 'a=~".*"', "--comment=x", "--author=me", fails=True
    )
    unknown = amtool(
        server, "silence", "expire", "11111111-1111-1111-1111-111111111111", fails=True
    )

    assert "bad matcher" in everything or "400" in everything
    assert "404" in unknown


def test_the_configuration_is_shown_without_secrets(server: EmbeddedServer) -> None:
    """``config show`` and ``config routes`` read what ``/api/v2/status`` gives."""
    shown = amtool(server, "config", "show")
    routes = amtool(server, "config", "routes", "test", "team=dev")

    assert "receiver: ops" in shown
    assert "secret-path" not in shown
    assert "dev" == routes.strip()


def test_inhibition_shows_at_once(server: EmbeddedServer) -> None:
    """A warning is suppressed while a critical alert of the same name fires."""
    amtool(server, "alert", "add", "Pair", "severity=warning")
    amtool(server, "alert", "add", "Pair", "severity=critical")
    (critical,) = query(server, "alert", "query", "Pair")
    (warning,) = query(server, "alert", "query", "--inhibited", "Pair", "severity=warning")

    assert "critical" == critical["labels"]["severity"]
    assert [critical["fingerprint"]] == warning["status"]["inhibitedBy"]


def test_a_reload_takes_new_routes_and_keeps_old_ones(
    tmp_path: Path,
) -> None:
    """``/-/reload`` reads the file anew; a bad one is told of, and the old routes stay."""
    rules, routes = tmp_path / "rules.yml", tmp_path / "alertmanager.yml"
    rules.write_text(QUIET)
    routes.write_text(ROUTES)
    with EmbeddedServer(tmp_path, rule_files=(rules,), alertmanager_config=routes) as server:
        routes.write_text(
            ROUTES.replace("name: dev", "name: qa").replace("receiver: dev", "receiver: qa")
        )
        good = httpx.post(f"{server.url}/-/reload", trust_env=False)
        assert 200 == good.status_code
        routes.write_text("route: {receiver: nobody}\n")
        bad = httpx.post(f"{server.url}/-/reload", trust_env=False)
        receivers = httpx.get(f"{server.url}/api/v2/receivers", trust_env=False).json()

    assert 500 == bad.status_code
    assert "nobody" in bad.text
    assert [{"name": "ops"}, {"name": "qa"}] == receivers


@pytest.mark.timeout(240)
def test_an_alert_reaches_its_webhook(tmp_path: Path) -> None:
    """Pushed over the API, routed by the file, told over HTTP, listed in the history."""
    rules, routes = tmp_path / "rules.yml", tmp_path / "alertmanager.yml"
    rules.write_text(QUIET)
    with FakeWebhook() as hook:
        routes.write_text(
            "route: {receiver: ops, group_wait: 0s, group_by: [alertname]}\n"
            f"receivers: [{{name: ops, webhook_configs: [{{url: '{hook.url}'}}]}}]\n"
        )
        with EmbeddedServer(tmp_path, rule_files=(rules,), alertmanager_config=routes) as server:
            amtool(server, "alert", "add", "Real", "a=b")
            assert wait_until(lambda: len(hook.notifications) > 0, 20)
            assert wait_until(lambda: ["delivered"] == outcomes(server), 20)


def outcomes(server: EmbeddedServer) -> list[str]:
    """Return what became of the notifications."""
    answer = httpx.get(f"{server.url}/api/watchkeeper/v1/notifications", trust_env=False)
    return [row["outcome"] for row in answer.json()["notifications"]]
