"""Which traces are exported, decided when their local root has ended.

Only traces that the head decision left out come here, and what is kept here comes on top of the
ratio: failed, slow, new, or pointed to by an exemplar. The spans of a trace wait in memory until
every local root of it has ended: a span that began the work of this process, called from outside or
by nobody. One decision counts for all of them, and for children that end later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opentelemetry.trace import StatusCode

from watchkeeper.instrument.recorder.rules import Rules
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.vocabulary.limits import LIMITS, limit

__all__ = ["TailLimits", "TailSampler"]

_ID = 0xFFFF_FFFF_FFFF_FFFF
_WARM_UP = 100
"""Ends of a route that are watched before one is called slow: the slowest of them is near the 99th
percentile."""
_STEP_UP = 0.05
_STEP_DOWN = _STEP_UP / 99
"""Steps of the running estimate. Up 99 times as far as down, so it rests where one in 100 is above."""
_NOTHING: tuple[RecordedSpan, ...] = ()
_HELD_FULL = LIMITS["sample_held_spans_max"].reason
_TRACE_SIZE = LIMITS["sample_trace_spans_max"].reason
_UNFINISHED = LIMITS["sample_held_s_max"].reason
_QUOTA = LIMITS["sample_kept_per_s_max"].reason


@dataclass(frozen=True, slots=True)
class TailLimits:
    """Bounds of a `TailSampler`; see `watchkeeper.vocabulary.limits`."""

    sample_held_spans_max: int = limit("sample_held_spans_max")
    sample_held_traces_max: int = limit("sample_held_traces_max")
    sample_held_s_max: int = limit("sample_held_s_max")
    sample_trace_spans_max: int = limit("sample_trace_spans_max")
    sample_kept_per_s_max: int = limit("sample_kept_per_s_max")
    sample_decisions_max: int = limit("sample_decisions_max")
    sample_seen_max: int = limit("sample_seen_max")


class _Trace:
    """A trace whose decision is open."""

    __slots__ = ("cut", "failed", "linked", "new", "roots", "slow", "spans", "started_ns", "wanted")

    def __init__(self, started_ns: int) -> None:
        self.started_ns = started_ns
        self.spans: list[RecordedSpan] = []
        self.roots = 1
        """Local roots that have not ended."""
        self.cut = 0
        """Spans past the limit of one trace."""
        self.failed = False
        self.slow = False
        self.new = False
        self.wanted = False
        """A rule for the route, known only now, wants it."""
        self.linked = False
        """An exemplar points here, and its place in the quota is taken."""


class TailSampler:
    """Keeps failed, slow, new and exemplar-linked traces within a quota.

    Safe to use from any thread; a span that ends inside of it (in a signal handler or finaliser)
    does no harm.

    Args:
        monotonic_ns: Nanoseconds that never go backwards, for the quota.
        limits: Bounds.
        rules: Ratios by route: one that the head could not see is applied here.
        slow_s: Seconds from which every local root is slow; None leaves it to what is usual.
        seen_s: Seconds after which a route, model or error that did not occur is new again.
    """

    def __init__(
        self,
        *,
        monotonic_ns: Callable[[], int],
        limits: TailLimits | None = None,
        rules: Rules | None = None,
        slow_s: float | None = None,
        seen_s: float = 86_400.0,
    ) -> None:
        self._limits = limits or TailLimits()
        self._now = monotonic_ns
        self._rules = rules
        self._slow_s = slow_s
        self._seen_ns = round(seen_s * 1e9)
        self._rate = self._limits.sample_kept_per_s_max
        self._burst = 10.0 * self._rate
        self._begin()

    def _begin(self) -> None:
        # Reentrant: a span may end in a signal handler or finaliser that interrupts us.
        self._lock = threading.RLock()
        self._held: dict[int, _Trace] = {}
        self._spans = 0
        self._decided: dict[int, None] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._usual: dict[str, tuple[int, float]] = {}
        self._tokens = self._burst
        self._filled_ns = self._now()
        self.kept: dict[str, int] = {}
        """Traces kept, by reason: ``error``, ``first_seen``, ``slow``, ``exemplar``, ``rule``."""
        self.dropped: dict[str, int] = {}
        """Spans dropped, by reason."""
        self.names_refused = 0
        """Names that were not remembered as seen."""

    # what the recorder calls

    def started(self, span: RecordedSpan) -> Iterable[RecordedSpan]:
        """Hold a trace from here on; returns spans to export of traces that had to make room."""
        with self._lock:
            trace_id = span.trace_id
            held = self._held
            trace = held.get(trace_id)
            if trace is not None:
                trace.roots += 1
                return _NOTHING
            if trace_id in self._decided:
                return _NOTHING
            oldest = next(iter(held.values()), None)
            held[trace_id] = _Trace(span.start_ns)
            if oldest is None:
                return _NOTHING
            if span.start_ns - oldest.started_ns > self._limits.sample_held_s_max * 1_000_000_000:
                return self._give_up(_UNFINISHED)
            if len(held) > self._limits.sample_held_traces_max:
                return self._give_up(_HELD_FULL)
            return _NOTHING

    def ended(self, span: RecordedSpan) -> Iterable[RecordedSpan]:
        """Hold an ended span, or decide if it was the last local root of its trace."""
        with self._lock:
            trace = self._held.get(span.trace_id)
            if trace is None:
                if span.trace_id in self._decided:
                    return (span,)
                self._drop("tail", 1)
                return _NOTHING
            is_root = not span.parent_id or span.parent_remote
            if is_root or len(trace.spans) < self._limits.sample_trace_spans_max:
                trace.spans.append(span)
                self._spans += 1
            else:
                trace.cut += 1
                trace.failed = trace.failed or span.status_code is StatusCode.ERROR
            if is_root:
                self._judge(trace, span)
                trace.roots -= 1
                if trace.roots <= 0:
                    return self._decide(span.trace_id, trace, "tail")
            if self._spans > self._limits.sample_held_spans_max:
                return self._give_up(_HELD_FULL)
            return _NOTHING

    def link(self, trace_id: int) -> bool:
        """Return whether the trace will be kept, so that an exemplar may point to it.

        Half of the quota is left to failures, which cannot be told beforehand.
        """
        with self._lock:
            trace = self._held.get(trace_id)
            if trace is None:
                return trace_id in self._decided
            if not trace.linked:
                trace.linked = self._take(self._burst / 2)
            return trace.linked

    def drain(self) -> Iterable[RecordedSpan]:
        """Decide about every open trace by what is known; the process is about to end."""
        with self._lock:
            kept: list[RecordedSpan] = []
            while self._held:
                kept += self._give_up(_UNFINISHED)
            return kept

    def after_fork(self) -> None:
        """Begin anew; runs in a forked child."""
        self._begin()

    # deciding

    def _judge(self, trace: _Trace, root: RecordedSpan) -> None:
        """Look at a local root that has ended."""
        attributes = root.attributes
        seconds = (root.end_ns - root.start_ns) / 1e9
        if self._is_slow(root.name, seconds):
            trace.slow = True
        if self._is_new("route", root.name, root.end_ns):
            trace.new = True
        status = attributes.get("http.response.status_code")
        if isinstance(status, int) and status >= 500:
            trace.failed = True
        if self._rules is not None and not root.parent_id and "http.route" in attributes:
            found = self._rules.bound(root.name, root.kind, attributes, attributes["http.route"])
            if found is not None and root.trace_id & _ID < found:
                trace.wanted = True

    def _decide(self, trace_id: int, trace: _Trace, reason: str) -> Iterable[RecordedSpan]:
        """Keep a trace, or drop it for *reason*."""
        self._held.pop(trace_id, None)
        spans = trace.spans
        self._spans -= len(spans)
        kept = self._why(trace)
        if kept is not None and not (trace.linked or kept == "rule" or self._take(0.0)):
            kept, reason = None, _QUOTA
        if kept is None:
            self._drop(reason, len(spans) + trace.cut)
            return _NOTHING
        self.kept[kept] = self.kept.get(kept, 0) + 1
        if trace.cut:
            self._drop(_TRACE_SIZE, trace.cut)
        decided = self._decided
        decided[trace_id] = None
        if len(decided) > self._limits.sample_decisions_max:
            del decided[next(iter(decided))]
        return spans

    def _why(self, trace: _Trace) -> str | None:
        failed, new = trace.failed, trace.new
        for span in trace.spans:
            attributes = span.attributes
            error = attributes.get("error.type")
            if error is not None or span.status_code is StatusCode.ERROR:
                failed = True
                if error is not None and self._is_new("error", str(error), span.end_ns):
                    new = True
            if "gen_ai.request.model" in attributes:
                model = str(attributes["gen_ai.request.model"])
                if self._is_new("model", model, span.end_ns):
                    new = True
        if failed:
            return "error"
        if new:
            return "first_seen"
        if trace.slow:
            return "slow"
        if trace.linked:
            return "exemplar"
        return "rule" if trace.wanted else None

    def _give_up(self, reason: str) -> Iterable[RecordedSpan]:
        """Decide about the oldest open trace by what is known of it so far."""
        trace_id, trace = next(iter(self._held.items()))
        return self._decide(trace_id, trace, reason)

    def _is_slow(self, name: str, seconds: float) -> bool:
        fixed = self._slow_s is not None and seconds >= self._slow_s
        known = self._usual.get(name)
        if known is None:
            if len(self._usual) >= self._limits.sample_seen_max:
                # What is usual is learnt anew: which routes are gone cannot be told.
                self._usual.clear()
            self._usual[name] = (1, seconds)
            return fixed
        count, usual = known
        if count < _WARM_UP:
            self._usual[name] = (count + 1, max(seconds, usual))
            return fixed
        if seconds > usual:
            # At least a tenth of what was seen, so that an estimate near 0 gets off the ground.
            self._usual[name] = (count, usual + _STEP_UP * max(usual, seconds / 10))
            return True
        self._usual[name] = (count, usual * (1 - _STEP_DOWN))
        return fixed

    def _is_new(self, what: str, name: str, now_ns: int) -> bool:
        seen = self._seen
        key = (what, name)
        last = seen.get(key)
        if last is None and len(seen) >= self._limits.sample_seen_max:
            oldest = next(iter(seen))
            if now_ns - seen[oldest] <= self._seen_ns:
                # Names without end would make every trace a new one.
                self.names_refused += 1
                return False
            del seen[oldest]
        seen[key] = now_ns
        return last is None or now_ns - last > self._seen_ns

    def _take(self, reserve: float) -> bool:
        """Take one trace's place in the quota if more than *reserve* places are left."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_ns) / 1e9 * self._rate)
        self._filled_ns = now
        if self._tokens < reserve + 1:
            return False
        self._tokens -= 1
        return True

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
