"""Exceptions that leave the application, as a server logs them when the request is over."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from tests.instrument.integrations.http import ask
from tests.instrument.integrations.wsgi_rig import ask as ask_wsgi
from tests.instrument.rig import Rig

import watchkeeper
from watchkeeper import WsgiMiddleware
from watchkeeper.instrument import context
from watchkeeper.instrument.integrations import install, uninstall
from watchkeeper.testing import free_port, wait_until

APP = """
from collections.abc import AsyncIterator

import watchkeeper
from fastapi import Depends, FastAPI

watchkeeper.configure(service="leaving", endpoint="")
app = FastAPI()


async def signed_in() -> AsyncIterator[str]:
    with watchkeeper.bind(user_id="u-1", tenant_id="acme"):
        yield "u-1"


@app.get("/up")
async def up() -> str:
    return "up"


@app.get("/broken")
async def broken(user: str = Depends(signed_in)) -> str:
    raise RuntimeError("oops")
"""


def test_the_servers_line_has_the_ids_of_the_request(tmp_path: Path) -> None:
    """The line of a real uvicorn with the frames has the ids of the access line, and the user's."""
    (tmp_path / "leaving_app.py").write_text(APP, encoding="utf-8")
    port, log = free_port(), tmp_path / "app.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "leaving_app:app", "--port", str(port)],
            cwd=tmp_path, env={**os.environ, "WATCHKEEPER_LOG_FORMAT": "json"},
            stdout=out, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        try:
            return httpx.get(f"{url}/up", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        assert wait_until(is_up, 30)
        answer = httpx.get(f"{url}/broken", headers={"x-request-id": "r-1"}, timeout=5)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(80)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    (theirs,) = [line for line in lines if line["logger"] == "uvicorn.error" if "exception" in line]
    (ours,) = [line for line in lines if line.get("url.path") == "/broken"]
    assert 500 == answer.status_code
    assert ("RuntimeError", "r-1", "u-1", "acme") == (
        theirs["exception"]["type"],
        theirs["request_id"],
        theirs["user_id"],
        theirs["tenant_id"],
    )
    names = ("request_id", "trace_id", "span_id", "user_id", "tenant_id")
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
    (later,) = [line for line in lines if line["event"].startswith("Finished server")]
    assert "trace_id" not in later


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integrations on."""
    install(rig, ["starlette", "fastapi"])
    yield rig
    uninstall()


def build() -> FastAPI:
    """Return an application whose dependency binds a user."""
    app = FastAPI()

    async def signed_in() -> AsyncIterator[None]:
        with watchkeeper.bind(tenant_id="acme"), watchkeeper.bind(user_id="u-1"):
            yield

    @app.get("/{how}")
    async def route(how: str, _: Annotated[None, Depends(signed_in)]) -> str:
        if how == "broken":
            raise RuntimeError("oops")
        if how == "missing":
            raise HTTPException(404)
        with suppress(ValueError), watchkeeper.bind(user_id="u-2"):
            int(how)
        return "fine"

    return app


@pytest.mark.parametrize(
    ("path", "status"), [("/broken", 500), ("/missing", 404), ("/handled", 200)]
)
async def test_the_access_line_keeps_the_user(
    instrumented: Rig, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    """User and tenant of a dependency are on the access line, whatever ended the dependency."""
    seen: list[tuple[str, str, str]] = []
    note = instrumented.event

    def event(name: str, level: str, fields: Any, texts: Any) -> None:
        seen.append((name, context.user_id(), context.tenant_id()))
        note(name, level, fields, texts)

    monkeypatch.setattr(instrumented, "event", event)
    try:
        await ask(build(), path)
    except RuntimeError:
        assert "/broken" == path
    assert [("http.request", "u-1", "acme")] == seen
    assert status == instrumented.events[0][2]["http.response.status_code"]
    assert "" == context.user_id()


def test_what_is_remembered_travels_and_never_fails(rig: Rig) -> None:
    """An exception pickles with what is remembered; one that refuses attributes is left alone."""

    def failing(environ: Any, _: Any) -> list[bytes]:
        with watchkeeper.bind(user_id="u-1"):
            raise (ValueError if environ["PATH_INFO"] == "/" else StrictError)("no")

    ask = WsgiMiddleware(failing)
    with pytest.raises(ValueError, match="no") as caught:
        ask_wsgi(ask, "/", headers={"x-request-id": "r-1"})
    with pytest.raises(StrictError) as refused:
        ask_wsgi(ask, "/strict")
    errors = [pickle.loads(pickle.dumps(one.value)) for one in (caught, refused)]  # noqa: S301
    found = context.left(errors[0])
    assert found is not None
    span = rig.spans[0]
    assert (span.trace_id, span.span_id) == (found.trace_id, found.span_id)
    assert ("r-1", "u-1") == (found.bound.request_id, found.bound.user_id)
    assert context.left(errors[1]) is None


class StrictError(Exception):
    """Allows no attribute to be set but those that Python itself sets."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("__"):
            raise AttributeError(name)
        super().__setattr__(name, value)
