"""Traces that the ratio left out and the end of their local root keeps."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from tests.instrument.recorder.collector import spans_of
from tests.instrument.rig import HandClock

from watchkeeper.instrument.recorder import (
    MemoryExporter,
    RandomIds,
    RecordedSpan,
    Recorder,
    Rules,
    TailLimits,
    TailSampler,
)

SERVER = SpanKind.SERVER


class Trial:
    """A recorder whose ratio leaves everything out, with a tail decision and a clock by hand."""

    def __init__(
        self,
        *,
        rules: Rules | None = None,
        slow_s: float | None = None,
        seen_s: float = 86_400.0,
        **limits: int,
    ) -> None:
        self.clock = HandClock()
        self.exporter = MemoryExporter()
        self.tail = TailSampler(
            monotonic_ns=self.clock.monotonic_ns,
            limits=TailLimits(**limits),
            rules=rules,
            slow_s=slow_s,
            seen_s=seen_s,
        )
        self.recorder = Recorder(
            {},
            clock=self.clock,
            ids=RandomIds(),
            exporter=self.exporter,
            sampler_ratio=0.0,
            tail=self.tail,
        )

    def start(self, name: str = "GET /x", parent: RecordedSpan | None = None) -> RecordedSpan:
        """Start a request, or a span inside one."""
        within = None if parent is None else set_span_in_context(parent)
        kind = SERVER if parent is None else SpanKind.INTERNAL
        return self.recorder.start(name, kind, parent_context=within or Context())

    def request(
        self,
        name: str = "GET /x",
        *,
        seconds: float = 0.01,
        inside: Callable[[RecordedSpan], object] | None = None,
        **attributes: object,
    ) -> RecordedSpan:
        """Record one request with one span inside."""
        root = self.start(name)
        child = self.start("inside", root)
        if inside is not None:
            inside(child)
        self.clock.advance(seconds)
        child.end()
        root.set_attributes({key.replace("_", "."): value for key, value in attributes.items()})  # type: ignore[misc] # values of tests
        root.end()
        return root

    def exported(self) -> list[str]:
        """Return the names of what was exported since the last call, sorted."""
        assert self.recorder.flush()
        bodies = self.exporter.bodies("traces")
        self.exporter.batches.clear()
        return sorted(span.name for body in bodies for span in spans_of(body))

    def seen(self, *names: str) -> None:
        """Let routes be seen before, and nothing of it exported."""
        for name in names or ("GET /x",):
            self.request(name)
        self.exported()
        self.tail.kept.clear()
        self.tail.dropped.clear()


@pytest.fixture
def trial() -> Trial:
    """Return a trial that has seen ``GET /x``."""
    made = Trial()
    made.seen()
    return made


def remote(trace_id: int, flags: int = 0) -> Context:
    """Return a context with a caller in another process."""
    parent = SpanContext(trace_id, 7, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def test_an_ordinary_trace_is_left_out(trial: Trial) -> None:
    """Nothing of it is exported, and each of its spans is counted."""
    trial.request()
    assert [] == trial.exported()
    assert ({"tail": 2}, {}) == (
        trial.recorder.stats().spans_dropped,
        trial.recorder.stats().traces_kept,
    )


def test_a_failed_trace_is_kept_whole(trial: Trial) -> None:
    """One failed span keeps all of its trace, those that ended before it too."""
    trial.request(inside=lambda span: span.set_status(StatusCode.ERROR))
    trial.request(http_response_status__code=200)

    assert ["GET /x", "inside"] == trial.exported()
    assert {"error": 1} == trial.recorder.stats().traces_kept


@pytest.mark.parametrize(
    ("attribute", "value"), [("http.response.status_code", 503), ("error.type", "Timeout")]
)
def test_what_counts_as_failed(trial: Trial, attribute: str, value: str | int) -> None:
    """An answer of 5xx and an error's type count without a status as well."""
    root = trial.start()
    root.set_attribute(attribute, value)
    root.end()
    assert ["GET /x"] == trial.exported()


def test_the_first_of_a_kind_is_kept() -> None:
    """A new route, model or error is kept once, and again after a time without it."""
    trial = Trial(seen_s=60.0)

    def call(model: str) -> Callable[[RecordedSpan], object]:
        return lambda span: span.set_attribute("gen_ai.request.model", model)

    trial.request("GET /a")
    trial.request("GET /a")
    assert ["GET /a", "inside"] == trial.exported()
    trial.request("GET /a", inside=call("m1"))
    trial.request("GET /a", inside=call("m1"))
    trial.request("GET /a", inside=call("m2"))
    assert ["GET /a", "GET /a", "inside", "inside"] == trial.exported()
    trial.clock.advance(61.0)
    trial.request("GET /a")
    assert ["GET /a", "inside"] == trial.exported()
    assert {"first_seen": 4} == trial.tail.kept


def test_names_without_end_are_not_new_for_ever() -> None:
    """Past the limit a further name counts as seen, and is counted as refused."""
    trial = Trial(sample_seen_max=2)
    for number in range(5):
        trial.request(f"GET /{number}")
    assert {"first_seen": 2} == trial.tail.kept
    assert 3 == trial.recorder.stats().names_refused


