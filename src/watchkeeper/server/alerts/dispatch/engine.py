"""Routing as a whole: alerts in, and out comes who is to be told what, when.

Time is an argument everywhere, and nothing here does input or output. The behaviour is
Alertmanager's, of its dispatcher and its notification pipeline; what differs is told in
``docs/decisions/019-alerts-are-rows.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from hashlib import sha256
from typing import Any

from watchkeeper.server.alerts.config.model import Config, Integration, Route
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert, AlertTable, LabelsOrder
from watchkeeper.server.alerts.dispatch.decide import LogEntry, LogKey, reason
from watchkeeper.server.alerts.dispatch.groups import Group, GroupTable
from watchkeeper.server.alerts.dispatch.inhibit import Inhibitor
from watchkeeper.server.alerts.dispatch.silences import Silence, Silences

__all__ = ["Engine", "Flush", "Status", "Task", "Tidied", "Within", "alert_order"]

Within = Callable[[Any, int], bool]
"""Tells whether a time interval of the configuration contains a moment (Unix milliseconds)."""

_TIMEOUT_MS_MIN = 10_000
_LOOK_AGAIN_MS = 1_000
_STUCK_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Task:
    """One integration that has to be told about a group."""

    key: LogKey
    integration: Integration
    group_labels: Mapping[str, str]
    alerts: tuple[ActiveAlert, ...]
    """What is told, ends that lie ahead removed; empty if there is nothing to send and only to
    be noted that the alerts are resolved."""
    firing: frozenset[str]
    resolved: frozenset[str]
    reason: str
    thread: Mapping[str, str]
    repeat_ms: int
    before_ms: int
    """When the integration was told last about the group; 0 if never."""

    @property
    def message_key(self) -> str:
        """Identifies the message: the same when the same is told again because of a failure."""
        said = (astuple(self.key), sorted(self.firing), sorted(self.resolved), self.before_ms)
        return sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(slots=True)
class Flush:
    """A group that is due."""

    group: Group
    alerts: tuple[ActiveAlert, ...]
    """The group's alerts, muted ones included, as they were."""
    now_ms: int
    deadline_ms: int
    """When attempts end; the group is then decided anew."""
    tasks: tuple[Task, ...]
    audible: tuple[ActiveAlert, ...] = ()
    """Those that are not muted; none in a quiet time of the route."""


