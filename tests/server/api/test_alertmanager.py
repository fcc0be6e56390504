"""The shapes and codes of Alertmanager's API; what ``amtool`` does not look at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from tests.server.alerts.desk import Desk, Scripted, routing

from watchkeeper.server.api.alertmanager import routes
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock

UNKNOWN = "11111111-1111-1111-1111-111111111111"
SILENCE: dict[str, Any] = {
    "matchers": [{"name": "alertname", "value": "A", "isRegex": False}],
    "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
    "createdBy": "me", "comment": "why",
}  # fmt: skip


@pytest.fixture
async def http(store: Store, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the routes."""
    desk = Desk(store, clock, routing(group_wait_ms=60_000), ops=Scripted())
    app = Starlette(routes=routes(desk.dispatcher, desk.metrics))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v2") as client:
        yield client


async def test_an_alert_has_the_fields_of_the_specification(http: httpx.AsyncClient) -> None:
    """Every required field is there, times have milliseconds, and what was left out is filled in."""
    posted = {"labels": {"alertname": "A", "empty": ""}, "startsAt": "2026-01-02T03:04:05.678912Z",
              "generatorURL": "http://127.0.0.1/g"}  # fmt: skip
    assert 200 == (await http.post("/alerts", json=[posted])).status_code
    (alert,) = (await http.get("/alerts")).json()

    assert {
        "labels": {"alertname": "A"}, "annotations": {}, "startsAt": "2026-01-02T03:04:05.678Z",
        "generatorURL": "http://127.0.0.1/g", "receivers": [{"name": "ops"}],
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
    }.items() <= alert.items()  # fmt: skip
    assert {"endsAt", "updatedAt", "fingerprint"} <= set(alert)


async def test_groups_are_shown_with_their_receiver(http: httpx.AsyncClient) -> None:
    """Alerts of one group stand together; filters leave groups out that become empty."""
    alerts = [
        {"labels": {"alertname": name, "n": n}} for name, n in (("B", "1"), ("A", "2"), ("A", "1"))
    ]
    await http.post("/alerts", json=alerts)
    found = (await http.get("/alerts/groups")).json()
    some = (await http.get("/alerts/groups", params={"filter": "alertname=B"})).json()

    assert [("A", ["1", "2"]), ("B", ["1"])] == [
        (group["labels"]["alertname"], [alert["labels"]["n"] for alert in group["alerts"]])
        for group in found
    ]
    assert {"name": "ops"} == found[0]["receiver"]
    assert ["B"] == [group["labels"]["alertname"] for group in some]
    assert [] == (await http.get("/alerts/groups", params={"receiver": "x.*"})).json()


async def test_valid_alerts_are_taken_whatever_else_was_sent(http: httpx.AsyncClient) -> None:
    """One bad alert is told with 400; the others are there."""
    bad = {
        "labels": {"a": "1"},
        "startsAt": "2030-01-01T00:00:00Z",
        "endsAt": "2020-01-01T00:00:00Z",
    }
    answer = await http.post("/alerts", json=[{"labels": {}}, bad, {"labels": {"alertname": "A"}}])

    assert 400 == answer.status_code
    assert "at least one label pair required; start time must be before end time" == answer.json()
    assert 1 == len((await http.get("/alerts")).json())


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/alerts", b"[{", 400, "parsing alerts body"),
        ("/alerts", b"{}", 400, "parsing alerts body"),
        ("/alerts", b"[{}]", 422, "0.labels in body is required"),
        ("/alerts", b'[{"labels":{"a":1}}]', 422, "0.labels.a in body must be of type string"),
        ("/alerts", b'[{"labels":{"a":"1"},"startsAt":"yesterday"}]', 400, "0.startsAt"),
        ("/alerts", b'[{"labels":{"a":"1"},"generatorURL":"not a url"}]', 422, "type uri"),
        ("/silences", b"{}", 422, "comment in body is required"),
        ("/silences", b"[]", 400, "parsing silence body"),
    ],
)
async def test_what_does_not_fit_the_specification(
    http: httpx.AsyncClient, path: str, body: bytes, status: int, word: str
) -> None:
    """It is answered with a code and a message, as the original does."""
    answer = await http.post(path, content=body, headers={"Content-Type": "application/json"})

    assert status == answer.status_code
    assert word in answer.json()["message"]


