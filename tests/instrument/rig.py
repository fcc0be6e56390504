"""A whole instrumentation in memory: the real recorder, metrics and hooks, with a clock by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.derive import Derived
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.pages import Pages
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.recorder import RandomIds, RecordedSpan, Recorder
from watchkeeper.instrument.settings import Settings, load
from watchkeeper.instrument.users import ActiveUsers

START_NS = 1_800_000_000_000_000_000


class HandClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        """Return the time."""
        return self.ns

    def monotonic_ns(self) -> int:
        """Return the time."""
        return self.ns

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.ns += round(seconds * 1e9)


class Rig:
    """Fits `watchkeeper.instrument.host.Host` and keeps everything for a look."""

    def __init__(self, *, ratio: float = 1.0, **settings: object) -> None:
        self.clock = HandClock()
        self.settings: Settings = load(settings, {})
        self.metrics = MetricSet(clock=self.clock, include_prometheus_client=False)
        self.recorder = Recorder(
            {}, clock=self.clock, ids=RandomIds(), exporter=None, sampler_ratio=ratio
        )
        self.users = ActiveUsers(
            Path(self.settings.users_dir) if self.settings.users_dir else None,
            self.settings.service,
            clock=self.clock,
            users_max=self.settings.active_users_max,
            dropped=self.metrics.counter("watchkeeper.telemetry.dropped")
            .child(("users", "active_users"))
            .inc,
        )
        self.metrics.gauge("users.active").collect_from(self.users.counts)
        self.spans: list[RecordedSpan] = []
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.monitored = 0
        self.pages: Pages = {}
        priced = partial(price, own=self.settings.llm_prices)
        self.derived = Derived(
            self.metrics,
            priced,
            genai_latest=self.settings.genai_latest,
            own_prices=self.settings.llm_prices,
        )
        self.derived.tell_calls(
            self.event, self.settings.content_chars_max if self.settings.capture_content else 0
        )
        self.recorder.add_end_hook(self.derived, "derive")
        self.recorder.add_end_hook(self.spans.append, "keep")

    def event(
        self,
        name: str,
        level: str,
        attributes: Mapping[str, object],
        texts: tuple[object, ...] | None = None,  # noqa: ARG002 - the interface
    ) -> None:
        """Keep an event, as the logs would write it."""
        known = {key: value for key, value in attributes.items() if value is not None}
        self.events.append((name, level, known))

    def logging_was_configured(self) -> None:
        """Do nothing: the logging of the tests is their runner's."""

    def start_loop_monitor(self) -> None:
        """Count the calls."""
        self.monitored += 1

    def named(self, name: str) -> RecordedSpan:
        """Return the only ended span called *name*."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]

    def value(self, series: str) -> float | None:
        """Return the value of one series, written as in the exposition, or None."""
        return self.samples().get(series)

    def samples(self, prefix: str = "") -> dict[str, float]:
        """Return every sample whose series begins with *prefix*."""
        samples: dict[str, float] = {}
        for line in self.metrics.exposition().decode().splitlines():
            if line and not line.startswith("#") and line.startswith(prefix):
                series, _, value = line.rpartition(" ")
                samples[series] = float(value)
        return samples

    def totals(self, name: str) -> dict[str, tuple[float, float]]:
        """Return count and sum of each series of a histogram, by its labels."""
        found: dict[str, list[float]] = {}
        for series, value in self.samples(name).items():
            match = re.fullmatch(re.escape(name) + r"_(count|sum)(?:\{(.*)\})?", series)
            if match:
                pair = found.setdefault(match[2] or "", [0.0, 0.0])
                pair[match[1] == "sum"] = value
        return {labels: (pair[0], round(pair[1], 9)) for labels, pair in found.items()}


@contextmanager
def attached(**settings: Any) -> Iterator[Rig]:
    """Attach a new rig for the length of a ``with`` block."""
    rig = Rig(**settings)
    hosts.attach(rig)
    try:
        yield rig
    finally:
        hosts.detach()
