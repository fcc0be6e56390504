"""The API's database: one engine for requests, one for reports, a session for each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import Base, obey_faults, tune

__all__ = ["create_tables", "engine", "report_session", "reports", "session"]

_SLOW = (
    "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300000) "
    "SELECT count(*) FROM numbers"
)
"""Takes a tenth of a second or so."""
_faults = FaultSwitch()
_url = Places.from_environment().sqlalchemy_url(asynchronous=True)
engine = create_async_engine(
    _url, pool_size=10, max_overflow=5, pool_timeout=5, pool_logging_name="requests"
)
reports = create_async_engine(
    _url, pool_size=1, max_overflow=0, pool_timeout=0.25, pool_logging_name="reports"
)
"""Reports share one connection and hardly wait for it, so that they cannot take those of requests."""
for _engine in (engine, reports):
    tune(_engine.sync_engine)
    obey_faults(_engine.sync_engine, _faults)
_sessions = async_sessionmaker(engine, expire_on_commit=False)
_report_sessions = async_sessionmaker(reports, expire_on_commit=False)


async def create_tables() -> None:
    """Make the tables that are missing."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


async def session() -> AsyncIterator[AsyncSession]:
    """Yield a session for one request."""
    async with _sessions() as opened:
        yield opened


async def report_session() -> AsyncIterator[AsyncSession]:
    """Yield a session for a report, which keeps its connection for long while it is meant to."""
    async with _report_sessions() as opened:
        yield opened
        if _faults.strength("slow_reports") > 0:
            await opened.execute(text(_SLOW))
            await asyncio.sleep(1.0)
