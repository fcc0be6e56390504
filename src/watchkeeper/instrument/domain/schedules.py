"""Work that is due at intervals: when it last succeeded, which runs were missed, which overlap.

`Heartbeat` is pure: it is told the time. The rest reads the host's clock and feeds it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from watchkeeper.errors import SettingError
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.current import silence

__all__ = ["Heartbeat", "Schedule", "began", "ended", "schedule"]

_HOOK = "domain.schedule"
_LOOK_S_MAX = 60.0
"""Longest pause between two looks: it is then noticed that the host is attached no more."""


class Heartbeat:
    """Counts the runs of one schedule that did not happen.

    A run is due every *every_ns* after the last success, or after *start_ns* while there was none.
    It counts as missed *grace_ns* after it was due, once.

    Args:
        every_ns: Nanoseconds between two runs.
        grace_ns: Nanoseconds that a run may be late.
        start_ns: When the schedule was declared, nanoseconds of the clock that the others are of.
    """

    __slots__ = ("_counted", "every_ns", "grace_ns", "missed", "running", "since_ns")

    def __init__(self, every_ns: int, grace_ns: int, start_ns: int) -> None:
        self.every_ns = every_ns
        self.grace_ns = grace_ns
        self.since_ns = start_ns
        self.missed = 0
        self.running = 0
        self._counted = 0

    def succeeded(self, now_ns: int) -> int:
        """Take note of a success at *now_ns*; returns how many runs were missed before it."""
        fresh = self.look(now_ns)
        if now_ns > self.since_ns:
            self.since_ns = now_ns
            self._counted = 0
        return fresh

    def look(self, now_ns: int) -> int:
        """Return how many runs were missed since the last look."""
        late = (now_ns - self.since_ns - self.grace_ns) // self.every_ns
        fresh = max(0, late - self._counted)
        self._counted += fresh
        self.missed += fresh
        return fresh

    def due_ns(self) -> int:
        """Return when the run that comes next, and was not counted as missed, is due."""
        return self.since_ns + (self._counted + 1) * self.every_ns


class Schedule:
    """A declared schedule; made by `schedule`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def succeeded(self) -> None:
        """Say that a run succeeded; runs that are recorded as jobs of this name say it themselves."""
        host = hosts.current()
        if host is not None:
            _HOLDER.book.succeeded(self._name)
            now_s = host.clock.now_ns() / 1e9
            host.metrics.gauge("job.last_success.time").child((self._name,)).set(now_s)

    def forget(self) -> None:
        """Count no more missed runs."""
        _HOLDER.book.forget(self._name)


class _Book:
    """The schedules of one configuration, and the thread that looks at them between scrapes.

    Each configuration has its own: a look that was begun for an earlier one, perhaps by another
    clock, must not touch the schedules of this one.

    Runs are late by the monotonic clock, for a host's clock that is set, as it often is soon after
    the start, would otherwise make a multitude of runs missed, or none for long.
    """

    def __init__(self, host: Host | None) -> None:
        self.host = host
        self.beats: dict[str, Heartbeat] = {}
        self._lock = threading.Lock()
        self._watch: _Watch | None = None
        if host is not None:
            host.metrics.counter("job.missed_runs").collect_from(self.collect)

    def declare(self, name: str, every_ns: int, grace_ns: int) -> None:
        if self.host is None:
            return
        with self._lock:
            present = self.beats.get(name)
            if present is not None:
                present.every_ns, present.grace_ns = every_ns, grace_ns
            else:
                now_ns = self.host.clock.monotonic_ns()
                self.beats[name] = Heartbeat(every_ns, grace_ns, now_ns)
            watch = self._watch
            if watch is None or not watch.is_alive():
                self._watch = _Watch(self.host, self.look)
                self._watch.start()
            else:
                watch.again.set()

    def forget(self, name: str) -> None:
        with self._lock:
            self.beats.pop(name, None)

    def collect(self) -> dict[tuple[str, ...], float]:
        """Return the missed runs so far: asked at each scrape."""
        self.look()
        return {(name, "late"): beat.missed for name, beat in list(self.beats.items())}

    def look(self) -> float:
        """Count what was missed; returns the seconds until the next run counts as missed."""
        host = self.host
        if host is None:
            return _LOOK_S_MAX
        now_ns = host.clock.monotonic_ns()
        soonest = _LOOK_S_MAX
        for name, beat in list(self.beats.items()):
            due_ns = beat.due_ns()
            with self._lock:
                fresh = beat.look(now_ns)
            if fresh:
                self._tell(host, name, now_ns - due_ns, fresh)
            soonest = min(soonest, (beat.due_ns() + beat.grace_ns - now_ns) / 1e9)
        return max(soonest, 0.0)

    def succeeded(self, name: str) -> None:
        beat, host = self.beats.get(name), self.host
        if beat is None or host is None:
            return
        now_ns, due_ns = host.clock.monotonic_ns(), beat.due_ns()
        with self._lock:
            fresh = beat.succeeded(now_ns)
        if fresh:
            self._tell(host, name, now_ns - due_ns, fresh)

    @staticmethod
    def _tell(host: Host, name: str, late_ns: int, missed: int) -> None:
        due_s = (host.clock.now_ns() - late_ns) / 1e9
        due = datetime.fromtimestamp(due_s, UTC).isoformat()
        host.event(
            "job.missed_run",
            "warning",
            {"job.name": name, "job.due_time": due, "job.missed": missed, "reason": "late"},
        )


