"""Floods, repeats and samples: what is held back, and that nothing is held back unsaid."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from tests.instrument.logs.rig import Rig

from watchkeeper.instrument.logs import LEVELS, StdlibLogging, get_logger, route
from watchkeeper.instrument.logs.limiter import Gate, Rules, Summary
from watchkeeper.instrument.recorder import RandomIds, Recorder
from watchkeeper.instrument.recorder.sampling import ParentRatioSampler
from watchkeeper.testing.clock import FixedClock


class Limited(Rig):
    """A rig with a gate."""

    def __init__(self, chance: float = 0.5, **rules: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.began: list[int] = []
        defaults: dict[str, Any] = {
            "burst_lines": 5, "lines_per_s": 2, "repeats": 1_000, "events": 100, "rates": {},
        }  # fmt: skip
        self.gate = Gate(
            Rules(**{**defaults, **rules}),
            count=lambda reason: self.counts.update([reason]),
            chance=lambda: chance,
            holding=lambda: self.began.append(1),
        )
        super().__init__(gate=self.gate)

    def passed(self) -> int:
        """Return how many lines were written."""
        return len(self.lines())


def test_a_burst_passes_and_a_flood_does_not() -> None:
    """The burst passes at once, then so many lines in a second."""
    rig = Limited()
    for number in range(100):
        rig.write("flood", number=number)
    at_once = rig.passed()
    for number in range(40):
        rig.clock.advance(0.25)
        rig.write("flood", number=number)

    assert 5 == at_once
    assert 5 + 10 * 2 == rig.passed()
    assert rig.counts == {"rate": 140 - 25}


def test_the_next_line_tells_of_those_before() -> None:
    """The first line that passes again says how many were held back, on line and record."""
    rig = Limited()
    for number in range(12):
        rig.write("flood", number=number)
    rig.clock.advance(1)
    rig.write("flood", number=99)
    rig.write("flood", number=100)

    assert (7, 7) == (
        rig.lines()[5]["suppressed"],
        rig.records[5].attributes["log.suppressed.lines"],
    )
    assert "suppressed" not in rig.lines()[6]


def test_events_loggers_and_levels_have_limits_of_their_own() -> None:
    """A flood of one event holds back no line of another event, logger or level."""
    rig = Limited()
    for number in range(50):
        rig.write("flood", number=number)
    before = rig.passed()
    rig.write("other")
    rig.pipeline.write(LEVELS["error"], "test", "flood", {})
    rig.pipeline.write(LEVELS["info"], "another", "flood", {})

    assert 3 == rig.passed() - before


def test_a_flood_that_is_over_is_summed_up() -> None:
    """Lines that no later line told of are in a summary, once, when nothing came for a while."""
    rig = Limited()
    for number in range(12):
        rig.write("flood", number=number)
    during = rig.gate.over(rig.clock.now_ns())
    rig.clock.advance(6)

    assert [] == during
    assert [Summary("test", 20, "flood", 7)] == rig.gate.over(rig.clock.now_ns())
    assert [] == rig.gate.rest()
    assert [1] == rig.began


def test_declared_events_are_not_limited() -> None:
    """Events of the vocabulary come once for a request or a job, so a busy server loses none."""
    rig = Limited()
    for number in range(50):
        fields = {"number": number}
        rig.pipeline.write(LEVELS["info"], "w", "http.request", fields, event_name="http.request")

    assert 50 == rig.passed()


def test_repeated_lines_are_folded() -> None:
    """Lines that differ in nothing but their time pass a few times, then once in a second."""
    rig = Limited(burst_lines=10_000, repeats=3)
    for _ in range(20):
        rig.clock.advance(0.1)
        rig.write("again", x=1)
    rig.write("other")
    rig.clock.advance(0.1)
    rig.write("again", x=1)
    told = [line.get("suppressed", 0) for line in rig.lines()]

    # Written: the first three, one in each further second, the other one, and the last.
    assert [0, 0, 0, 9, 0, 7] == told
    assert 22 == len(told) + sum(told)
    assert rig.counts == {"repeat": 16}


def test_a_slow_heartbeat_is_not_folded() -> None:
    """The same line every ten seconds is a sign of life and passes for ever."""
    rig = Limited(burst_lines=10_000, repeats=3)
    for _ in range(20):
        rig.clock.advance(10)
        rig.write("alive")

    assert 20 == rig.passed()


def test_lines_with_different_fields_are_not_folded() -> None:
    """A value that differs makes another line."""
    rig = Limited(burst_lines=10_000, repeats=3)
    for number in range(20):
        rig.write("step", number=number)

    assert 20 == rig.passed()


def test_a_template_is_one_event() -> None:
    """Lines of ``logging`` and ``%`` arguments of ours are limited by what they are filled into."""
    rig = Limited()
    bridge = StdlibLogging()
    route(rig.pipeline, 20)
    bridge.install(20)
    for number in range(50):
        logging.getLogger("limiter_third").info("order %s paid", number)
        get_logger("ours").info("order %s sent", number)
    bridge.uninstall()
    route(None, 20)

    # The records of the standard library carry the time of the real clock, which goes on a little.
    counted = Counter(line["logger"] for line in rig.lines())
    assert 5 == counted["ours"]
    assert 5 <= counted["limiter_third"] < 50


def test_the_memory_is_bounded() -> None:
    """However many events there are, few are remembered; the recent ones stay limited."""
    rig = Limited(events=50, lines_per_s=1)
    for number in range(1_000):
        rig.write(f"event {number}" + "x" * 900)
        rig.write("flood", number=number)
    gate = rig.gate

    assert len(gate._due) + len(gate._due_before) <= 100
    assert max(len(key[2]) for key in gate._due) <= 200
    assert 5 == sum(line["event"] == "flood" for line in rig.lines())


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_silences_nobody(seconds: float) -> None:
    """After the host's clock was set, lines pass again at once."""
    rig = Limited()
    for number in range(50):
        rig.write("flood", number=number)
    before = rig.passed()
    rig.clock.jump(seconds)
    rig.write("flood")

    assert 1 == rig.passed() - before


