"""Sign-ins through authlib's OAuth clients, against a provider on a real socket."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import flask
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth as FlaskOAuth
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.integrations.starlette_client import OAuth
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.house.rooms import ROOT
from tests.instrument.rig import Rig

from watchkeeper.instrument.domain import attempts as held
from watchkeeper.instrument.domain import auth_event
from watchkeeper.instrument.integrations import install, uninstall

TOKEN = {"access_token": "secret-token", "token_type": "Bearer", "expires_in": 60}


class Provider(BaseHTTPRequestHandler):
    """Gives a token for the code ``good`` and the refresh token ``fresh``."""

    def do_POST(self) -> None:
        """Answer."""
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = {"good", "fresh"} & {*body.get("code", ()), *body.get("refresh_token", ())}
        good = good or {"client_credentials"} & set(body.get("grant_type", ()))
        answer = TOKEN if good else {"error": "invalid_grant", "error_description": "code=bad"}
        data = json.dumps(answer).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Leave no attempt behind: these tests share the runner's context with those that follow."""
    yield
    held._CURRENT.set(None)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Return the provider's port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch on what a login touches."""
    install(rig, ["starlette", "flask", "httpx", "httpx2", "requests", "authlib"])
    yield rig
    uninstall()


def registered(oauth: Any, port: int) -> Any:
    """Register the provider as ``idp``."""
    base = f"http://127.0.0.1:{port}"
    return oauth.register(
        name="idp",
        client_id="c",
        client_secret="s",
        access_token_url=f"{base}/token",
        authorize_url=f"{base}/authorize",
    )


def starlette_app(port: int, own: str | None = None) -> Starlette:
    """Return an application that tells its own word about a sign-in if *own* is an outcome."""
    idp = registered(OAuth(), port)

    async def login(request: Request) -> Any:
        return await idp.authorize_redirect(request, "http://testserver/callback")

    async def callback(request: Request) -> Response:
        try:
            await idp.authorize_access_token(request)
        except OAuthError as error:
            if own is not None:
                auth_event("login", method="oauth", provider="mine", outcome="failure")
            return JSONResponse({"error": error.error}, 401)
        if own is not None:
            auth_event("login", method="oauth", provider="mine", outcome=own, reason="blocked")
        return JSONResponse({})

    return Starlette(
        routes=[Route("/login", login), Route("/callback", callback)],
        middleware=[Middleware(SessionMiddleware, secret_key="k")],
    )


def flask_app(port: int) -> flask.Flask:
    """Return an application with the same two pages."""
    app = flask.Flask("shop")
    app.secret_key = "k"
    idp = registered(FlaskOAuth(app), port)

    @app.get("/login")
    def login() -> Any:
        return idp.authorize_redirect("http://localhost/callback")

    @app.get("/callback")
    def callback() -> Any:
        try:
            idp.authorize_access_token()
        except OAuthError as error:
            return {"error": error.error}, 401
        return {}

    return app


def sign_in(client: Any, code: str, **more: str) -> int:
    """Go to the provider and come back with *code*; returns the status of the answer."""
    where = client.get("/login", follow_redirects=False).headers["location"]
    state = parse_qs(urlsplit(where).query)["state"][0]
    query = "&".join(f"{n}={v}" for n, v in {"state": state, "code": code, **more}.items())
    status: int = client.get(f"/callback?{query}").status_code
    return status


def attempts(rig: Rig) -> dict[str, float]:
    """Return the counted attempts by their labels."""
    return {
        series.partition("{")[2].rstrip("}"): value
        for series, value in rig.samples("auth_attempts_total").items()
    }


def labels(outcome: str, reason: str = "", provider: str = "idp", action: str = "login") -> str:
    """Return the labels of an attempt."""
    start = f'auth_action="{action}",auth_method="oauth",auth_provider="{provider}"'
    end = f',auth_reason="{reason}"' if reason else ""
    return f'{start},auth_outcome="{outcome}"{end}'


def clients(port: int) -> list[Any]:
    """Return a client of each framework."""
    return [
        TestClient(starlette_app(port), follow_redirects=False),
        flask_app(port).test_client(),
    ]


@pytest.mark.parametrize("number", [0, 1], ids=["starlette", "flask"])
def test_a_sign_in_is_counted(instrumented: Rig, port: int, number: int) -> None:
    """One attempt by the name that the provider is registered under; the way there is none."""
    assert 200 == sign_in(clients(port)[number], "good")
    assert {labels("success"): 1} == attempts(instrumented)
    (event,) = (fields for name, _, fields in instrumented.events if name == "auth.attempt")
    assert "idp" == event["auth.provider"]