class _Watch(threading.Thread):
    """Looks at the schedules when the next run would be late, for as long as its host is attached."""

    def __init__(self, host: Host, look: Callable[[], float]) -> None:
        super().__init__(name="watchkeeper-schedules", daemon=True)
        self.again = threading.Event()
        self.host = host
        self._look = look

    def run(self) -> None:
        silence()
        wait_s = 0.0
        while True:
            self.again.wait(max(wait_s, 0.01))
            self.again.clear()
            if hosts.current() is not self.host:
                return
            try:
                wait_s = self._look()
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
                wait_s = _LOOK_S_MAX


class _Holder:
    """The book of the present configuration."""

    def __init__(self) -> None:
        self.book = _Book(None)
        self._lock = threading.Lock()

    def of(self, host: Host) -> _Book:
        with self._lock:
            if self.book.host is not host:
                self.book = _Book(host)
            return self.book

    def after_fork(self) -> None:
        """Leave the counting to the parent: the child would count the same runs again."""
        host = self.book.host
        self._lock = threading.Lock()
        self.book = _Book(None)
        if host is not None:
            host.metrics.counter("job.missed_runs").collect_from(self.book.collect)


_HOLDER = _Holder()


def schedule(name: str, *, every_s: float, grace_s: float = 0.0) -> Schedule:
    """Declare that a job succeeds at least every *every_s* seconds; what is missed is counted.

    Attempts that are recorded as jobs of this name (by `job`, or by the integration of a queue or
    scheduler) report by themselves. Declare it in the process that runs the job, once: every
    process that declares it counts on its own. A forked child leaves the counting to its parent
    until it declares the schedule itself.

    Args:
        name: Name of the job; becomes a metric label.
        every_s: Seconds between two runs.
        grace_s: Seconds that a run may be late before it counts as missed.

    Returns:
        The schedule; call `Schedule.succeeded` for runs that are not recorded as jobs.

    Raises:
        SettingError: *every_s* is not above 0, or *grace_s* is below 0.
    """
    if not every_s > 0 or not grace_s >= 0:
        raise SettingError.explain(
            f"the schedule {name!r} cannot be kept",
            got=f"every_s={every_s!r}, grace_s={grace_s!r}",
            accepted="every_s above 0, grace_s 0 or more",
            next_step="give seconds, every_s=86400 for once a day",
        )
    host = hosts.current()
    if host is not None:
        _HOLDER.of(host).declare(name, round(every_s * 1e9), round(grace_s * 1e9))
        host.metrics.gauge("job.schedule.interval").child((name,)).set(every_s)
    return Schedule(name)


def began(host: Host, name: str, id: str | None) -> None:  # noqa: A002 - the word for it
    """Learn that a run of a job began; an earlier run that still goes on overlaps with it."""
    beat = _HOLDER.book.beats.get(name)
    if beat is None:
        return
    if beat.running:
        host.metrics.counter("job.overlapping_runs").child((name,)).inc()
        host.event("job.overlap", "warning", {"job.name": name, "job.id": id})
    beat.running += 1


def ended(name: str, *, succeeded: bool) -> None:
    """Learn that a run of a job ended, and whether it succeeded."""
    book = _HOLDER.book
    beat = book.beats.get(name)
    if beat is None:
        return
    beat.running = max(0, beat.running - 1)
    if succeeded:
        book.succeeded(name)


os.register_at_fork(after_in_child=_HOLDER.after_fork)
