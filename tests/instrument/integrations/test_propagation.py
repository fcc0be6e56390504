"""Trace context and baggage in headers."""

from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from tests.instrument.integrations.http import ask
from tests.instrument.rig import Rig, attached

from watchkeeper.errors import SettingError
from watchkeeper.instrument import context as ours
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.integrations import AsgiMiddleware, WsgiMiddleware, propagation
from watchkeeper.instrument.integrations.asgi import Receive, Scope, Send
from watchkeeper.instrument.settings import load
from watchkeeper.testing import capture
from watchkeeper.vocabulary.limits import limit

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture(autouse=True)
def _default_propagators() -> Iterator[None]:
    """Put the propagators back."""
    yield
    propagation.use()


def refused(rig: Rig) -> dict[str, float]:
    """Return what was refused, by reason."""
    prefix = 'watchkeeper_context_refused_total{reason="'
    return {
        series.removeprefix(prefix).removesuffix('"}'): value
        for series, value in rig.samples(prefix).items()
        if value
    }


def entries(context: Context | None) -> dict[str, object]:
    """Return the baggage of *context*."""
    return {} if context is None else dict(baggage.get_all(context))


@pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "bytes"])
def test_headers_make_a_context(as_bytes: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Parent, trace state and baggage come out of the headers, whether text or bytes."""
    headers: dict[str, Any] = {
        "traceparent": TRACEPARENT,
        "tracestate": "a=1,b=2",
        "baggage": "tenant.id = acme , note=a%20b%2Cc;ttl=3",
    }
    if as_bytes:
        headers = {name: value.encode() for name, value in headers.items()}

    context = propagation.extract(headers.get)

    parent = trace.get_current_span(context).get_span_context()
    assert (int(TRACE, 16), int(PARENT, 16), True, 1) == (
        parent.trace_id,
        parent.span_id,
        parent.is_remote,
        parent.trace_flags,
    )
    assert "a=1,b=2" == parent.trace_state.to_header()
    assert {"tenant.id": "acme", "note": "a b,c"} == entries(context)


def test_no_headers_make_no_context() -> None:
    """Without headers there is nothing to start in."""
    nothing: dict[str, str] = {}
    assert propagation.extract(nothing.get) is None


def test_a_call_carries_span_and_baggage(rig: Rig) -> None:
    """What is injected is what `extract` reads, properties of the baggage included."""
    incoming = {
        "traceparent": TRACEPARENT,
        "tracestate": "a=1",
        "baggage": "tenant.id=acme,note=a%20b;ttl=3",
    }
    context = propagation.extract(incoming.get)
    span = rig.recorder.start("call", parent_context=context)
    headers: dict[str, str] = {}

    propagation.inject(span, headers.__setitem__, context)

    assert {
        "traceparent": f"00-{TRACE}-{span.span_id:016x}-01",
        "tracestate": "a=1",
        "baggage": "tenant.id=acme,note=a%20b;ttl=3",
    } == headers


def test_baggage_is_what_the_api_reads_and_writes(rig: Rig) -> None:
    """Baggage set through OpenTelemetry's API is sent, and its own propagator understands it."""
    token = attach(baggage.set_baggage("name", "Zoë, 100% + x=1;"))
    try:
        headers: dict[str, str] = {}
        propagation.inject(rig.recorder.start("call"), headers.__setitem__)
    finally:
        detach(token)

    assert {"name": "Zoë, 100% + x=1;"} == entries(propagation.extract(headers.get))
    theirs = W3CBaggagePropagator().extract(headers, Context())
    assert {"name": "Zoë, 100% + x=1;"} == entries(theirs)


def test_damaged_entries_are_left_out_and_counted(rig: Rig) -> None:
    """One entry that cannot be read does not cost the others."""
    header = "a=1,,no-value, =2,b c=3,d=%FF%zz"
    found = entries(propagation.extract({"baggage": header}.get))

    assert {"a": "1", "d": "\ufffd%zz"} == found
    assert {"baggage_syntax": 3.0} == refused(rig)


def test_baggage_has_limits_on_the_way_in(rig: Rig) -> None:
    """A header past its length is not read, entries past their number are left out."""
    most = limit("baggage_entries_max")
    many = ",".join(f"k{number}=v" for number in range(most + 20))
    long = "k=" + "x" * limit("baggage_bytes_max")
    assert most == len(entries(propagation.extract({"baggage": many}.get)))
    assert {} == entries(propagation.extract({"baggage": long}.get))
    assert {"baggage_entries": 1.0, "baggage_size": 1.0} == refused(rig)


def test_baggage_has_limits_on_the_way_out(rig: Rig) -> None:
    """An entry that does not fit is left out; the rest goes, within the limits."""
    context: Context | None = None
    for number in range(limit("baggage_entries_max") + 5):
        context = baggage.set_baggage(f"k{number}", "v", context)
    huge = baggage.set_baggage("big", "x" * limit("baggage_bytes_max"))
    huge = baggage.set_baggage("not a token", "x", baggage.set_baggage("small", "y", huge))
    headers: list[dict[str, str]] = [{}, {}]
    propagation.inject(rig.recorder.start("call"), headers[0].__setitem__, context)
    propagation.inject(rig.recorder.start("call"), headers[1].__setitem__, huge)

    assert limit("baggage_entries_max") == headers[0]["baggage"].count("=")
    assert "small=y" == headers[1]["baggage"]
    assert {"baggage_entries": 1.0, "baggage_size": 1.0, "baggage_syntax": 1.0} == refused(rig)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}_{PARENT}-01",
        "00-" + "é" * 32 + f"-{PARENT}-01",
    ],
)
def test_a_malformed_parent_counts_as_absent(rig: Rig, header: str) -> None:
    """Such a header starts a new trace, and is counted if it was there at all."""
    assert propagation.extract({"traceparent": header}.get) is None
    assert ({"traceparent": 1.0} if header else {}) == refused(rig)