def test_a_slow_trace_is_kept(trial: Trial) -> None:
    """Slow is what takes longer than almost every other of its route."""
    trial.seen(*["GET /x"] * 120, *["GET /slow"] * 1)
    trial.request(seconds=0.5)
    assert ["GET /x", "inside"] == trial.exported()
    trial.request(seconds=0.005)
    assert ({"slow": 1}, []) == (trial.tail.kept, trial.exported())


def test_what_is_slow_follows_the_load(trial: Trial) -> None:
    """When everything takes longer that becomes usual, after a few dozen traces."""
    trial.seen(*["GET /x"] * 120)
    for _ in range(400):
        trial.clock.advance(1.0)
        trial.request(seconds=0.1)
    assert 30 < trial.tail.kept["slow"] < 80


def test_slow_can_be_a_fixed_time() -> None:
    """`slow_s` counts from the first request on."""
    trial = Trial(slow_s=1.0)
    trial.seen()
    trial.request(seconds=1.0)
    trial.request(seconds=0.9)
    assert (["GET /x", "inside"], {"slow": 1}) == (trial.exported(), trial.tail.kept)


def test_a_rule_for_the_route_is_applied_at_the_end() -> None:
    """A route that could not be told from the path has its own ratio all the same."""
    trial = Trial(rules=Rules([("POST /agent", 1.0)]))
    trial.seen("POST")
    root = trial.start("POST")
    root.set_attribute("http.route", "/agent")
    root.set_attribute("http.request.method", "POST")
    root.end()
    assert (["POST"], {"rule": 1}) == (trial.exported(), trial.tail.kept)


def test_the_quota_bounds_what_is_kept() -> None:
    """In a storm of failures ten seconds' worth of the quota goes out, then so many each second."""
    storm = Trial(sample_kept_per_s_max=2)
    storm.seen()
    storm.clock.advance(60.0)

    def fail(span: RecordedSpan) -> None:
        span.set_status(StatusCode.ERROR)

    for _ in range(50):
        storm.request(seconds=0.0, inside=fail)
    assert ({"error": 20}, {"quota": 60}) == (storm.tail.kept, storm.tail.dropped)
    storm.clock.advance(3.0)
    for _ in range(50):
        storm.request(seconds=0.0, inside=fail)
    assert 26 == storm.tail.kept["error"]


def test_late_children_follow_the_decision(trial: Trial) -> None:
    """What ends after its root is exported if the root was, with the right parent."""
    kept, left = trial.start(), trial.start()
    kept.set_status(StatusCode.ERROR)
    late = [trial.start("late of kept", kept), trial.start("late of left", left)]
    kept.end()
    left.end()
    for span in late:
        span.end()
    # A span that starts only now, in a background task for example, is late as well.
    trial.start("later still", kept).end()
    assert ["GET /x", "late of kept", "later still"] == trial.exported()
    assert {"tail": 2} == trial.tail.dropped


def test_late_children_of_old_decisions_are_left_out() -> None:
    """Only so many decisions are remembered."""
    trial = Trial(sample_decisions_max=1)
    trial.seen()
    roots = [trial.request(inside=lambda span: span.set_status(StatusCode.ERROR)) for _ in "ab"]
    trial.exported()
    for root in roots:
        trial.start("late", root).end()
    assert ["late"] == trial.exported()
    assert {"tail": 1} == trial.tail.dropped


def test_all_local_roots_of_a_trace_are_decided_together(trial: Trial) -> None:
    """A service that calls itself keeps its outer request when the inner one fails."""
    trace_id = 0xABC << 64 | 1 << 63
    outer = trial.recorder.start("GET /x", SERVER, parent_context=remote(trace_id))
    inner = trial.recorder.start("GET /x", SERVER, parent_context=remote(trace_id))
    inner.set_status(StatusCode.ERROR)
    inner.end()
    assert [] == trial.exported()
    outer.end()
    assert ["GET /x", "GET /x"] == trial.exported()


def test_the_callers_decision_is_followed(trial: Trial) -> None:
    """What the caller keeps is kept at once; what it left out is still kept when it fails here."""
    trial.recorder.start("sampled", SERVER, parent_context=remote(5, 1)).end()
    assert ["sampled"] == trial.exported()
    failed = trial.recorder.start("GET /x", SERVER, parent_context=remote(6))
    failed.set_status(StatusCode.ERROR)
    failed.end()
    trial.recorder.start("GET /x", SERVER, parent_context=remote(7)).end()
    assert ["GET /x"] == trial.exported()


def test_a_second_root_of_a_kept_trace_is_kept(trial: Trial) -> None:
    """A job that a kept request enqueued, in the same trace, is kept with it."""
    first = trial.recorder.start("GET /x", SERVER, parent_context=remote(8))
    first.set_status(StatusCode.ERROR)
    first.end()
    trial.recorder.start("GET /x", SpanKind.CONSUMER, parent_context=remote(8)).end()
    assert ["GET /x", "GET /x"] == trial.exported()


