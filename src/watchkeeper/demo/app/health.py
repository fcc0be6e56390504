"""Whether the API is well: its checks run in the background, and a page shows what they found."""

from __future__ import annotations

import urllib.request
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import NullPool, create_engine, text

import watchkeeper
from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import obey_faults

__all__ = ["note_timeout", "router"]

_CHECK_S = 10.0
_places = Places.from_environment()
_engine = create_engine(
    _places.sqlalchemy_url(asynchronous=False), poolclass=NullPool, pool_logging_name="health"
)
obey_faults(_engine, FaultSwitch())
router = APIRouter()


@watchkeeper.health_check("database", interval_s=_CHECK_S)
def database() -> None:
    """Fail unless the database answers."""
    with _engine.connect() as connection:
        connection.execute(text("SELECT 1"))


@watchkeeper.health_check("llm-provider", interval_s=_CHECK_S)
def provider() -> bool:
    """Return whether the provider answers."""
    with urllib.request.urlopen(f"{_places.world_url}/ready", timeout=3) as answer:  # noqa: S310 - our own address
        return bool(answer.status == 200)


class _Timeouts:
    """Waits for a connection that were in vain, and how many of them a check has seen."""

    count = 0
    seen = 0


def note_timeout() -> None:
    """Learn that somebody waited for a connection in vain."""
    _Timeouts.count += 1


@watchkeeper.health_check("connections", interval_s=_CHECK_S)
def connections() -> bool:
    """Return whether everybody got a connection since the last time."""
    fresh, _Timeouts.seen = _Timeouts.count - _Timeouts.seen, _Timeouts.count
    return fresh == 0


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """Return that the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready() -> JSONResponse:
    """Return what every check found last; 503 while one fails."""
    report: dict[str, Any] = watchkeeper.health()
    return JSONResponse(report, status_code=503 if report["status"] == "unhealthy" else 200)
