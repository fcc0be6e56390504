"""Requests of the library requests, over a real socket."""

from collections.abc import Iterator

import pytest
import requests
from opentelemetry import baggage, context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.integrations.shop import Shop
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import context as ours
from watchkeeper.instrument.integrations import install, uninstall


@pytest.fixture
def instrumented(rig: Rig) -> Iterator[Rig]:
    """Switch the integration on."""
    install(rig, ["requests"])
    yield rig
    uninstall()


def test_a_request_carries_the_trace(instrumented: Rig, shop: Shop) -> None:
    """The span describes the request without its secrets; the other side becomes its child."""
    token = context.attach(baggage.set_baggage("shop", "9"))
    try:
        url = shop.url.replace("//", "//user:pw@")
        answer = requests.get(f"{url}/lost", params={"token": "abc", "n": "1"}, timeout=5)
    finally:
        context.detach(token)
    assert 200 == answer.status_code
    (span,) = instrumented.spans
    full = str(span.attributes.pop("url.full"))
    assert full.startswith(f"{shop.url}/lost?token=")
    assert not {"abc", "user", "pw"} & set(full.replace("=", " ").replace("@", " ").split())
    assert ("GET", SpanKind.CLIENT) == (span.name, span.kind)
    assert {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": shop.port,
        "http.response.status_code": 200,
    } == span.attributes
    (seen,) = shop.seen
    assert f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.flags:02x}" == seen["traceparent"]
    assert "shop=9" == seen["baggage"]
    assert "x-request-id" not in seen


def test_a_refusal_is_counted_by_server_and_status(instrumented: Rig, shop: Shop) -> None:
    """A 4xx answer is the caller's error; the metric derives from the span."""
    requests.get(f"{shop.url}/lost", timeout=5)
    (span,) = instrumented.spans
    assert (StatusCode.ERROR, "404") == (span.status_code, span.attributes["error.type"])
    labels = (
        f'http_request_method="GET",server_address="127.0.0.1",server_port="{shop.port}"'
        ',http_response_status_code="404",error_type="404"'
    )
    assert {labels: (1, 0)} == instrumented.totals("http_client_request_duration_seconds")


def test_redirects_are_one_request(instrumented: Rig, shop: Shop) -> None:
    """Every hop carries the same span."""
    with requests.Session() as session:
        assert 200 == session.get(f"{shop.url}/old", timeout=5).status_code
    (span,) = instrumented.spans
    assert 2 == len(shop.seen)
    assert {f"{span.span_id:016x}"} == {seen["traceparent"][36:52] for seen in shop.seen}


def test_a_failure_passes(instrumented: Rig) -> None:
    """The caller gets the library's own error, and the span its type."""
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:1/", timeout=5)
    (span,) = instrumented.spans
    assert "requests.exceptions.ConnectionError" == span.attributes["error.type"]
    assert ["exception"] == [event.name for event in span.events]


def test_the_request_id_travels_where_it_is_asked_for(shop: Shop) -> None:
    """`send_request_id` sends the id of the request that is being served."""
    with attached(send_request_id=True) as rig:
        install(rig, ["requests"])
        try:
            with ours.bind(request_id="r-9"):
                requests.get(shop.url, timeout=5)
            requests.get(shop.url, timeout=5)
        finally:
            uninstall()
    assert ["r-9", None] == [seen.get("x-request-id") for seen in shop.seen]


def test_exporters_of_telemetry_are_not_traced(instrumented: Rig, shop: Shop) -> None:
    """OpenTelemetry's exporter sends by requests; it must not report on itself."""
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{shop.url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("t").start_span("theirs").end()
    provider.shutdown()
    assert 1 == len(shop.seen)
    assert [] == instrumented.spans