def test_a_share_of_a_chatty_event_is_kept() -> None:
    """Lines outside of traces are kept by chance and carry their rate; others are not sampled."""
    for chance, kept in ((0.05, ["poll", "other", "poll"]), (0.5, ["other", "poll"])):
        rig = Limited(chance=chance, rates={"poll": 0.1})
        rig.write("poll")
        rig.write("other")
        rig.pipeline.write(LEVELS["warning"], "test", "poll", {})
        lines = rig.lines()

        assert kept == [line["event"] for line in lines]
        assert [None, "warning"] == [lines[-2].get("sample_rate"), lines[-1]["level"]]
        assert "sample_rate" not in lines[-1]
        if len(kept) == 3:
            assert lines[0]["sample_rate"] == 0.1


def test_lines_of_a_trace_are_sampled_together() -> None:
    """All sampled events keep the same traces, those that a sampler of that ratio keeps."""
    rig = Limited(rates={"a": 0.3, "b": 0.3}, burst_lines=10_000)
    recorder = Recorder({}, clock=FixedClock(), ids=RandomIds(), exporter=None)
    tracer = recorder.tracer_provider.get_tracer("t")
    sampler = ParentRatioSampler(0.3)
    wanted = []
    for _ in range(100):
        with tracer.start_as_current_span("work") as span:
            rig.write("a")
            rig.write("b")
            trace_id = span.get_span_context().trace_id
            if sampler.sample(trace_id, None, "work", None, {}):  # type: ignore[arg-type]
                wanted += [(f"{trace_id:032x}", event) for event in "ab"]

    assert wanted == [(line["trace_id"], line["event"]) for line in rig.lines()]
    assert rig.counts["sampled"] == 200 - len(wanted)
