"""Requests of bare WSGI applications."""

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from tests.instrument.integrations.wsgi_rig import ask
from tests.instrument.rig import Rig

from watchkeeper import WsgiMiddleware
from watchkeeper.instrument import context

OK = [("Content-Type", "text/plain")]


def plain(environ: Any, start_response: Any) -> Any:
    """Answer with one part."""
    start_response("200 OK", [*OK, ("Content-Length", "5")])
    environ["wsgi.input"].read(0)
    return [b"hello"]


class Parts:
    """An iterable of an application, that knows whether it was closed."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self.parts = parts
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        """Count."""
        self.closed += 1


def test_a_request_is_freed_at_its_end(rig: Rig) -> None:
    """Nothing of a request waits for the garbage collector, though its environ refers to it."""
    app = WsgiMiddleware(plain)
    ask(app, strict=False)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            ask(app, strict=False)
        waiting = gc.collect()
    finally:
        gc.enable()

    assert 21 == len(rig.spans)
    assert waiting < 20


def test_a_request_is_recorded(rig: Rig) -> None:
    """The span, the metrics and the access event say what PEP 3333's environ says."""
    answer = ask(
        WsgiMiddleware(plain),
        "/käse?token=abc&n=1",
        method="POST",
        body=b"123",
        headers={"user-agent": "t/1", "x-request-id": "r-1"},
    )
    (span,) = rig.spans
    assert (200, b"hello", "r-1") == (answer.status, answer.body, answer.headers["X-Request-ID"])
    query = str(span.attributes.pop("url.query"))
    assert "abc" not in query
    assert ("POST", SpanKind.SERVER) == (span.name, span.kind)
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.response.body.size": 5,
        "http.request.body.size": 3,
        "url.scheme": "http",
        "url.path": "/käse",
        "server.address": "shop.example",
        "server.port": 8000,
        "client.address": "10.0.0.7",
        "user_agent.original": "t/1",
        "network.protocol.version": "1.1",
        "request.id": "r-1",
    } == span.attributes
    assert ("http.request", "info") == rig.events[0][:2]
    labels = 'http_request_method="POST",http_response_status_code="200"'
    assert {f'{labels},url_scheme="http"': (1, 0)} == rig.totals(
        "http_server_request_duration_seconds"
    )
    assert {f'{labels},url_scheme="http"': (1, 3)} == rig.totals(
        "http_server_request_body_size_bytes"
    )
    assert [0.0] == list(rig.samples("http_server_active_requests").values())


def test_the_access_event_and_the_span_tell_one_duration(rig: Rig) -> None:
    """The end is read once: the event's duration is the span's, and a clock set back makes it 0."""

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        rig.clock.advance(-5 if environ["PATH_INFO"] == "/back" else 1.25)
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"hello"]

    ask(WsgiMiddleware(slow), "/slow")
    ask(WsgiMiddleware(slow), "/back")
    assert [1.25, 0.0] == [(span.end_ns - span.start_ns) / 1e9 for span in rig.spans]
    assert [(1.25, 5), (0.0, 5)] == [
        (fields["duration_s"], fields["http.response.body.size"]) for _, _, fields in rig.events
    ]


def test_the_caller_is_the_parent(rig: Rig) -> None:
    """A traceparent makes the span part of the caller's trace."""
    header = f"00-{'a' * 32}-{'b' * 16}-01"
    ask(WsgiMiddleware(plain), headers={"traceparent": header, "tracestate": "k=v"})
    (span,) = rig.spans
    assert ("a" * 32, "b" * 16) == (f"{span.trace_id:032x}", f"{span.parent_id:016x}")