def test_the_oldest_trace_makes_room_for_spans() -> None:
    """Past the limit the oldest trace is decided by what is known; a loss is counted as one."""
    trial = Trial(sample_held_spans_max=3)
    trial.seen()
    failing, waiting = trial.start(), trial.start()
    bad = trial.start("bad", failing)
    bad.set_status(StatusCode.ERROR)
    bad.end()
    for _ in range(3):
        trial.start("inside", waiting).end()
    assert ["bad"] == trial.exported()
    trial.start("inside", waiting).end()
    assert {"held_full": 4} == trial.tail.dropped
    failing.end()
    waiting.end()
    assert ["GET /x"] == trial.exported()


def test_too_many_open_traces_are_decided_early() -> None:
    """A trace without spans takes room as well."""
    trial = Trial(sample_held_traces_max=2)
    trial.seen()
    roots = [trial.start() for _ in range(3)]
    for root in roots:
        root.set_status(StatusCode.ERROR)
        root.end()
    assert {"error": 2} == trial.tail.kept
    assert {"tail": 1} == trial.tail.dropped


def test_a_trace_that_does_not_end_is_decided_by_what_is_known() -> None:
    """After a time its failed spans are exported, and others are counted as unfinished."""
    trial = Trial(sample_held_s_max=60)
    trial.seen()
    open_failed, open_well = trial.start(), trial.start()
    trial.start("inside", open_well).end()
    bad = trial.start("bad", open_failed)
    bad.set_status(StatusCode.ERROR)
    bad.end()
    trial.clock.advance(61.0)
    trial.request()
    trial.request()
    assert ["bad"] == trial.exported()
    assert {"unfinished": 1, "tail": 4} == trial.tail.dropped


def test_one_trace_is_held_up_to_a_length() -> None:
    """Spans past it are lost, but for the root, and counted; a failure among them still counts."""
    trial = Trial(sample_trace_spans_max=2)
    trial.seen()
    root = trial.start()
    for number in range(4):
        span = trial.start(f"inside {number}", root)
        if number == 3:
            span.set_status(StatusCode.ERROR)
        span.end()
    root.end()
    assert ["GET /x", "inside 0", "inside 1"] == trial.exported()
    assert {"trace_size": 2} == trial.tail.dropped


def test_the_end_of_the_process_decides(trial: Trial) -> None:
    """At shutdown open traces with a failure are exported, the others are counted."""
    failing, well = trial.start(), trial.start()
    for root, status in ((failing, StatusCode.ERROR), (well, StatusCode.OK)):
        span = trial.start("inside", root)
        span.set_status(status)
        span.end()
    assert trial.recorder.shutdown()
    names = [span.name for body in trial.exporter.bodies("traces") for span in spans_of(body)]
    assert (["inside"], {"unfinished": 1}) == (names, trial.tail.dropped)


def test_an_exemplar_is_linked_within_half_of_the_quota() -> None:
    """A trace that promised to be kept is kept; failures have the other half to themselves."""
    trial = Trial(sample_kept_per_s_max=1)
    trial.seen()
    trial.clock.advance(60.0)
    roots = [trial.start() for _ in range(8)]
    answers = [trial.tail.link(root.trace_id) for root in roots]
    assert [True] * 5 + [False] * 3 == answers
    assert trial.tail.link(roots[0].trace_id)
    for root in roots:
        root.end()
    assert {"exemplar": 5} == trial.tail.kept
    assert ["GET /x"] * 5 == trial.exported()
    assert trial.tail.link(roots[0].trace_id)
    assert not trial.tail.link(roots[7].trace_id)


def test_spans_may_end_on_any_thread(trial: Trial) -> None:
    """Nothing is lost or exported twice when children end while their root does."""
    roots = [trial.start() for _ in range(200)]
    for root in roots:
        root.set_status(StatusCode.ERROR)
    children = [trial.start("child", root) for root in roots for _ in range(5)]
    trial.clock.advance(1_000.0)
    threads = [
        threading.Thread(target=lambda part: [span.end() for span in part], args=(part,))
        for part in (children[::2], children[1::2], roots)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = trial.recorder.stats()
    assert len(roots) + len(children) == len(trial.exported()) + sum(stats.spans_dropped.values())
    assert 100 == trial.tail.kept["error"]


def test_a_forked_child_holds_nothing_of_its_parent(trial: Trial) -> None:
    """The child begins empty and works; the parent keeps what it held."""
    root = trial.start()
    root.set_status(StatusCode.ERROR)
    trial.start("inside", root).end()
    pid = os.fork()
    if not pid:
        root.end()
        trial.request("GET /child")
        ended = trial.tail.kept == {"first_seen": 1} and not trial.tail.dropped
        os._exit(0 if ended else 1)
    assert 0 == os.waitpid(pid, 0)[1]
    root.end()
    assert ["GET /x", "inside"] == trial.exported()
