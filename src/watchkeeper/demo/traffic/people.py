"""Who uses AgentDesk, and what they do there."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.traffic.counters import Counters

__all__ = ["TENANTS", "Person"]

TENANTS = ("acme", "globex", "initech", "umbrella")
_PASSWORD = "correct horse"  # noqa: S105 - a made-up person's
_QUESTIONS = (
    "When does our contract renew, and at what price?",
    "Summarise the complaints of the last quarter.",
    "What is 12 percent of the open invoices?",
    "Which customer asked for a refund?",
)
_OLD_PROXY = 0.02
"""Share of requests that pass a proxy which writes trace context that nobody can read."""
_PARAGRAPH = "the customer asked for a summary of the report and the refund of the contract "


class Person:
    """One person: signs in, then goes on one journey after another."""

    def __init__(
        self, number: int, client: httpx.AsyncClient, counters: Counters, faults: FaultSwitch
    ) -> None:
        """Give the person a name, a tenant and habits of their own, by *number*."""
        self._random = random.Random(number)
        self._client = client
        self._counters = counters
        self._faults = faults
        self._name = f"person-{number}"
        self._tenant = TENANTS[number % len(TENANTS)]
        self._token: str | None = None
        self._oauth = number % 4 == 3
        self._generation = 0
        self._registered = False
        self._journey = "sign-in"

    async def step(self) -> None:
        """Do one thing."""
        if self._token is None:
            self._journey = "sign-in"
            await self._sign_in()
            return
        if self._random.random() < self._faults.strength("failed_logins"):
            await self._wrong_password()
            return
        journeys: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.37, self._browse),
            (0.18, self._search),
            (0.22, self._ask),
            (0.10, self._upload),
            (0.05, self._lost),
            (0.01, self._wrong_password),
            (0.04, self._sign_out),
            (0.03, self._newcomer),
        ]
        luck = self._random.random()
        for weight, journey in journeys:
            luck -= weight
            if luck < 0:
                self._journey = journey.__name__.strip("_").replace("_", "-")
                await journey()
                return
        await self._browse()

    async def _send(self, method: str, path: str, **rest: Any) -> httpx.Response | None:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers["baggage"] = f"journey={self._journey}"
        if self._random.random() < _OLD_PROXY:
            headers["traceparent"] = "from-an-old-proxy"
        self._counters.sent()
        began = time.monotonic()
        try:
            answer = await self._client.request(method, path, headers=headers, **rest)
        except httpx.HTTPError:
            self._counters.unanswered()
            return None
        self._counters.answered(answer.status_code, time.monotonic() - began)
        if answer.status_code == 401 and path not in ("/login", "/register"):
            self._token = None
        return answer

    def _credentials(self, password: str = _PASSWORD) -> dict[str, str]:
        return {"name": self._name, "password": password, "tenant": self._tenant}

    def _keep(self, answer: httpx.Response | None) -> bool:
        if answer is None or not answer.is_success:
            return False
        self._token = answer.json()["token"]
        return True

    async def _sign_in(self) -> None:
        if self._oauth:
            await self._through_provider()
            return
        path = "/login" if self._registered else "/register"
        answer = await self._send("POST", path, json=self._credentials())
        self._keep(answer)
        # A name that is taken was registered before: by this person, in an earlier run.
        self._registered = self._registered or (
            answer is not None and (answer.is_success or answer.status_code == 409)
        )

    async def _through_provider(self) -> None:
        answer = await self._send("GET", "/oauth/login", params={"who": self._name})
        if answer is None or answer.status_code != 302:
            return
        async with httpx.AsyncClient(timeout=10.0) as browser:  # the provider is not counted
            consent = await browser.get(answer.headers["location"])
        back = httpx.URL(consent.headers.get("location", ""))
        if back.path == "/oauth/callback":
            self._keep(await self._send("GET", back.raw_path.decode()))

    async def _browse(self) -> None:
        await self._send("GET", self._random.choice(("/me", "/documents", "/usage")))

    async def _search(self) -> None:
        await self._send("GET", "/search", params={"q": self._random.choice(("refund", "report"))})

    async def _ask(self) -> None:
        agent = self._random.choice(("support", "support", "research", "billing"))
        body = {
            "question": self._random.choice(_QUESTIONS),
            "conversation": f"{self._name}-{self._random.randint(1, 5)}",
        }
        await self._send("POST", f"/agents/{agent}/run", json=body)

    async def _upload(self) -> None:
        empty = self._random.random() < 0.15
        text = "" if empty else "\n\n".join([_PARAGRAPH * 3] * self._random.randint(1, 4))
        title = f"note {self._random.randint(1, 999)}"
        await self._send("POST", "/documents", json={"title": title, "body": text})

    async def _lost(self) -> None:
        await self._send("GET", self._random.choice(("/documents/999999", "/nowhere")))

    async def _wrong_password(self) -> None:
        await self._send("POST", "/login", json=self._credentials("letmein!"))

    async def _sign_out(self) -> None:
        self._token = None

    async def _newcomer(self) -> None:
        self._generation += 1
        newcomer = {**self._credentials(), "name": f"{self._name}-{self._generation}"}
        await self._send("POST", "/register", json=newcomer)
