"""Spans: what they keep, what they drop, and that they never raise."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Generator, Mapping

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from tests.instrument.recorder.collector import CountingIds, TickingClock, spans_of

from watchkeeper.errors import SettingError
from watchkeeper.instrument import guard
from watchkeeper.instrument.recorder import (
    MemoryExporter,
    ParentRatioSampler,
    RandomIds,
    RecordedSpan,
    Recorder,
    RecorderLimits,
    Template,
    activate,
    deactivate,
)


class Hostile:
    """Fails at whatever is done to it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileDict(dict[str, int]):
    """Fails while it is read."""

    def items(self) -> object:  # type: ignore[override] # fails on purpose
        """Raise."""
        raise RuntimeError("no items")


class HostileError(Exception):
    """An exception without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def recording(**more: object) -> tuple[Recorder, MemoryExporter]:
    """Return a recorder and what it exports to."""
    exporter = MemoryExporter()
    recorder = Recorder(
        {"service.name": "s"},
        clock=TickingClock(),
        ids=CountingIds(),
        exporter=exporter,
        **more,  # type: ignore[arg-type] # names and types are the constructor's
    )
    return recorder, exporter


def test_hostile_values_become_a_placeholder() -> None:
    """An object whose text raises never raises into the application."""
    recorder, exporter = recording()
    span = recorder.tracer_provider.get_tracer("t").start_span("s", attributes={"a": Hostile()})  # type: ignore[dict-item] # wrong on purpose
    span.set_attribute("b", Hostile())  # type: ignore[arg-type] # wrong on purpose
    span.set_attributes(HostileDict(a=1))
    span.add_event("e", {"c": [Hostile()]})  # type: ignore[list-item] # wrong on purpose
    span.record_exception(HostileError())
    assert isinstance(span, RecordedSpan)
    span.fail(HostileError())
    span.end()
    tracer = recorder.tracer_provider.get_tracer("t")
    with pytest.raises(HostileError), tracer.start_as_current_span("current"):
        raise HostileError
    assert recorder.shutdown()
    (decoded, _) = spans_of(exporter.bodies("traces")[0])
    texts = {pair.key: pair.value.string_value for pair in decoded.attributes}
    assert "<unprintable>" == texts["a"] == texts["b"]
    assert "HostileError: <unprintable>" == decoded.status.message


def test_self_containing_values_end_at_the_depth_limit() -> None:
    """A list that contains itself is cut, and still encodes."""
    recorder, exporter = recording()
    endless: list[object] = []
    endless.append(endless)
    span = recorder.tracer_provider.get_tracer("t").start_span("s")
    span.set_attribute("endless", endless)  # type: ignore[arg-type] # wrong on purpose
    recorder.start("trusted", attributes={"endless": endless}).end()  # type: ignore[dict-item] # wrong on purpose
    span.end()
    recorder.shutdown()
    assert recorder.stats().spans_ended == 2
    assert exporter.bodies("traces")


@pytest.mark.parametrize("value", ["\ud800 lone", "nul\x00", "é" * 10])
def test_any_text_can_be_exported(value: str) -> None:
    """Names, keys and values that UTF-8 cannot hold are replaced, not lost."""
    recorder, exporter = recording()
    recorder.start(value, attributes={value: value}).end()
    assert recorder.shutdown()
    (span,) = spans_of(exporter.bodies("traces")[0])
    expected = value.encode(errors="replace").decode()
    assert (expected, expected) == (span.name, span.attributes[0].key)


def test_long_values_and_large_numbers_are_bounded() -> None:
    """Text is cut at the limit; an integer beyond 64 bits is exported as its digits."""
    recorder, exporter = recording(limits=RecorderLimits(attribute_value_chars_max=5))
    span = recorder.tracer_provider.get_tracer("t").start_span("s", attributes={"t": "abcdefgh"})
    span.set_attributes({"big": 2**64, "list": ["abcdefgh"], "bytes": b"abcdefgh"})
    span.end()
    recorder.shutdown()
    (decoded,) = spans_of(exporter.bodies("traces")[0])
    values = {pair.key: pair.value for pair in decoded.attributes}
    assert "abcde" == values["t"].string_value
    assert "abcde" == values["list"].array_value.values[0].string_value
    assert b"abcde" == values["bytes"].bytes_value
    assert str(2**64) == values["big"].string_value


def test_floats_as_times_are_accepted() -> None:
    """A library that passes seconds as floats or negative times costs no batch."""
    recorder, exporter = recording()
    recorder.start("float", start_ns=1.5).end(-3)  # type: ignore[arg-type] # wrong on purpose
    recorder.shutdown()
    (span,) = spans_of(exporter.bodies("traces")[0])
    assert (1, 0) == (span.start_time_unix_nano, span.end_time_unix_nano)


def test_a_clock_set_back_gives_no_negative_duration() -> None:
    """The end is never before the start when the recorder reads both."""
    recorder, _ = recording()
    span = recorder.start("s", start_ns=2_000_000_000_000_000_000)
    span.end()
    assert span.start_ns == span.end_ns


def test_hooks_see_every_span_once_and_cannot_harm() -> None:
    """Sampled or not, each ended span reaches each hook; what a hook raises is counted."""
    recorder, exporter = recording(sampler_ratio=0.0)
    seen: list[object] = []

    def broken(span: RecordedSpan) -> None:
        raise ValueError(span.name)

    before = guard.hook_errors().get("test.broken", 0)
    recorder.add_end_hook(broken, "test.broken")
    recorder.add_end_hook(lambda span: seen.append((span.name, span.attributes["k"])))
    with recorder.tracer_provider.get_tracer("t").start_as_current_span("s", attributes={"k": 1}):
        assert trace.get_current_span().is_recording()
        assert not trace.get_current_span().get_span_context().trace_flags.sampled
    trace.get_current_span().end()
    assert [("s", 1)] == seen
    assert before + 1 == guard.hook_errors()["test.broken"]
    assert {"sampled": 1} == recorder.stats().spans_dropped
    assert recorder.shutdown()
    assert [] == exporter.batches


def test_sampling_follows_the_parent() -> None:
    """Remote and local children take the parent's decision, whatever the ratio."""
    recorder, _ = recording(sampler_ratio=0.0)
    parent = SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1))
    context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    with trace.use_span(recorder.start("remote child", parent_context=context)) as span:
        child = recorder.start("child")
    assert isinstance(span, RecordedSpan)
    assert span.sampled
    assert child.sampled
    assert (1, span.span_id, False) == (child.trace_id, child.parent_id, child.parent_remote)
    assert parent == span.parent
    assert not recorder.start("root").sampled