@pytest.mark.parametrize("number", [0, 1], ids=["starlette", "flask"])
def test_a_token_request_is_a_span(instrumented: Rig, port: int, number: int) -> None:
    """Its time is the provider's; the request below it counts by the provider's address."""
    sign_in(clients(port)[number], "good")
    span = instrumented.named("oauth token idp")
    assert {
        "auth.provider": "idp",
        "oauth.grant_type": "authorization_code",
        "server.address": "127.0.0.1",
        "server.port": port,
    } == span.attributes
    assert span.span_id == instrumented.named("POST").parent_id
    series = instrumented.totals("http_client_request_duration_seconds")
    assert 1 == sum(f'server_port="{port}"' in one for one in series)
    assert "secret-token" not in repr([span.attributes for span in instrumented.spans])


@pytest.mark.parametrize("number", [0, 1], ids=["starlette", "flask"])
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "invalid_grant"),
        ({"state": "stolen"}, "mismatching_state"),
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "0123456789"}, "other"),
    ],
)
def test_a_refusal_has_its_reason(
    instrumented: Rig, port: int, number: int, more: dict[str, str], reason: str
) -> None:
    """Known error codes become the reason; a code that somebody invents in the address does not."""
    assert 401 == sign_in(clients(port)[number], "bad", **more)
    assert {labels("failure", reason): 1} == attempts(instrumented)


def test_the_error_of_a_token_request_hides_its_text(instrumented: Rig, port: int) -> None:
    """The span has the code of the error, not the provider's words."""
    sign_in(clients(port)[0], "bad")
    span = instrumented.named("oauth token idp")
    assert ("invalid_grant", StatusCode.ERROR) == (
        span.attributes["error.type"],
        span.status_code,
    )
    assert () == tuple(span.events)


@pytest.mark.parametrize("own", ["success", "failure"])
def test_the_applications_word_wins(instrumented: Rig, port: int, own: str) -> None:
    """An attempt that the application tells is counted once, as it says."""
    client = TestClient(starlette_app(port, own), follow_redirects=False)
    assert 200 == sign_in(client, "good")
    assert {labels(own, "blocked", "mine"): 1} == attempts(instrumented)
    assert 401 == sign_in(client, "bad")
    assert 2 == sum(attempts(instrumented).values())
    assert 2 == sum(name == "auth.attempt" for name, _, _ in instrumented.events)


def test_a_provider_that_is_away_is_a_failure(instrumented: Rig) -> None:
    """The exception passes, and the attempt failed."""
    client = TestClient(starlette_app(1), follow_redirects=False, raise_server_exceptions=False)
    assert 500 == sign_in(client, "good")
    assert {labels("failure", "unreachable"): 1} == attempts(instrumented)


async def test_a_refresh_is_counted(instrumented: Rig, port: int) -> None:
    """By httpx and by requests; a client of its own goes by the provider's address."""
    url = f"http://127.0.0.1:{port}/token"
    async with AsyncOAuth2Client("c", "s", token={**TOKEN, "refresh_token": "fresh"}) as client:
        await client.refresh_token(url)
    with OAuth2Session("c", "s", token={**TOKEN, "refresh_token": "stale"}) as session:
        with pytest.raises(OAuthError):
            session.refresh_token(url)
        # The application may tell it too: the same attempt again.
        auth_event("refresh", method="oauth", provider="127.0.0.1", outcome="failure")
    where = "127.0.0.1"
    assert {
        labels("success", provider=where, action="refresh"): 1,
        labels("failure", "invalid_grant", where, "refresh"): 1,
    } == attempts(instrumented)


async def test_a_machine_that_asks_for_a_token_is_no_sign_in(instrumented: Rig, port: int) -> None:
    """Client credentials give a span alone."""
    async with AsyncOAuth2Client("c", "s") as client:
        await client.fetch_token(f"http://127.0.0.1:{port}/token", grant_type="client_credentials")
    assert (
        "client_credentials"
        == instrumented.named("oauth token 127.0.0.1").attributes["oauth.grant_type"]
    )
    assert {} == attempts(instrumented)


def test_undo_is_complete(rig: Rig, port: int) -> None:
    """After `uninstall` nothing is recorded, by classes that exist and by new ones."""
    install(rig, ["authlib"])
    uninstall()
    assert 200 == sign_in(clients(port)[0], "good")
    assert [] == rig.spans
    assert {} == attempts(rig)


def test_classes_that_are_imported_later_are_met() -> None:
    """In a fresh process the frameworks' classes are made after the hook was set."""
    code = """
import sys
sys.path[:0] = {path!r}
from tests.instrument.rig import Rig
from watchkeeper.instrument.integrations import install, installed
install(Rig())
from authlib.integrations.starlette_client.apps import StarletteOAuth2App
from authlib.integrations.httpx_client import AsyncOAuth2Client
assert "authlib" in installed()
assert hasattr(StarletteOAuth2App.authorize_access_token, "__wrapped__")
assert hasattr(AsyncOAuth2Client._fetch_token, "__wrapped__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code.format(path=[str(ROOT), str(ROOT / "src")])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
