"""What a production Alertmanager sends, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from tests.alerting.escalation.rig import Rig
from tests.alerting.escalation.samples import NOON_MS, POLICIES, TEAM, at, group

from watchkeeper.errors import PayloadError
from watchkeeper.server.alerts.escalation.incident import Incident, State
from watchkeeper.server.alerts.escalation.links import LinkKeys
from watchkeeper.server.alerts.escalation.webhook import read_webhook
from watchkeeper.server.alerts.notification import Delivery
from watchkeeper.server.alerts.receivers.webhook import payload
from watchkeeper.server.api.incidents import routes

ADDRESS = "/api/watchkeeper/v1/alertmanager"

SENT: dict[str, Any] = {
    "receiver": "watchkeeper\\-hook",
    "status": "firing",
    "alerts": [
        {
            "status": "resolved",
            "labels": {"alertname": "Down", "instance": "a", "severity": "critical"},
            "annotations": {"summary": "a is down"},
            "startsAt": "2026-07-15T11:50:00.123456789Z",
            "endsAt": "2026-07-15T11:59:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
            "fingerprint": "0123456789abcdef",
        },
        {
            "status": "firing",
            "labels": {"alertname": "Down", "instance": "b", "severity": "critical"},
            "annotations": {},
            "startsAt": "2026-07-15T13:58:00+02:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "fedcba9876543210",
        },
    ],
    "groupLabels": {"alertname": "Down"},
    "commonLabels": {"alertname": "Down", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="Down"}',
    "truncatedAlerts": 0,
}


def test_a_payload_of_version_4_is_read() -> None:
    """Times, states, names and the group's key are taken as Alertmanager means them."""
    got = read_webhook(orjson.dumps(SENT), NOON_MS)

    note = got.notification
    assert got.complete
    assert (note.receiver, note.group_key, note.status) == (
        "watchkeeper-hook", '{}:{alertname="Down"}', "firing"
    )  # fmt: skip
    assert [(a.labels["instance"], a.firing) for a in note.alerts] == [("b", True), ("a", False)]
    assert note.alerts[1].starts_ms == at("2026-07-15T11:50:00.123+00:00")
    assert note.alerts[1].ends_ms == at("2026-07-15T11:59:00+00:00")
    assert note.alerts[0].starts_ms == at("2026-07-15T11:58:00+00:00")


def test_what_our_own_webhook_sends_is_read_back() -> None:
    """Our sender and our reader agree about the format."""
    note = group()
    got = read_webhook(orjson.dumps(payload(note)), NOON_MS).notification

    assert (got.receiver, got.group_key, got.group_labels) == (
        note.receiver, note.group_key, note.group_labels
    )  # fmt: skip
    assert [a.labels for a in got.alerts] == [a.labels for a in note.alerts]
    assert [a.starts_ms for a in got.alerts] == [a.starts_ms for a in note.alerts]


@pytest.mark.parametrize(
    "change",
    [
        {"version": "3"},
        {"alerts": []},
        {"alerts": [1]},
        {"alerts": [{"status": "odd"}]},
        {"groupKey": None},
        {"groupLabels": {"a": 1}},
        {"truncatedAlerts": "2"},
    ],
)
def test_another_payload_is_refused(change: dict[str, Any]) -> None:
    """What is not the payload of a webhook is an error that says what is."""
    with pytest.raises(PayloadError, match="version 4"):
        read_webhook(orjson.dumps(SENT | change), NOON_MS)
    with pytest.raises(PayloadError, match="not JSON"):
        read_webhook(b"{", NOON_MS)


@pytest.fixture
def http(rig: Rig) -> httpx.AsyncClient:
    """Return a client of the routes."""
    app = Starlette(routes=routes(rig.runner, LinkKeys(rig.folder), rig.clock))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_a_group_of_an_alertmanager_escalates_and_is_resolved(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    """The webhook opens an incident, pages, and ends it when the group is resolved."""
    answer = await http.post(ADDRESS, json=SENT)
    await rig.runner.settle()
    assert answer.status_code == 200
    incident = answer.json()["incident"]
    assert rig.words() == {"alice-phone": ["firing"]}
    ended = SENT | {"status": "resolved", "alerts": [SENT["alerts"][0]]}
    assert (await http.post(ADDRESS, json=ended)).json()["incident"] == incident
    await rig.runner.settle()

    assert rig.words() == {"alice-phone": ["firing", "resolved"]}


async def test_groups_of_different_sources_are_different_incidents(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    """Two Alertmanagers, and our own rules, may have groups with one key."""
    first = (await http.post(ADDRESS, json=SENT)).json()["incident"]
    other = (await http.post(f"{ADDRESS}?source=eu", json=SENT)).json()["incident"]

    assert first != other
    assert (await http.post(f"{ADDRESS}?source=rules", json=SENT)).status_code == 400
    assert rig.sql("SELECT source FROM incidents ORDER BY source") == [("alertmanager",), ("eu",)]


async def test_a_payload_that_cannot_be_read_is_answered_400(http: httpx.AsyncClient) -> None:
    """Alertmanager does not repeat it, and its log shows why."""
    answer = await http.post(ADDRESS, content=b"{}")

    assert answer.status_code == 400
    assert "webhook" in answer.json()["error"]


class Upstream:
    """An Alertmanager that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def tell(
        self, kind: str, _incident: Incident, by: str, thread: Mapping[str, str]
    ) -> Delivery:
        """Keep it."""
        self.told.append((kind, by))
        return Delivery("ok", dict(thread))


async def test_alerts_that_are_silenced_there_are_not_taken_for_ended(tmp_path: Path) -> None:
    """While its silence holds, a message that leaves alerts out speaks only for those it names."""
    upstream = Upstream()
    bridge = "alertmanager: {url: 'http://127.0.0.1:9093'}\n"
    rig = Rig(tmp_path, TEAM + POLICIES + bridge, upstream)
    sent = read_webhook(orjson.dumps(SENT), NOON_MS).notification
    b_fires = replace(sent, alerts=sent.alerts[:1])
    incident = await rig.runner.on_notification(b_fires, source="am")
    assert incident is not None
    await rig.person(incident, "acknowledge")
    c_fired = replace(sent.alerts[0], fingerprint="c" * 16, labels={"alertname": "Down"})
    await rig.runner.on_notification(replace(sent, alerts=(c_fired,)), source="am")
    ended = replace(sent, alerts=(replace(c_fired, ends_ms=NOON_MS),))
    after = await rig.runner.on_notification(ended, source="am")
    rig.close()

    assert after is not None
    assert after.state is State.ACKNOWLEDGED
    assert [(a.fingerprint, a.firing) for a in after.alerts] == [
        ("fedcba9876543210", True), ("c" * 16, False)
    ]  # fmt: skip
    assert upstream.told == [("acknowledged", "alice")]