def test_the_ratio_decides_by_the_lower_half_of_the_trace_id() -> None:
    """Services with equal ratios agree: the boundary is at ratio times 2**64."""
    sampler = ParentRatioSampler(0.25)
    decide = [
        sampler.sample(trace_id, None, "n", SpanKind.SERVER, {})
        for trace_id in ((1 << 64) + (1 << 62) - 1, 1 << 62)
    ]
    assert [True, False] == decide
    with pytest.raises(SettingError, match="ratio"):
        ParentRatioSampler(1.5)


def test_random_ids_are_valid_and_differ() -> None:
    """Ids are in range, not 0, and do not repeat."""
    ids = RandomIds()
    traces = {ids.trace_id() for _ in range(1_000)}
    spans = {ids.span_id() for _ in range(1_000)}
    assert (1_000, 1_000) == (len(traces), len(spans))
    assert all(0 < trace_id < 1 << 128 for trace_id in traces)
    assert all(0 < span_id < 1 << 64 for span_id in spans)


def test_leaving_in_another_context_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A span whose block is left in another context ends without a logged error."""
    recorder, _ = recording()
    tracer = recorder.tracer_provider.get_tracer("t")

    def generator() -> Generator[int, None, None]:
        with tracer.start_as_current_span("in generator"):
            yield 1

    running = generator()
    contextvars.copy_context().run(next, running)
    with caplog.at_level(logging.DEBUG):
        running.close()
    token = activate(recorder.start("s"))
    deactivate(token)
    deactivate(token)
    assert [] == caplog.records
    assert 1 == recorder.stats().spans_ended


async def test_a_cancelled_block_is_not_an_error() -> None:
    """CancelledError ends the span and leaves its status unset."""
    recorder, _ = recording()
    spans: list[RecordedSpan] = []
    recorder.add_end_hook(spans.append)

    async def stream() -> AsyncIterator[int]:
        with recorder.tracer_provider.get_tracer("t").start_as_current_span("stream"):
            yield 1
            await asyncio.sleep(60)

    async def consume() -> None:
        async for _ in stream():
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [StatusCode.UNSET] == [span.status_code for span in spans]


def test_tracers_are_shared_by_scope() -> None:
    """The same scope gives the same tracer; attributes that cannot be hashed are accepted."""
    provider = recording()[0].tracer_provider
    assert provider.get_tracer("a", "1") is provider.get_tracer("a", "1")
    assert provider.get_tracer("a", "1") is not provider.get_tracer("a", "2")
    assert provider.get_tracer("a", attributes={"m": {"x": 1}}) is not None


def test_a_tail_decides_what_is_exported() -> None:
    """With a tail decision, spans that the head left out go when it lets them."""
    held: list[RecordedSpan] = []

    class ErrorsOnly:
        kept: Mapping[str, int] = {}
        dropped: Mapping[str, int] = {}
        names_refused = 0

        def started(self, span: RecordedSpan) -> list[RecordedSpan]:
            assert not span.parent_id
            return []

        def link(self, trace_id: int) -> bool:
            return trace_id == 0

        def drain(self) -> list[RecordedSpan]:
            return []

        def ended(self, span: RecordedSpan) -> list[RecordedSpan]:
            held.append(span)
            failed = span.status_code is StatusCode.ERROR
            return held.copy() if failed and not span.parent_id else []

        def after_fork(self) -> None:
            held.clear()

    recorder, exporter = recording(sampler_ratio=0.0, tail=ErrorsOnly())
    tracer = recorder.tracer_provider.get_tracer("t")
    with tracer.start_as_current_span("root") as root:
        tracer.start_span("child").end()
        root.set_status(StatusCode.ERROR)
    assert recorder.shutdown()
    (body,) = exporter.bodies("traces")
    assert ["child", "root"] == [span.name for span in spans_of(body)]


def test_a_template_is_what_a_span_begins_with() -> None:
    """Attributes of a template arrive with those behind them, also once one of them was changed."""
    recorder, exporter = recording()
    template = Template({"shared": "a", "number": 1})
    changes: tuple[dict[str, str], ...] = ({}, {"shared": "b"}, {"own": "c"})
    for change in changes:
        attributes = {**template.attributes, "behind": 2.5}
        span = recorder.start("s", attributes=attributes, template=template)
        for name, value in change.items():
            span.set_attribute(name, value)
        span.end()
    recorder.flush()

    base = {"shared": "a", "number": 1, "behind": 2.5}
    assert [base | change for change in changes] == [
        {
            pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "")
            for pair in found.attributes
        }
        for found in spans_of(exporter.bodies("traces")[0])
    ]
