"""Incidents over HTTP: reading, acting, exporting, who is on call, and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from tests.alerting.escalation.rig import Rig
from tests.alerting.escalation.samples import NOON_MS, alert, group

from watchkeeper.server.alerts.escalation.links import LinkKeys
from watchkeeper.server.alerts.escalation.shown import markdown
from watchkeeper.server.api.incidents import routes
from watchkeeper.server.http import Gate

BASE = "/api/watchkeeper/v1"


@pytest.fixture
def keys(rig: Rig) -> LinkKeys:
    """Return the keys of links."""
    return LinkKeys(rig.folder)


@pytest.fixture
async def http(rig: Rig, keys: LinkKeys) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the routes, behind the gate that every request passes."""
    app = Gate(Starlette(routes=routes(rig.runner, keys, rig.clock)), rig.metrics, rig.clock)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_an_incident_is_listed_shown_and_acted_upon(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    """What the list and the page say changes with what a person does."""
    incident = await rig.report(group())
    listed = (await http.get(f"{BASE}/incidents")).json()["incidents"]
    assert [(e["id"], e["state"], e["title"]) for e in listed] == [
        (incident.id, "triggered", "ApiErrorRate (1 firing)")
    ]
    body = {"by": "alice", "text": "on it", "via": "ui"}
    answer = await http.post(f"{BASE}/incidents/{incident.id}/acknowledge", json=body)
    assert (answer.status_code, answer.json()["owner"]) == (200, "alice")

    shown = (await http.get(f"{BASE}/incidents/{incident.id}")).json()
    kinds = [(entry["kind"], entry["who"], entry["via"]) for entry in shown["timeline"]]
    assert kinds == [
        ("opened", "", ""), ("step", "", ""), ("notification", "", ""), ("acknowledge", "alice", "ui")
    ]  # fmt: skip
    assert shown["alerts"][0]["labels"]["severity"] == "critical"
    assert shown["pages"][0]["outcome"] == "delivered"


async def test_states_select_what_is_listed(rig: Rig, http: httpx.AsyncClient) -> None:
    """Open ones are listed if nothing is asked; a state that does not exist is refused."""
    incident = await rig.report(group())
    await rig.person(incident, "resolve")

    assert (await http.get(f"{BASE}/incidents")).json()["incidents"] == []
    found = (await http.get(f"{BASE}/incidents", params={"state": "resolved"})).json()
    assert len(found["incidents"]) == 1
    refused = await http.get(f"{BASE}/incidents", params={"state": "closed"})
    assert refused.status_code == 400
    assert "Accepted: acknowledged, all, open" in refused.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("000000000000/acknowledge", b'{"by": "a"}', 404),
        ("{id}/explode", b'{"by": "a"}', 404),
        ("{id}/acknowledge", b"{", 400),
        ("{id}/acknowledge", b"[]", 400),
        ("{id}/acknowledge", b"{}", 400),
        ("{id}/acknowledge", b'{"by": 1}', 400),
        ("{id}/acknowledge", b'{"by": "a\\nb"}', 400),
        ("{id}/acknowledge", b'{"by": "a", "via": "pagerduty"}', 400),
        ("{id}/comment", b'{"by": "a"}', 400),
        ("{id}/unacknowledge", b'{"by": "a"}', 409),
    ],
)
async def test_a_wrong_request_is_explained_and_changes_nothing(
    rig: Rig, http: httpx.AsyncClient, path: str, body: bytes, status: int
) -> None:
    """Unknown is 404, malformed 400, impossible now 409, each with what to do."""
    incident = await rig.report(group())
    url = f"{BASE}/incidents/{path.format(id=incident.id)}"
    answer = await http.post(url, content=body)

    assert answer.status_code == status
    assert "Next: " in answer.json()["error"]
    shown = (await http.get(f"{BASE}/incidents/{incident.id}")).json()
    assert shown["state"] == "triggered"


