"""What must be delivered when a server ends the process by itself."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
import uvicorn.server

from watchkeeper.instrument.servers import watch_uvicorn


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give uvicorn its method back after the test."""
    monkeypatch.setattr(uvicorn.server.Server, "shutdown", uvicorn.server.Server.shutdown)


async def application(scope: object, receive: object, send: object) -> None:
    """Do nothing."""


def test_the_end_of_a_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function runs once after the shutdown, however often the server is watched."""
    calls: list[str] = []

    async def original(self: object, sockets: object = None) -> None:
        del self, sockets
        calls.append("original")

    monkeypatch.setattr(uvicorn.server.Server, "shutdown", original)
    first = watch_uvicorn(lambda: lambda: calls.append("end"))
    second = watch_uvicorn(lambda: lambda: calls.append("end"))
    asyncio.run(uvicorn.Server(uvicorn.Config(application, log_config=None)).shutdown())

    assert (True, False) == (first, second)
    assert ["original", "end"] == calls


def test_nothing_to_do_and_failures_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a runtime nothing runs; an error of ours does not reach the server."""

    async def original(self: object, sockets: object = None) -> None:
        del self, sockets

    def broken() -> None:
        raise RuntimeError

    answers = iter([None, broken])
    monkeypatch.setattr(uvicorn.server.Server, "shutdown", original)
    watch_uvicorn(lambda: next(answers))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None))
    asyncio.run(server.shutdown())
    asyncio.run(server.shutdown())