@dataclass(frozen=True, slots=True)
class Status:
    """Whether an alert is kept quiet."""

    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]

    @property
    def state(self) -> str:
        """``active`` or ``suppressed``."""
        return "suppressed" if self.silenced_by or self.inhibited_by else "active"


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was forgotten, so that its rows can be deleted."""

    alerts: tuple[str, ...] = ()
    silences: tuple[str, ...] = ()
    log: tuple[LogKey, ...] = ()


class Engine:
    """Alerts, groups, silences and the log of what was told.

    Args:
        config: Routes, receivers, inhibition.
        within: Tells whether a time interval contains a moment.
        not_before_ms: Nobody is told before; Unix milliseconds.

    Attributes:
        config: As given, or as last reloaded.
        alerts: The alerts.
        groups: The groups.
        silences: The silences.
        log: What each integration was told last about each group.
    """

    def __init__(self, config: Config, *, within: Within, not_before_ms: int = 0) -> None:
        self.config = config
        self.alerts = AlertTable()
        self.silences = Silences()
        self.log: dict[LogKey, LogEntry] = {}
        self._within = within
        self._not_before_ms = not_before_ms
        self._sending: set[tuple[str, str]] = set()
        """Key and receiver of the groups that somebody is being told about: one that a reload made
        anew waits for its predecessor, and so does one of another route with the same key."""
        self.groups = GroupTable(config.route, not_before_ms=not_before_ms)
        self._inhibitor = Inhibitor(config.inhibit_rules)
        self._overflowed = 0

    @property
    def overflowed(self) -> int:
        """How many alerts found no room for a group of their own since the start."""
        return self._overflowed + self.groups.overflowed

    def moved(self, by_ms: int) -> None:
        """Follow a clock that was set back by *by_ms*."""
        for group in self.groups:
            group.next_ms -= by_ms

    def restore(
        self,
        alerts: Iterable[ActiveAlert],
        silences: Iterable[Silence],
        log: Mapping[LogKey, LogEntry],
        now_ms: int,
    ) -> None:
        """Take up what was stored.

        An alert of somebody who sends it again and again, and whose end passed while we were
        away, counts as resolved only ``resolve_timeout`` from now: its sender could not reach us.
        """
        self.silences.take(silences)
        self.log = dict(log)
        told = {key for entry in log.values() for key in entry.resolved - entry.firing}
        waits_ms = now_ms + self.config.resolve_timeout_ms
        for alert in alerts:
            promised = alert.ends_ms is not None and alert.ends_ms > alert.updated_ms
            if promised and alert.resolved(now_ms) and alert.fingerprint not in told:
                alert = replace(alert, ends_ms=waits_ms)  # noqa: PLW2901 - the corrected one
            self._put(alert, now_ms)

    def push(self, alerts: Iterable[ActiveAlert], now_ms: int) -> list[ActiveAlert]:
        """Take in alerts; return them merged with what was known, without those refused."""
        return [merged for alert in alerts if (merged := self._put(alert, now_ms)) is not None]

    def _put(self, alert: ActiveAlert, now_ms: int) -> ActiveAlert | None:
        merged = self.alerts.put(alert, now_ms)
        if merged is not None:
            self._inhibitor.put(merged)
            self.groups.put(merged, now_ms)
        return merged

    def reload(self, config: Config, now_ms: int) -> None:
        """Take up another configuration.

        Groups are made anew and their timers begin again. What was told is kept, so that nobody
        is told again.
        """
        self.config = config
        self._overflowed += self.groups.overflowed
        self.groups = GroupTable(config.route, not_before_ms=self._not_before_ms)
        self._inhibitor = Inhibitor(config.inhibit_rules)
        for alert in self.alerts:
            self._inhibitor.put(alert)
            self.groups.put(alert, now_ms)

    def status(self, labels: Mapping[str, str], now_ms: int) -> Status:
        """Return whether alerts with *labels* are kept quiet now."""
        source = self._inhibitor.source(labels, now_ms)
        return Status(self.silences.muting(labels, now_ms), (source,) if source else ())

    def next_due_ms(self) -> int | None:
        """Return when the next group is due, or None if none is."""
        return self.groups.next_ms()

    def due(self, now_ms: int) -> list[Flush]:
        """Return the groups that are due with what is to be done; each ends with `done`."""
        found = []
        for group in self.groups.due(now_ms):
            if _told_as(group) in self._sending:
                group.next_ms = now_ms + _LOOK_AGAIN_MS
                continue
            group.next_ms = now_ms + group.route.group_interval_ms
            group.flushed = True
            if group.alerts:
                found.append(self._flush(group, now_ms))
        return found

    def _flush(self, group: Group, now_ms: int) -> Flush:
        group.busy = True
        self._sending.add(_told_as(group))
        alerts = tuple(sorted(group.alerts.values(), key=alert_order))
        deadline_ms = now_ms + max(group.route.group_interval_ms, _TIMEOUT_MS_MIN)
        audible = [] if self._quiet_time(group.route, now_ms) else self._audible(alerts, now_ms)
        tasks = self._tasks(group, audible, now_ms) if audible else ()
        return Flush(group, alerts, now_ms, deadline_ms, tasks, tuple(audible))

    def _audible(self, alerts: Sequence[ActiveAlert], now_ms: int) -> list[ActiveAlert]:
        return [
            alert if alert.resolved(now_ms) else replace(alert, ends_ms=None)
            for alert in alerts
            if self.status(alert.labels, now_ms).state == "active"
        ]

    def _quiet_time(self, route: Route, now_ms: int) -> bool:
        def inside(names: tuple[str, ...]) -> bool:
            return any(self._within(self.config.time_intervals[name], now_ms) for name in names)

        active = route.active_time_intervals
        return inside(route.mute_time_intervals) or bool(active and not inside(active))

    def _tasks(self, group: Group, alerts: Sequence[ActiveAlert], now_ms: int) -> tuple[Task, ...]:
        firing = tuple(alert for alert in alerts if alert.ends_ms is None)
        keys = frozenset(alert.fingerprint for alert in firing)
        ended = frozenset(alert.fingerprint for alert in alerts) - keys
        route, tasks = group.route, []
        for integration in self.config.receivers[route.receiver].integrations:
            key = LogKey(group.key, route.receiver, integration.kind, integration.index)
            entry = self.log.get(key)
            why = reason(
                entry,
                keys,
                ended,
                send_resolved=integration.send_resolved,
                repeat_ms=route.repeat_interval_ms,
                now_ms=now_ms,
            )
            if why:
                told = tuple(alerts) if integration.send_resolved else firing
                thread = entry.thread if entry else {}
                tasks.append(
                    Task(
                        key, integration, group.labels, told, keys, ended, why, thread,
                        route.repeat_interval_ms, entry.at_ms if entry else 0,
                    )
                )  # fmt: skip
        return tuple(tasks)

    def told(self, task: Task, now_ms: int, thread: Mapping[str, str]) -> LogEntry:
        """Note that *task* is done; return the entry, to be stored."""
        entry = LogEntry(
            task.firing,
            task.resolved,
            now_ms,
            LogEntry.expiry_ms(now_ms, task.repeat_ms),
            dict(thread) if task.firing else {},
        )
        self.log[task.key] = entry
        return entry

    def done(self, flush: Flush, *, ok: bool) -> None:
        """End *flush*.

        Args:
            flush: The flush.
            ok: Every task is done. What was resolved then leaves the group, unless it was pushed
                again meanwhile.
        """
        group = flush.group
        group.busy = False
        self._sending.discard(_told_as(group))
        if not ok:
            group.failing_ms = group.failing_ms or flush.now_ms
            return
        group.failing_ms = 0
        for alert in flush.alerts:
            if alert.resolved(flush.now_ms) and group.alerts.get(alert.fingerprint) is alert:
                del group.alerts[alert.fingerprint]

    def current(self, flush: Flush) -> bool:
        """Tell whether the group of *flush* is still there, and not replaced by a reload."""
        return self.groups.holds(flush.group)

    def tidy(self, now_ms: int) -> Tidied:
        """Forget empty groups, alerts that ended and were told, old silences, old log entries."""
        for group in self.groups:
            if group.failing_ms and group.failing_ms + _STUCK_MS <= now_ms and not group.busy:
                # A receiver that never answers well must not keep what has long been over.
                group.alerts = {
                    key: alert
                    for key, alert in group.alerts.items()
                    if not alert.resolved(now_ms - _STUCK_MS)
                }
        self.groups.collect()
        held = {key for group in self.groups for key in group.alerts}
        gone = [a for a in self.alerts if a.fingerprint not in held and a.resolved(now_ms)]
        for alert in gone:
            self.alerts.remove(alert.fingerprint)
            self._inhibitor.remove(alert)
        alive = {group.key for group in self.groups}
        old = [
            key
            for key, entry in self.log.items()
            if entry.expires_ms <= now_ms and key.group_key not in alive
        ]
        for entry_key in old:
            del self.log[entry_key]
        return Tidied(
            tuple(alert.fingerprint for alert in gone), self.silences.collect(now_ms), tuple(old)
        )


def _told_as(group: Group) -> tuple[str, str]:
    return group.key, group.route.receiver


def alert_order(alert: ActiveAlert) -> tuple[object, ...]:
    """Return what Alertmanager sorts a group's alerts by: job, instance, then all labels."""
    labels = alert.labels
    first = tuple((name not in labels, labels.get(name, "")) for name in ("job", "instance"))
    return (*first, LabelsOrder(labels))