def test_a_later_version_is_read() -> None:
    """A version that appends fields is understood as far as we know it."""
    assert propagation.extract({"traceparent": f"cc-{TRACE}-{PARENT}-01-more"}.get) is not None


def test_propagators_can_be_switched_off(rig: Rig) -> None:
    """With ``none`` nothing is read or written; each W3C part can also be used alone."""
    headers = {"traceparent": TRACEPARENT, "baggage": "a=1"}
    written: dict[str, str] = {}
    propagation.use(load({"propagators": "none"}, {}).propagators)
    assert propagation.extract(headers.get) is None
    propagation.inject(rig.recorder.start("call"), written.__setitem__)
    assert {} == written

    propagation.use(load({}, {"OTEL_PROPAGATORS": "baggage"}).propagators)
    context = propagation.extract(headers.get)
    assert {"a": "1"} == entries(context)
    assert not trace.get_current_span(context).get_span_context().is_valid


def test_other_formats_go_through_their_propagators(rig: Rig) -> None:
    """``b3`` is read and written beside the W3C baggage."""
    propagation.use(load({}, {"OTEL_PROPAGATORS": "b3,baggage"}).propagators)
    incoming = {"b3": f"{TRACE}-{PARENT}-1", "traceparent": TRACEPARENT, "baggage": "a=1"}

    context = propagation.extract(incoming.get)

    assert {"a": "1"} == entries(context)
    span = rig.recorder.start("call", parent_context=context)
    assert (int(TRACE, 16), int(PARENT, 16)) == (span.trace_id, span.parent_id)
    headers: dict[str, str] = {}
    propagation.inject(span, headers.__setitem__, context)
    assert {"b3": f"{TRACE}-{span.span_id:016x}-1", "baggage": "a=1"} == headers
    nothing: dict[str, str] = {}
    assert propagation.extract(nothing.get) is None


def test_a_propagator_that_is_not_installed_is_named() -> None:
    """Ours is an error that says what to install; OpenTelemetry's variable is noted and ignored."""
    with pytest.raises(SettingError, match="opentelemetry-propagator-b3"):
        load({"propagators": ["tracecontext", "jaeger-of-old"]}, {})
    settings = load({}, {"OTEL_PROPAGATORS": "jaeger-of-old"})
    assert ("tracecontext", "baggage") == settings.propagators
    assert "OTEL_PROPAGATORS is ignored" in settings.ignored[0]


