"""A real Alertmanager (Debian's 0.25) that sends us its groups, and is told what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from tests.alerting.escalation.samples import POLICIES, TEAM, alert, at, group
from tests.services import needed

from watchkeeper.clock import SystemClock
from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.escalation.assembly import Escalating
from watchkeeper.server.alerts.escalation.engine import opened
from watchkeeper.server.alerts.escalation.incident import Incident, Reported
from watchkeeper.server.alerts.escalation.loader import load_text
from watchkeeper.server.alerts.escalation.model import Bridge, Escalation
from watchkeeper.server.alerts.escalation.upstream import AlertmanagerBridge
from watchkeeper.server.api.incidents import routes
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock
from watchkeeper.testing.processes import free_port

ALERT = {
    "labels": {"alertname": "Down", "severity": "critical", "path": 'C:\\x "y"'},
    "annotations": {"summary": "it is down"},
}


async def until(true: Callable[[], Any], *, seconds: float = 20) -> Any:
    """Return what *true* returns once it is true."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.05)


class Pair:
    """Our server and an Alertmanager, each knowing the other."""

    def __init__(self, escalating: Escalating, there: httpx.AsyncClient, here: str) -> None:
        self.escalating = escalating
        self.there = there
        self.here = httpx.AsyncClient(base_url=f"{here}/api/watchkeeper/v1")

    async def fire(self, **more: str) -> None:
        """Send the alert to Alertmanager."""
        answer = await self.there.post("/api/v2/alerts", json=[ALERT | more])
        assert answer.status_code == 200

    async def incidents(self, state: str) -> list[dict[str, Any]]:
        """Return our incidents in a state."""
        answer = await self.here.get("/incidents", params={"state": state})
        found: list[dict[str, Any]] = answer.json()["incidents"]
        return found

    async def silences(self, state: str) -> list[dict[str, Any]]:
        """Return Alertmanager's silences in a state."""
        listed = (await self.there.get("/api/v2/silences")).json()
        return [silence for silence in listed if silence["status"]["state"] == state]

    async def person(self, incident: str, verb: str) -> None:
        """Let a person do something."""
        answer = await self.here.post(f"/incidents/{incident}/{verb}", json={"by": "alice"})
        assert answer.status_code == 200


@contextlib.contextmanager
def alertmanager(folder: Path, hook: str, port: int) -> Any:
    """Run an Alertmanager that sends its groups to *hook*."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        needed("prometheus-alertmanager")
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: watch, group_by: [alertname], group_wait: 0s, group_interval: 1s}\n"
        f"receivers: [{{name: watch, webhook_configs: [{{url: '{hook}'}}]}}]\n"
    )
    process = subprocess.Popen(
        [
            *(program, f"--config.file={config}", f"--storage.path={folder / 'am'}"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(40)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Yield our server beside a real Alertmanager."""
    port = free_port()
    clock, metrics = SystemClock(), ServerMetrics()
    text = TEAM + POLICIES + f"alertmanager: {{url: 'http://127.0.0.1:{port}', silence: 10m}}\n"
    book = load_text(text, "escalation.yml")
    store = Store.open(tmp_path / "data", clock=clock)
    escalating = Escalating(
        store, metrics, clock, data_dir=tmp_path / "data", book=book, outlets={}
    )
    app = Starlette(routes=routes(escalating.runner, escalating.keys, clock))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        here = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # pytest has its own
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        escalating.start()
        hook = f"{here}/api/watchkeeper/v1/alertmanager"
        with alertmanager(tmp_path, hook, port):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as there:
                made = Pair(escalating, there, here)

                async def answers() -> bool:
                    with contextlib.suppress(httpx.HTTPError):
                        return (await there.get("/-/ready")).status_code == 200
                    return False

                await until(answers)
                yield made
                await made.here.aclose()
        await escalating.stop()
        server.should_exit = True
        await serving
    store.close()


async def test_an_acknowledgement_is_a_silence_there_for_as_long_as_it_holds(pair: Pair) -> None:
    """Acknowledged: silenced. Open again: not silenced. Ended while silenced: resolved here."""
    await pair.fire()
    incident = (await until(lambda: pair.incidents("triggered")))[0]["id"]
    await pair.person(incident, "acknowledge")
    silence = (await until(lambda: pair.silences("active")))[0]
    assert silence["comment"] == f"incident {incident} was acknowledged by alice"
    assert {m["name"]: m["value"] for m in silence["matchers"]} == ALERT["labels"]

    await pair.person(incident, "unacknowledge")
    await until(lambda: pair.silences("expired"))
    assert await pair.silences("active") == []

    await pair.person(incident, "acknowledge")
    await until(lambda: pair.silences("active"))
    await pair.escalating.look_upstream()
    assert len(await pair.incidents("acknowledged")) == 1  # it fires there, though silenced
    await pair.fire(endsAt="2026-01-01T00:00:00Z", startsAt="2025-12-31T00:00:00Z")

    async def ended() -> bool:
        await pair.escalating.look_upstream()
        return bool(await pair.incidents("resolved"))

    await until(ended)
    resolved = (await pair.incidents("resolved"))[0]
    assert (resolved["id"], resolved["resolved_by"]) == (incident, "alerts")
    await until(lambda: pair.silences("expired"))


def incident(labels: dict[str, str]) -> Incident:
    """Return an incident whose one alert has *labels*."""
    note = group(replace(alert(), labels=labels))
    return opened(Reported(note, "am"), Escalation(), at("2026-07-15T12:00:00+00:00")).incident


async def test_nothing_is_silenced_that_shares_no_label() -> None:
    """A silence without matchers would mute everything, so none is made."""
    bridge = AlertmanagerBridge(Bridge("http://127.0.0.1:9", 600_000), FixedClock())
    with pytest.raises(NotifyError, match="would mute everything") as caught:
        await bridge.tell("acknowledged", incident({}), "alice", {})
    await bridge.aclose()

    assert not caught.value.retryable


@pytest.mark.parametrize(("status", "retryable"), [(500, "yes"), (429, "yes"), (400, "no")])
async def test_what_alertmanager_refuses_is_tried_again_if_that_can_help(
    status: int, retryable: str
) -> None:
    """Server errors are worth a retry, and so is one that does not answer; a refusal is not."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, text="no"))
    bridge = AlertmanagerBridge(Bridge("http://am", 600_000), FixedClock(), transport=transport)
    with pytest.raises(NotifyError, match=str(status)) as caught:
        await bridge.tell("acknowledged", incident({"a": "b"}), "alice", {})
    await bridge.aclose()
    unreachable = AlertmanagerBridge(Bridge("http://127.0.0.1:9", 600_000), FixedClock())
    with pytest.raises(NotifyError, match="cannot be reached"):
        await unreachable.tell("acknowledged", incident({"a": "b"}), "alice", {})
    await unreachable.aclose()

    assert caught.value.retryable is (retryable == "yes")
