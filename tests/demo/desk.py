"""AgentDesk as a person outside sees it: its real processes, on free ports, without traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from watchkeeper.demo.control import Faults
from watchkeeper.demo.plan import DemoSettings, processes
from watchkeeper.testing.processes import ProcessSpec, Supervisor, free_port, wait_until

PASSWORD = "a long enough one"
NOBODY_LISTENS = "http://127.0.0.1:9"


class Desk:
    """A running AgentDesk."""

    def __init__(self, settings: DemoSettings, supervisor: Supervisor) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.faults = Faults(settings)
        self.api = httpx.Client(base_url=settings.app_url, timeout=20.0)
        self._people = 0

    def person(self, tenant: str = "acme") -> dict[str, str]:
        """Register a new person and return the headers that identify them."""
        self._people += 1
        body = {"name": f"{tenant}-{self._people}", "password": PASSWORD, "tenant": tenant}
        answer = self.api.post("/register", json=body)
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    def document(self, number: int, person: Mapping[str, str]) -> dict[str, Any]:
        """Return a document as its tenant sees it."""
        found: dict[str, Any] = self.api.get(f"/documents/{number}", headers=dict(person)).json()
        return found

    def metric(self, part: str, name: str, labels: str = "") -> float:
        """Return the sum of the series called *name* of a process that hold the text *labels*."""
        target = next(self.settings.targets_dir.glob(f"agentdesk-{part}-*.json"))
        address = json.loads(target.read_text(encoding="utf-8"))[0]["targets"][0]
        lines = httpx.get(f"http://{address}/metrics", timeout=5.0).text.splitlines()
        found = [line for line in lines if line.startswith(f"{name}{{") and labels in line]
        return sum(float(line.rsplit("}", 1)[1].split()[0]) for line in found)


@contextmanager
def running(
    base: Path, *, without: tuple[str, ...] = ("traffic",), env: Mapping[str, str] | None = None
) -> Iterator[Desk]:
    """Start AgentDesk below *base* as its plan says, but for the processes in *without*."""
    targets = base / "targets"
    targets.mkdir(parents=True)
    settings = DemoSettings(
        base_dir=base,
        endpoint=NOBODY_LISTENS,
        targets_dir=targets,
        app_port=free_port(),
        world_port=free_port(),
        traffic_port=free_port(),
        speed=20.0,
    )
    with Supervisor(base / "logs") as supervisor:
        desk = Desk(settings, supervisor)
        for planned in processes(settings):
            if planned.name in without:
                continue
            supervisor.start(
                ProcessSpec(
                    planned.name,
                    planned.argv,
                    {**planned.env, **(env or {})},
                    planned.ready_url,
                )
            )
            supervisor.wait_ready(planned.name)
        if "worker" not in without:
            assert wait_until(lambda: "consumer started" in supervisor.tail("worker", 10_000), 30)
        try:
            yield desk
        finally:
            desk.api.close()
