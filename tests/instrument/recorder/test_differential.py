"""The same programs on the OpenTelemetry SDK and on the recorder give the same OTLP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from tests.instrument.recorder.differential import (
    Program,
    assert_same,
    normalised,
    on_recorder,
    on_sdk,
    timeless,
)


class Printable:
    """Has a text of its own."""

    def __str__(self) -> str:
        return "printed"


class Text(str):
    """A subclass of str."""

    __slots__ = ()


def remote(*, sampled: bool = True, state: str = "") -> Context:
    """Return a context whose span is in another process."""
    parent = SpanContext(
        0x0AF7651916CD43DD8448EB211C80319C,
        0xB7AD6B7169203331,
        is_remote=True,
        trace_flags=TraceFlags(1 if sampled else 0),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())


def plain(provider: trace.TracerProvider) -> None:
    """Nested spans of a scope with everything."""
    tracer = provider.get_tracer("lib", "1.2", "https://example.org/schema", {"a": 1})
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER, attributes={"k": "v"}) as span:
        span.set_attribute("n", 7)
        with tracer.start_as_current_span("inner", kind=SpanKind.CLIENT):
            trace.get_current_span().set_attributes({"x": 1.5, "y": True})


def kinds(provider: trace.TracerProvider) -> None:
    """Every kind, and empty names."""
    tracer = provider.get_tracer("lib")
    for kind in SpanKind:
        tracer.start_span("same name", kind=kind).end()
    provider.get_tracer("").start_span("").end()


def values(provider: trace.TracerProvider) -> None:
    """Every type of value, and wrong ones."""
    span = provider.get_tracer("lib").start_span("values")
    span.set_attributes(
        {"s": "ü \U0001f600", "b": b"\x00\xff", "t": True, "f": False, "none": None}
    )
    span.set_attribute("list", ["a", None, 3, 2.5, [True, b"x"]])
    span.set_attribute("map", {"a": {"b": [1, "two"]}, "c": None})
    span.end()
    span = provider.get_tracer("lib").start_span("numbers")
    span.set_attributes({"zero": 0, "min": -(2**63), "max": 2**63 - 1, "nine": -9})
    span.set_attributes({"one": 1, "true": True, "float": 1.0, "inf": float("inf"), "e": 1e-300})
    span.end()
    span = provider.get_tracer("lib").start_span("foreign")
    span.set_attribute("printable", Printable())  # type: ignore[arg-type] # wrong on purpose
    span.set_attribute("object", object())  # type: ignore[arg-type] # wrong on purpose
    span.set_attribute("text", Text("sub"))
    span.set_attribute("enum", SpanKind.SERVER)  # type: ignore[arg-type] # wrong on purpose
    span.set_attribute("", 1)
    span.set_attribute(5, 1)  # type: ignore[arg-type] # wrong on purpose
    span.set_attributes({"": 1, "empty": "", "again": 1})
    span.set_attribute("again", 2)
    span.end()


def events(provider: trace.TracerProvider) -> None:
    """Events with and without a time."""
    span = provider.get_tracer("lib").start_span("events")
    span.add_event("first", {"a": 1, "": 2})
    span.add_event("second", timestamp=1_600_000_000_000_000_000)
    span.add_event("third", {"list": ("x", "y")})
    span.end()


def links(provider: trace.TracerProvider) -> None:
    """Links at the start and later."""
    linked = trace.get_current_span(remote(state="a=1,b=2")).get_span_context()
    local = SpanContext(5, 6, is_remote=False)
    span = provider.get_tracer("lib").start_span("links", links=[Link(linked, {"why": "retry"})])
    span.add_link(local, {"n": 1})
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.end()


def parents(provider: trace.TracerProvider) -> None:
    """Remote and local parents, with trace state."""
    tracer = provider.get_tracer("lib")
    for context in (remote(), remote(state="vendor=x,other=y")):
        with tracer.start_as_current_span("remote child", context=context):
            tracer.start_span("local child").end()
        tracer.start_span("also remote", context=context, kind=SpanKind.CONSUMER).end()
    tracer.start_span("root", context=Context()).end()


def statuses(provider: trace.TracerProvider) -> None:
    """Orders in which a status is set."""
    tracer = provider.get_tracer("lib")
    sequences: list[list[tuple[Status | StatusCode, str | None]]] = [
        [(StatusCode.OK, None), (StatusCode.ERROR, "late")],
        [(StatusCode.ERROR, "one"), (StatusCode.ERROR, "two")],
        [(StatusCode.ERROR, "one"), (StatusCode.UNSET, None)],
        [(StatusCode.ERROR, "one"), (StatusCode.OK, "ignored")],
        [(Status(StatusCode.ERROR, "obj"), "ignored")],
        [(StatusCode.ERROR, None)],
        [(Status(StatusCode.OK), None)],
    ]
    for sequence in sequences:
        span = tracer.start_span("status")
        for status, description in sequence:
            span.set_status(status, description)
        span.end()


def exceptions(provider: trace.TracerProvider) -> None:
    """Exceptions through both kinds of block."""
    tracer = provider.get_tracer("lib")
    for record in (True, False):
        for status in (True, False):
            with (
                pytest.raises(LookupError),
                tracer.start_as_current_span(
                    "current", record_exception=record, set_status_on_exception=status
                ),
            ):
                raise LookupError("nothing here")
            with (
                pytest.raises(LookupError),
                tracer.start_span("with", record_exception=record, set_status_on_exception=status),
            ):
                raise LookupError("nothing there")
    with pytest.raises(KeyboardInterrupt), tracer.start_as_current_span("interrupted"):
        raise KeyboardInterrupt
    span = tracer.start_span("by hand")
    span.record_exception(KeyError("k"), {"extra": 1, "exception.message": "mine"}, escaped=True)
    span.end()


def lifetimes(provider: trace.TracerProvider) -> None:
    """Explicit times, and calls after the end."""
    tracer = provider.get_tracer("lib")
    span = tracer.start_span("explicit", start_time=1_600_000_000_000_000_000)
    span.end(1_600_000_000_000_000_500)
    span.end(1_700_000_000_000_000_000)
    span.set_attribute("late", 1)
    span.add_event("late", timestamp=1)
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    with tracer.start_as_current_span("kept open", end_on_exit=False) as kept:
        kept.update_name("renamed")
    assert kept.is_recording()
    kept.end()
    assert not kept.is_recording()
    used = tracer.start_span("used")
    with pytest.raises(ValueError, match="no"), trace.use_span(used, end_on_exit=True):
        raise ValueError("no")


def decorated(provider: trace.TracerProvider) -> None:
    """Tracers as decorators."""
    tracer = provider.get_tracer("lib")

    @tracer.start_as_current_span("sync")
    def sync() -> None:
        tracer.start_span("child").end()

    @tracer.start_as_current_span("async")
    async def coroutine() -> None:
        await asyncio.sleep(0)
        tracer.start_span("child").end()

    @tracer.start_as_current_span("generator")
    def generator() -> Iterator[int]:
        yield 1
        tracer.start_span("child of a generator").end()

    @tracer.start_as_current_span("async generator")
    async def async_generator() -> AsyncIterator[int]:
        yield 1
        tracer.start_span("child of an async generator").end()

    @tracer.start_as_current_span("failing", set_status_on_exception=False)
    def failing(n: int, *, text: str) -> None:
        raise LookupError(text * n)

    async def drained() -> None:
        await coroutine()
        assert [1] == [n async for n in async_generator()]

    sync()
    sync()
    asyncio.run(drained())
    assert [1] == list(generator())
    with pytest.raises(LookupError, match="nono"):
        failing(2, text="no")


def gaps(provider: trace.TracerProvider) -> None:
    """Arguments that are None, events and links of odd kinds, scopes that repeat."""
    tracer = provider.get_tracer("lib", None, None, None)
    span = tracer.start_span("none", attributes=None, links=None, start_time=None)
    span.set_attributes({})
    span.add_event("bare", None)
    span.add_event("empty", {})
    span.set_status(StatusCode.UNSET)
    span.set_status(StatusCode.UNSET, "ignored")
    span.update_name("renamed")
    span.add_link(SpanContext(5, 6, is_remote=True), None)
    span.end(None)
    span = tracer.start_span("taken at the start", attributes={"a": 1, "b": None, "": 2, "c": ""})
    span.set_attribute("a", [])
    span.record_exception(ValueError(), {"exception.type": "mine", "n": 1}, timestamp=7)
    span.record_exception(ExceptionGroup("both", [ValueError("a"), KeyError("b")]))
    span.end()
    for attributes in (None, {}, {"a": 1}, {"a": 2}):
        provider.get_tracer("same", "1", "", attributes).start_span("scoped").end()
    with trace.use_span(tracer.start_span("used"), end_on_exit=True, record_exception=False):
        assert trace.get_current_span().is_recording()


def chosen(provider: trace.TracerProvider) -> None:
    """A remote parent that is not sampled takes its children out; a new root is sampled."""
    tracer = provider.get_tracer("lib")
    with tracer.start_as_current_span("left out", context=remote(sampled=False)) as parent:
        assert not parent.get_span_context().trace_flags.sampled
        assert 0x0AF7651916CD43DD8448EB211C80319C == parent.get_span_context().trace_id
        with tracer.start_as_current_span("left out too"):
            tracer.start_span("root", context=Context()).end()


PROGRAMS = [
    plain, kinds, values, events, links, parents, statuses, exceptions, lifetimes, decorated,
    gaps,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_exports_what_the_sdk_exports(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded requests are equal field by field, the SDK's frames in tracebacks left aside."""
    expected = normalised(on_sdk(program, monkeypatch), ours=False)
    assert_same(expected, normalised(on_recorder(program), ours=True))