def test_span_and_request_id_are_current_while_the_application_runs(rig: Rig) -> None:
    """Also in a generator, which runs while the server iterates; never between its parts."""
    seen: list[object] = []

    def app(_: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        seen.append(context.request_id())
        rig.recorder.start("inside").end()
        yield b"a"
        seen.append(context.request_id())
        yield b"b"

    def between(_: bytes) -> None:
        assert "" == context.request_id()
        assert not get_current_span().is_recording()

    ask(WsgiMiddleware(app), headers={"x-request-id": "r-2"}, on_part=between)
    assert ["r-2", "r-2"] == seen
    inside, outside = rig.spans
    assert outside.span_id == inside.parent_id


def test_a_stream_lasts_until_its_last_part(rig: Rig) -> None:
    """Time that a generator takes counts; the request is counted before the answer's end."""
    counted: list[int] = []

    def app(_: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", OK)
        for _n in range(3):
            rig.clock.advance(1.0)
            yield b"12345"

    ask(WsgiMiddleware(app), on_part=lambda _: counted.append(len(rig.spans)))
    (span,) = rig.spans
    assert [0, 0, 0] == counted
    assert 3.0 == (span.end_ns - span.start_ns) / 1e9
    assert 15 == span.attributes["http.response.body.size"]


def test_a_declared_length_counts_before_its_last_part_leaves(rig: Rig) -> None:
    """Whoever has got the whole answer finds it counted."""
    counted: list[int] = []

    def app(_: Any, start_response: Any) -> Parts:
        start_response("200 OK", [*OK, ("Content-Length", "4")])
        return Parts(b"ab", b"cd")

    ask(WsgiMiddleware(app), on_part=lambda _: counted.append(len(rig.spans)))
    assert [0, 1] == counted


def test_an_iterable_is_closed_once(rig: Rig) -> None:
    """The application's `close` runs when the server closes, whatever happened before."""
    parts = [Parts(b"a"), Parts(b"a", ValueError("broken"))]

    def app(_: Any, start_response: Any) -> Parts:
        start_response("200 OK", OK)
        return parts[len(rig.spans)]

    ask(WsgiMiddleware(app))
    with pytest.raises(ValueError, match="broken"):
        ask(WsgiMiddleware(app))
    assert [1, 1] == [part.closed for part in parts]
    assert [None, "ValueError"] == [span.attributes.get("error.type") for span in rig.spans]


def test_a_client_that_goes_away_is_no_server_error(rig: Rig) -> None:
    """A server that closes early tells that nobody reads any more."""

    def app(_: Any, start_response: Any) -> Parts:
        start_response("200 OK", OK)
        return Parts(b"a", b"b")

    with pytest.raises(BrokenPipeError):
        ask(WsgiMiddleware(app), on_part=lambda _: (_ for _ in ()).throw(BrokenPipeError()))
    (span,) = rig.spans
    assert "client_disconnect" == span.attributes["error.type"]
    assert StatusCode.UNSET is span.status_code


def test_an_exception_is_recorded_and_passes(rig: Rig) -> None:
    """The server gets the application's exception and will answer 500."""

    def app(*_: Any) -> Any:
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError, match="oops"):
        ask(WsgiMiddleware(app), strict=False)
    (span,) = rig.spans
    assert (500, "ZeroDivisionError") == (
        span.attributes["http.response.status_code"],
        span.attributes["error.type"],
    )
    assert ["exception"] == [event.name for event in span.events]
    assert StatusCode.ERROR is span.status_code
    assert [0.0] == list(rig.samples("http_server_active_requests").values())


def test_an_answer_may_be_replaced_by_an_error(rig: Rig) -> None:
    """A second `start_response` with `exc_info` counts, and its exception is the span's."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", OK)
        try:
            environ["lost"]
        except KeyError:
            start_response("500 Broken", OK, sys.exc_info())
        return [b"sorry"]

    assert 500 == ask(WsgiMiddleware(app)).status
    (span,) = rig.spans
    assert (500, "KeyError") == (
        span.attributes["http.response.status_code"],
        span.attributes["error.type"],
    )


def test_what_is_written_counts(rig: Rig) -> None:
    """The old `write` adds to the size."""

    def app(_: Any, start_response: Any) -> Any:
        write = start_response("200 OK", OK)
        write(b"123")
        return [b"45"]

    assert b"12345" == ask(WsgiMiddleware(app)).body
    assert 5 == rig.spans[0].attributes["http.response.body.size"]


def test_a_file_stays_in_the_servers_wrapper(rig: Rig) -> None:
    """A server that sends files by a system call still sees its own wrapper; close ends the span."""
    from io import BytesIO
    from wsgiref.util import FileWrapper

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*OK, ("Content-Length", "3")])
        return environ["wsgi.file_wrapper"](BytesIO(b"abc"))

    more = {"wsgi.file_wrapper": FileWrapper}
    assert b"abc" == ask(WsgiMiddleware(app), strict=False, environ=more).body
    (span,) = rig.spans
    assert 3 == span.attributes["http.response.body.size"]
    assert "error.type" not in span.attributes


def test_the_metrics_are_answered(rig: Rig) -> None:
    """GET and HEAD of the metrics' path are the process's own, other methods the application's."""
    app = WsgiMiddleware(plain)
    answer = ask(app, "/metrics", headers={"accept": "application/openmetrics-text"})
    assert answer.body.endswith(b"# EOF\n")
    assert b"" == ask(app, "/metrics", method="HEAD").body
    assert [] == rig.spans
    assert b"hello" == ask(app, "/metrics", method="POST").body


def test_nobody_is_recorded_twice(rig: Rig) -> None:
    """Nested middleware makes one span, and so does an application mounted in a recorded one."""
    ask(WsgiMiddleware(WsgiMiddleware(plain)))
    assert 1 == len(rig.spans)


def test_an_odd_environ_never_breaks_the_application(rig: Rig) -> None:
    """What we cannot read is served all the same."""
    answer = ask(WsgiMiddleware(plain), strict=False, environ={"HTTP_HOST": 7})
    assert b"hello" == answer.body
    assert [] == rig.spans


def test_unknown_methods_and_odd_schemes_make_no_series(rig: Rig) -> None:
    """A flood of invented methods, schemes and paths lands in one series."""
    for number in range(5):
        ask(
            WsgiMiddleware(plain),
            f"/{number}",
            method=f"M{number}",
            strict=False,
            environ={"wsgi.url_scheme": f"s{number}"},
        )
    assert 1 == len(rig.totals("http_server_request_duration_seconds"))
    assert 1 == len(rig.samples("http_server_active_requests"))
