"""Who may ask, and what goes back with every answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from watchkeeper.server.http import Gate
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.testing.clock import FixedClock
from watchkeeper.vocabulary.limits import limit


@pytest.fixture
def metrics() -> ServerMetrics:
    """Return counters that start at zero."""
    return ServerMetrics()


@pytest.fixture
def client(metrics: ServerMetrics, clock: FixedClock) -> Iterator[TestClient]:
    """Yield a client of a server that answers every request with the size of its body."""

    async def size(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/{path:path}", size, methods=["GET", "POST"])])
    with TestClient(Gate(app, metrics, clock), base_url="http://127.0.0.1:8400") as found:
        yield found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8400", "LOCALHOST", "[::1]:8400"])
def test_loopback_names_are_served(client: TestClient, host: str) -> None:
    """Every name of this host is fine."""
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8400", "127.0.0.1.evil.example", "10.0.0.1:8400", ""]
)
def test_other_names_are_misdirected(client: TestClient, host: str) -> None:
    """A page that rebinds its own name to 127.0.0.1 gets nothing."""
    answer = client.get("/", headers={"host": host})

    assert answer.status_code == 421
    assert "unknown Host" in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8400"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8400"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_other_sites_cannot_change_anything(
    client: TestClient, headers: dict[str, Any], status: int
) -> None:
    """A browser's POST must come from our own page; programs send neither header."""
    assert client.post("/", headers=headers).status_code == status
    assert client.get("/", headers=headers).status_code == 200


def test_every_answer_has_strict_headers(client: TestClient) -> None:
    """Refusals and errors too; and nothing invites other origins."""
    for answer in (client.get("/"), client.get("/", headers={"host": "evil"}), client.put("/")):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_a_body_has_an_end(client: TestClient) -> None:
    """Beyond the limit the answer is 413; OTLP's routes see to their own limit."""
    most = limit("form_bytes_max")
    answers = [
        client.post(path, content=b"x" * size)
        for path, size in (("/a", most), ("/a", most + 1), ("/v1/traces", most + 1))
    ]

    assert [200, 413, 200] == [answer.status_code for answer in answers]


def test_requests_are_counted_by_route(client: TestClient, metrics: ServerMetrics) -> None:
    """The route is the label, never the path: no client can make series."""
    client.get("/some/where")
    client.get("/else", headers={"host": "evil"})

    page = metrics.render().decode()
    assert 'server_requests_total{code="200",endpoint="/{path:path}"} 1.0' in page
    assert 'server_requests_total{code="421",endpoint="other"} 1.0' in page
    assert "/some/where" not in page
