"""Counters, gauges and histograms count exactly."""

from __future__ import annotations

import math
import threading

import pytest

from watchkeeper.instrument.guard import hook_errors
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.metrics.families import label_block
from watchkeeper.instrument.metrics.instruments import (
    Counter,
    Gauge,
    Histogram,
    LockedCounter,
    LockedGauge,
    LockedHistogram,
)
from watchkeeper.testing.clock import FixedClock


def refused() -> None:
    """Fail: nothing should be refused."""
    pytest.fail("a value was refused")


def test_a_counter_adds() -> None:
    """A counter is the sum of what was added."""
    counter = Counter("x ", refused)
    counter.inc()
    counter.inc(2.5)

    assert counter.read() == 3.5


@pytest.mark.parametrize("amount", [-1.0, math.nan, -math.inf])
def test_a_counter_refuses_what_would_not_grow(amount: float) -> None:
    """A negative amount or NaN is counted as refused, and neither raises nor changes the sum."""
    calls: list[int] = []
    counter = Counter("x ", lambda: calls.append(1))
    counter.inc(amount)

    assert (0.0, [1]) == (counter.read(), calls)


def test_a_gauge_goes_up_and_down_or_asks() -> None:
    """A gauge keeps a value, or reads a function at each exposition."""
    gauge = Gauge("x ")
    gauge.set(5)
    gauge.inc(2)
    gauge.dec()
    stored = gauge.read()
    gauge.set_function(lambda: 42.0)

    assert (6.0, 42.0) == (stored, gauge.read())


@pytest.mark.parametrize(("value", "index"), [(0.5, 0), (1.0, 0), (1.5, 1), (2.0, 1), (9.0, 2)])
def test_a_bucket_includes_its_upper_bound(value: float, index: int) -> None:
    """An observation falls into the first bucket whose bound is not below it."""
    histogram = Histogram("", (1.0, 2.0), lambda: 0, refused)
    histogram.observe(value)

    assert index == histogram.counts.index(1)
    assert value == histogram.total


def test_a_histogram_refuses_nan() -> None:
    """NaN would poison the sum for ever, so it is refused."""
    calls: list[int] = []
    histogram = Histogram("", (1.0,), lambda: 0, lambda: calls.append(1))
    histogram.observe(math.nan)

    assert ([0, 0], 0.0, [1]) == (histogram.counts, histogram.total, calls)


def test_the_last_exemplar_of_a_bucket_is_kept() -> None:
    """Each bucket remembers the last observation that named a span, and when it was."""
    histogram = Histogram("", (1.0,), lambda: 7, refused)
    histogram.observe(0.5, (1, 2))
    histogram.observe(0.6, (3, 4))
    histogram.observe(0.7)

    assert histogram.exemplars == [(0.6, 3, 4, 7), None]


@pytest.mark.parametrize("kind", [Counter, LockedCounter])
def test_no_update_is_lost_between_threads(kind: type[Counter]) -> None:
    """Eight threads adding at once lose nothing."""
    counter = kind("x ", refused)

    def add() -> None:
        for _ in range(20_000):
            counter.inc()

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counter.read() == 160_000.0


def test_the_locked_kinds_count_alike() -> None:
    """What a build without the GIL uses gives the same figures."""
    gauge = LockedGauge("x ")
    gauge.inc(3)
    gauge.dec()
    histogram = LockedHistogram("", (1.0,), lambda: 0, refused)
    histogram.observe(0.5)

    assert (2.0, [1, 0]) == (gauge.read(), histogram.counts)


def test_label_values_are_escaped_and_empty_ones_absent() -> None:
    """Backslash, quote and newline are escaped; the empty text means that there is no label."""
    block = label_block(("a", "b", "c"), ('x"y', "", "1\\2\n3\ud800"))

    assert block == 'a="x\\"y",c="1\\\\2\\n3?"'


def test_refused_values_are_counted_as_hook_errors() -> None:
    """A refused value is visible under the hook ``metrics.value``."""
    before = hook_errors().get("metrics.value", 0)
    MetricSet(clock=FixedClock()).counter("llm.cost").child(("a", "b", "c", "d")).inc(-1)

    assert before + 1 == hook_errors()["metrics.value"]
