"""Runs the traffic generator."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.serving import serve
from watchkeeper.demo.traffic.counters import Counters
from watchkeeper.demo.traffic.people import Person

_PEOPLE = 16
_SWING = 0.5
"""The rate swings by this share around its average over a day."""


def pace(rate: float, day_s: float, elapsed_s: float) -> float:
    """Return the requests a second at a moment of the day."""
    return rate * (1 + _SWING * math.sin(2 * math.pi * elapsed_s / day_s))


async def live(person: Person, rate: float, day_s: float) -> None:
    """Let a person act for ever, with pauses that add up to the rate over all people."""
    began = time.monotonic()
    while True:
        acted = time.monotonic()
        await person.step()
        rest = _PEOPLE / pace(rate, day_s, acted - began) - (time.monotonic() - acted)
        await asyncio.sleep(max(0.01, rest))


def build(app_url: str, rate: float, day_s: float) -> Starlette:
    """Return the generator: it acts while it is served, and shows its counters."""
    counters = Counters()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        faults = FaultSwitch()
        # A connection for each request: one that the server closes after an internal error
        # would otherwise take the next request with it.
        limits = httpx.Limits(max_connections=_PEOPLE, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=app_url, timeout=30.0, limits=limits) as client:
            people = [Person(number, client, counters, faults) for number in range(_PEOPLE)]
            tasks = [asyncio.create_task(live(person, rate, day_s)) for person in people]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def status(request: Request) -> Response:
        return JSONResponse(counters.snapshot(int(request.query_params.get("after", "0"))))

    return Starlette(routes=[Route("/status", status)], lifespan=lifespan)


def main() -> None:
    """Parse the arguments and act."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=15.0)
    parser.add_argument("--day", type=float, default=600.0)
    args = parser.parse_args()
    app_url = os.environ.get("AGENTDESK_APP_URL", "http://127.0.0.1:8501")
    serve(build(app_url, args.rate, args.day), args.port)


if __name__ == "__main__":
    main()