async def test_only_json_is_taken(http: httpx.AsyncClient) -> None:
    """A form, which another site's page could send without asking, is answered 415."""
    answer = await http.post("/alerts", content=b"[]", headers={"Content-Type": "text/plain"})

    assert 415 == answer.status_code


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"id": UNKNOWN}, 404, "not found"),
        ({"endsAt": "2020-01-01T00:00:00Z"}, 400, "before end time"),
        ({"matchers": []}, 422, "at least 1 items"),
        ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, 400, "RE2"),
        ({"matchers": [{"name": "a", "value": "", "isRegex": False}]}, 400, "empty string"),
        ({"matchers": [{"name": "a", "value": "b"}]}, 422, "matchers.0.isRegex"),
    ],
)
async def test_silences_that_are_refused(
    http: httpx.AsyncClient, changes: dict[str, Any], status: int, word: str
) -> None:
    """Each with the original's code, and a reason."""
    answer = await http.post("/silences", json={**SILENCE, **changes})

    assert status == answer.status_code
    assert word in answer.text


@pytest.mark.parametrize(
    ("regex", "equal", "shown"),
    [(False, True, "="), (True, True, "=~"), (False, False, "!="), (True, False, "!~")],
)
async def test_a_silence_is_shown_as_it_was_made(
    http: httpx.AsyncClient,
    regex: bool,  # noqa: FBT001 - a column of the table
    equal: bool,  # noqa: FBT001 - a column of the table
    shown: str,
) -> None:
    """All four operators, the fields of the specification, by id and in the list."""
    matcher = {"name": "x", "value": "y", "isRegex": regex, "isEqual": equal}
    wanted = {**SILENCE, "matchers": [*SILENCE["matchers"], matcher]}
    identity = (await http.post("/silences", json=wanted)).json()["silenceID"]
    silence = (await http.get(f"/silence/{identity}")).json()
    listed = (await http.get("/silences", params={"filter": f"x{shown}y"})).json()

    assert [silence] == listed
    assert matcher == silence["matchers"][1]
    assert {"state": "active"} == silence["status"]
    assert "2099-01-01T00:00:00.000Z" == silence["endsAt"]
    assert 200 == (await http.delete(f"/silence/{identity}")).status_code
    assert [] == (await http.get("/silences", params={"expired": "false"})).json()


@pytest.mark.parametrize(("identity", "status"), [("nope", 422), (UNKNOWN, 404)])
async def test_a_silence_that_is_not_there(
    http: httpx.AsyncClient, identity: str, status: int
) -> None:
    """An id must be a UUID, and be known."""
    assert status == (await http.get(f"/silence/{identity}")).status_code
    assert status == (await http.delete(f"/silence/{identity}")).status_code


@pytest.mark.parametrize("params", [{"filter": "a"}, {"receiver": "("}])
async def test_filters_that_cannot_be_read(http: httpx.AsyncClient, params: dict[str, str]) -> None:
    """A matcher or pattern that is none is answered 400."""
    assert 400 == (await http.get("/alerts", params=params)).status_code


async def test_the_status_has_the_fields_of_the_specification(http: httpx.AsyncClient) -> None:
    """There is no cluster; the version is that of the API."""
    status = (await http.get("/status")).json()

    assert {"peers": [], "status": "disabled"} == status["cluster"]
    assert {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"} == set(
        status["versionInfo"]
    )
    assert status["uptime"].endswith("Z")
    assert "original" in status["config"]
