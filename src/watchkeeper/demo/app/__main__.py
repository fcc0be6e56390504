"""Runs the API."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import watchkeeper

watchkeeper.configure(
    service="agentdesk-api",
    version="1.4.0",
    # The one route that is asked all the time; failed, slow and new requests of it are kept anyway.
    sample_rules={"GET /me": 0.2},
    baggage_keys=["journey"],
    genai_latest=True,
    slow_query_s=0.05,
)

from fastapi import Depends, FastAPI, Request  # noqa: E402 - configured first, as the one line says
from fastapi.responses import JSONResponse  # noqa: E402 - likewise
from sqlalchemy.exc import OperationalError, TimeoutError  # noqa: E402, A004 - likewise
from starlette.middleware.sessions import SessionMiddleware  # noqa: E402 - likewise

from watchkeeper.demo.app import (  # noqa: E402 - likewise
    agents,
    database,
    documents,
    health,
    identity,
)
from watchkeeper.demo.faults import FaultSwitch  # noqa: E402 - likewise
from watchkeeper.demo.serving import serve  # noqa: E402 - likewise

_faults = FaultSwitch()
log = watchkeeper.get_logger(__name__)


class StaleCacheError(RuntimeError):
    """What the ``errors`` fault raises."""


async def disturb() -> None:
    """Fail or dawdle as the fault switches say."""
    if _faults.strength("slowness") > 0:
        await asyncio.sleep(1.0)
    if random.random() < _faults.strength("errors"):
        raise StaleCacheError("the recommendation cache returned a negative age")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and let connections go at the end."""
    await database.create_tables()
    log.info("AgentDesk is ready")
    yield
    await database.engine.dispose()
    await database.reports.dispose()


def build() -> FastAPI:
    """Return the application."""
    app = FastAPI(title="AgentDesk", version="1.4.0", lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key="agentdesk-demo")  # noqa: S106 - a demo
    disturbed = [Depends(disturb)]
    app.include_router(health.router)
    app.include_router(identity.router)
    app.include_router(documents.router, dependencies=disturbed)
    app.include_router(agents.router, dependencies=disturbed)

    @app.exception_handler(OperationalError)
    @app.exception_handler(TimeoutError)
    async def database_down(_request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, TimeoutError):
            health.note_timeout()
        log.error("the database refused", error=str(getattr(error, "orig", error)))
        return JSONResponse({"detail": "the database is not available"}, status_code=503)

    # Handled here, as uvicorn closes the connection under an exception that nobody handled, and
    # other requests of that client would then go unanswered.
    @app.exception_handler(StaleCacheError)
    async def stale_cache(_request: Request, error: StaleCacheError) -> JSONResponse:
        log.error("the request failed", exc_info=error)
        return JSONResponse({"detail": "something went wrong on our side"}, status_code=500)

    return app


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve(build(), parser.parse_args().port)


if __name__ == "__main__":
    main()