async def test_a_page_of_another_site_cannot_act(rig: Rig, http: httpx.AsyncClient) -> None:
    """A browser's cross-site request is refused before it reaches an incident."""
    incident = await rig.report(group())
    answer = await http.post(
        f"{BASE}/incidents/{incident.id}/resolve",
        json={"by": "mallory"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code == 403


async def test_who_is_on_call_is_told_with_the_next_shifts(http: httpx.AsyncClient) -> None:
    """Each schedule tells who is on call, until when, and its gaps."""
    found = (await http.get(f"{BASE}/oncall", params={"hours": "240"})).json()

    backend, gap = found["schedules"]
    assert (backend["schedule"], backend["now"], backend["time_zone"]) == (
        "backend", "alice", "Europe/Berlin"
    )  # fmt: skip
    assert [shift["user"] for shift in backend["shifts"]] == ["alice", "bob"]
    assert backend["until_ms"] == backend["shifts"][1]["start_ms"]
    assert (gap["now"], gap["shifts"][0]["user"]) == (None, None)


NASTY = "](http://evil) <script>alert(1)</script> @channel | `x` \n# Title \u202e & *b*"


async def test_the_export_holds_the_timeline_and_no_markup_of_others(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    """Labels and comments of any content stay text within their cell."""
    incident = await rig.report(group(alert(path=NASTY)))
    body = {"by": "a|b", "text": NASTY}
    await http.post(f"{BASE}/incidents/{incident.id}/comment", json=body)
    answer = await http.get(f"{BASE}/incidents/{incident.id}.md")

    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert f'filename="incident-{incident.id}.md"' in answer.headers["content-disposition"]
    page = answer.text
    assert f"# Incident {incident.id}" in page
    assert "| comment | a&#124;b (api) |" in page
    for mark in ("<script", "](http", "@channel", "\n# Title", "`x`", "*b*", "\u202e"):
        assert mark not in page, mark
    rows = [line for line in page.splitlines() if line.startswith("|")]
    alerts = rows[: rows.index("| time | what | who | text |")]
    assert all(line.count("|") == 4 for line in alerts)
    assert all(line.count("|") == 5 for line in rows[len(alerts) :])


async def test_the_export_tells_what_is_left_out(rig: Rig) -> None:
    """A group with more alerts than were sent says how many."""
    incident = await rig.report(group())

    from dataclasses import replace

    assert "| and 7 more | | |" in markdown(replace(incident, truncated=7), [])


# Links


async def test_a_get_shows_a_page_and_never_acts(
    rig: Rig, http: httpx.AsyncClient, keys: LinkKeys
) -> None:
    """Scanners follow links; only the button acts, and only once."""
    incident = await rig.report(group(alert("<b>Bad</b>")))
    token = keys.sign("acknowledge", incident.id, "alice", NOON_MS)
    for method in ("GET", "HEAD", "GET"):
        page = await http.request(method, f"/ack/{token}")
        assert page.status_code == 200
    assert "Acknowledge as alice" in page.text
    assert '<form method="post">' in page.text
    assert "<b>Bad" not in page.text
    state = (await http.get(f"{BASE}/incidents/{incident.id}")).json()["state"]
    assert state == "triggered"

    done = await http.post(f"/ack/{token}")
    assert (done.status_code, "<h1>Acknowledged</h1>" in done.text) == (200, True)
    shown = (await http.get(f"{BASE}/incidents/{incident.id}")).json()
    assert (shown["state"], shown["owner"]) == ("acknowledged", "alice")
    assert shown["timeline"][-1]["via"] == "link"


async def test_pages_load_nothing_and_run_nothing(
    rig: Rig, http: httpx.AsyncClient, keys: LinkKeys
) -> None:
    """The only thing a page asks for is our own style sheet; the policy forbids all else."""
    incident = await rig.report(group())
    page = await http.get(f"/ack/{keys.sign('take', incident.id, 'alice', NOON_MS)}")

    assert "script" not in page.text
    assert "style=" not in page.text
    assert 'href="style.css"' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    style = await http.get("/ack/style.css")
    assert style.headers["content-type"].startswith("text/css")


async def test_a_used_link_does_not_act_again(
    rig: Rig, http: httpx.AsyncClient, keys: LinkKeys
) -> None:
    """After the acknowledgement is taken back, the old link says that it was used."""
    incident = await rig.report(group())
    token = keys.sign("acknowledge", incident.id, "alice", NOON_MS)
    await http.post(f"/ack/{token}")
    await rig.person(incident, "unacknowledge")

    again = await http.post(f"/ack/{token}")
    assert (again.status_code, "used already" in again.text) == (409, True)
    assert "was used already" in (await http.get(f"/ack/{token}")).text
    shown = (await http.get(f"{BASE}/incidents/{incident.id}")).json()
    assert shown["state"] == "triggered"


async def test_a_forged_or_old_link_gets_a_clear_page(
    rig: Rig, http: httpx.AsyncClient, keys: LinkKeys
) -> None:
    """Neither GET nor POST does anything, and the page says why."""
    incident = await rig.report(group())
    token = keys.sign("resolve", incident.id, "alice", NOON_MS)
    forged = token.replace(token.split(".")[1][:4], "AAAA", 1)
    old = keys.sign("resolve", incident.id, "alice", NOON_MS - 10**9)
    for link, status, word in ((forged, 400, "not ours"), (old, 409, "time is over")):
        for method in ("GET", "POST"):
            page = await http.request(method, f"/ack/{link}")
            assert (page.status_code, word in page.text) == (status, True), page.text
    shown = (await http.get(f"{BASE}/incidents/{incident.id}")).json()
    assert shown["state"] == "triggered"


async def test_a_link_to_what_somebody_else_acknowledged_says_who(
    rig: Rig, http: httpx.AsyncClient, keys: LinkKeys
) -> None:
    """The second of two people learns that the first one has it."""
    incident = await rig.report(group())
    await rig.person(incident, "acknowledge", "bob")
    page = await http.post(f"/ack/{keys.sign('acknowledge', incident.id, 'alice', NOON_MS)}")

    assert page.status_code == 409
    assert "acknowledged already, by bob" in page.text


async def test_a_link_sent_to_a_channel_asks_for_the_name(
    rig: Rig, http: httpx.AsyncClient, keys: LinkKeys
) -> None:
    """Who is no user of the file says who it is; without a name nothing happens."""
    incident = await rig.report(group())
    token = keys.sign("acknowledge", incident.id, "team-mail", NOON_MS)
    page = await http.get(f"/ack/{token}")
    assert 'name="who" required' in page.text
    assert (await http.post(f"/ack/{token}")).status_code == 400
    done = await http.post(f"/ack/{token}", data={"who": " <Dora> "})

    assert (done.status_code, "Recorded for &lt;Dora&gt;." in done.text) == (200, True)
    shown = (await http.get(f"{BASE}/incidents/{incident.id}")).json()
    assert shown["owner"] == "<Dora>"
