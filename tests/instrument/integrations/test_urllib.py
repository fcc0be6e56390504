"""Requests of urllib, over a real socket."""

from __future__ import annotations

from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.integrations.shop import Shop
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import urllib as integration
from watchkeeper.testing import free_port


def asked(url: str, data: bytes | None = None, **headers: str) -> Request:
    """Return a request for *url*."""
    return Request(url, data, headers)  # noqa: S310 - our own server's


def status(request: str | Request) -> int | None:
    """Open *request* and return the status of the answer, None if it has none."""
    with urlopen(request, timeout=5) as answer:  # noqa: S310 - our own server's
        found: int | None = answer.status
        return found


def test_a_request_carries_the_trace(instrumented: Rig, shop: Shop) -> None:
    """The span describes the request without its secrets; the other side can continue the trace."""
    assert 200 == status(f"{shop.url}/items?page=2&api_key=k")
    span = instrumented.named("GET")
    assert SpanKind.CLIENT is span.kind
    assert {
        "http.request.method": "GET",
        "url.full": f"{shop.url}/items?page=2&api_key=[redacted]",
        "server.address": "127.0.0.1",
        "server.port": shop.port,
        "http.response.status_code": 200,
    } == span.attributes
    assert (
        f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.flags:02x}"
        == (shop.seen[0]["traceparent"])
    )


def test_a_request_can_be_opened_again(instrumented: Rig, shop: Shop) -> None:
    """A request object is left as it was; each opening has a span and a context of its own."""
    request = asked(f"{shop.url}/items", b"x", own="1")
    for _ in range(2):
        status(request)
    assert ["POST", "POST"] == [span.name for span in instrumented.spans]
    assert 2 == len({seen["traceparent"] for seen in shop.seen})
    assert ["1", "1"] == [seen["own"] for seen in shop.seen]
    assert ["Own"] == [name for name in request.headers if name != "Content-type"]


def test_a_context_of_the_caller_stays(instrumented: Rig, shop: Shop) -> None:
    """A request that has a trace context keeps it, also afterwards."""
    given = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    request = asked(f"{shop.url}/items", traceparent=given)
    status(request)
    assert given == shop.seen[0]["traceparent"] == request.headers["Traceparent"]
    assert 1 == len(instrumented.spans)


def test_redirects_are_one_request(instrumented: Rig, shop: Shop) -> None:
    """What the opener follows is one span with the last status."""
    status(f"{shop.url}/old")
    assert 200 == instrumented.named("GET").attributes["http.response.status_code"]
    assert 2 == len(shop.seen)


def test_failures_are_errors(instrumented: Rig, shop: Shop) -> None:
    """A status from 400 on is its own error; a server that does not answer is an exception."""
    with pytest.raises(HTTPError) as refused:
        status(f"{shop.url}/lost")
    refused.value.close()
    with pytest.raises(URLError):
        status(f"http://127.0.0.1:{free_port()}/")
    lost, down = instrumented.spans
    assert ("404", StatusCode.ERROR) == (lost.attributes["error.type"], lost.status_code)
    assert "urllib.error.URLError" == down.attributes["error.type"]


def test_what_is_no_http_is_not_recorded(instrumented: Rig, tmp_path: Path) -> None:
    """Files and data have no span."""
    (tmp_path / "x").write_text("x")
    status((tmp_path / "x").as_uri())
    status("data:,x")
    assert [] == instrumented.spans


def test_undo_leaves_nothing(rig: Rig, shop: Shop) -> None:
    """After undo no request is recorded."""
    integration.instrument(rig)()
    status(f"{shop.url}/items")
    assert [] == rig.spans
