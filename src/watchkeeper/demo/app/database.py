"""The API's database: one engine, a session for each request."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import Base, obey_faults, tune

__all__ = ["create_tables", "engine", "session"]

engine = create_async_engine(
    Places.from_environment().sqlalchemy_url(asynchronous=True),
    pool_size=10,
    max_overflow=5,
    pool_timeout=5,
)
tune(engine.sync_engine)
obey_faults(engine.sync_engine, FaultSwitch())
_sessions = async_sessionmaker(engine, expire_on_commit=False)


async def create_tables() -> None:
    """Make the tables that are missing."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


async def session() -> AsyncIterator[AsyncSession]:
    """Yield a session for one request."""
    async with _sessions() as opened:
        yield opened