async def test_an_application_works_in_the_context_that_came_in(rig: Rig) -> None:
    """Inside a request the baggage is current, several headers are one list, and it ends there."""
    seen: list[dict[str, object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        seen.append(dict(baggage.get_all()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    headers = (("traceparent", TRACEPARENT), ("baggage", "a=1"), ("baggage", "b=2"))
    await ask(AsgiMiddleware(app), headers=headers)
    assert [{"a": "1", "b": "2"}] == seen
    assert {} == dict(baggage.get_all())
    assert int(PARENT, 16) == rig.spans[0].parent_id


async def test_an_application_is_asked_for_by_b3(rig: Rig) -> None:
    """Headers of other formats reach the server span too."""
    propagation.use(("b3",))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await ask(
        AsgiMiddleware(app),
        headers=(("x-b3-traceid", TRACE), ("x-b3-spanid", PARENT), ("x-b3-sampled", "0")),
    )
    assert (int(PARENT, 16), False) == (rig.spans[0].parent_id, rig.spans[0].sampled)


async def test_named_baggage_reaches_span_and_lines() -> None:
    """`baggage_keys` puts those entries on the server span and the lines inside it, cut to a bound."""
    most = limit("baggage_value_chars_max")
    headers = (("baggage", f"tenant.tier=gold,secret=s,long={'x' * (most + 1)},url.path=/forged"),)
    with attached(baggage_keys="tenant.tier,long,absent,url.path") as made:
        bound: list[dict[str, object] | None] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
            bound.append(ours.fields())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        with ours.bind(outer=1):
            await ask(AsgiMiddleware(app), headers=headers)
            await ask(AsgiMiddleware(app))
            after = ours.fields()
        reasons = refused(made)

    told, silent = made.spans
    assert ("gold", "/") == (told.attributes["tenant.tier"], told.attributes["url.path"])
    assert most == len(str(told.attributes["long"]))
    assert {"baggage_value": 1.0} == reasons
    assert {"absent", "secret"}.isdisjoint(told.attributes)
    assert "tenant.tier" not in silent.attributes
    assert [True, False] == [(fields or {}).get("tenant.tier") == "gold" for fields in bound]
    assert [{"outer": 1}] * 2 == [after, bound[1]]


async def test_named_baggage_is_on_the_line_of_its_request() -> None:
    """The event that tells of the request has it too, and that of another request has not."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with capture(baggage_keys=["tenant.tier"]) as seen:
        await ask(AsgiMiddleware(app), headers=(("baggage", "tenant.tier=gold"),))
        await ask(AsgiMiddleware(app))
        lines = [log for log in seen.logs if log.body == "http.request"]
    assert ["gold", None] == [line.attributes.get("tenant.tier") for line in lines]


def test_named_baggage_reaches_a_body_of_wsgi() -> None:
    """A generator of a WSGI application sees the fields too, and the thread keeps nothing."""
    seen: list[object] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:  # noqa: ARG001 - WSGI
        start_response("200 OK", [])
        for _ in range(2):
            seen.append((ours.fields() or {}).get("tier"))
            yield b"x"

    with attached(baggage_keys=["tier"]) as made, reraising():
        environ: dict[str, Any] = {"HTTP_BAGGAGE": "tier=gold"}
        setup_testing_defaults(environ)
        parts: Any = WsgiMiddleware(app)(environ, lambda *_: lambda _: None)
        body = b"".join(parts)
        parts.close()
    assert (b"xx", ["gold"] * 2, None) == (body, seen, ours.fields())
    assert "gold" == made.spans[0].attributes["tier"]


async def test_nothing_of_baggage_is_kept_unless_named(rig: Rig) -> None:
    """With the default an entry only travels on."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        assert ours.fields() is None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await ask(AsgiMiddleware(app), headers=(("baggage", "tier=gold"),))
    assert "tier" not in rig.spans[0].attributes