def test_what_is_not_sampled_exports_nothing_on_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling agrees; the recorder alone reads the clock for spans that are left out."""
    expected = normalised(timeless(on_sdk(chosen, monkeypatch)), ours=False)
    assert_same(expected, normalised(timeless(on_recorder(chosen)), ours=True))


def test_what_exceeds_a_limit_is_counted_as_the_sdk_counts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dropped counts agree; the recorder keeps the oldest, which the SDK drops."""

    def program(provider: trace.TracerProvider) -> None:
        span = provider.get_tracer("lib").start_span("limits")
        for n in range(14):
            span.set_attribute(f"a{n:02}", n)
        for n in range(5):
            span.add_event(f"e{n}", {f"k{m:02}": m for m in range(12)}, timestamp=n + 1)
        for n in range(6):
            span.add_link(
                SpanContext(n + 1, 1, is_remote=False), {f"k{m:02}": 1 for m in range(11)}
            )
        span.end()

    (sdk,) = on_sdk(program, monkeypatch).resource_spans[0].scope_spans[0].spans
    (own,) = on_recorder(program).resource_spans[0].scope_spans[0].spans
    for span in (sdk, own):
        counts = (
            span.dropped_attributes_count,
            span.dropped_events_count,
            span.dropped_links_count,
            len(span.attributes),
            len(span.events),
            len(span.links),
            {event.dropped_attributes_count for event in span.events},
            {link.dropped_attributes_count for link in span.links},
        )
        assert (4, 2, 4, 10, 3, 2, {2}, {1}) == counts
    assert "a00" == own.attributes[0].key
    assert ["e0", "e1", "e2"] == [event.name for event in own.events]
