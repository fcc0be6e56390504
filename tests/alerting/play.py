"""Plays a story on a clock of its own: alerts are pushed, groups are due, receivers are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.server.alerts.config.model import (
    Config,
    InhibitRule,
    Integration,
    Matcher,
    Receiver,
    Route,
)
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert, pushed
from watchkeeper.server.alerts.dispatch.decide import LogKey
from watchkeeper.server.alerts.dispatch.engine import Engine, Flush

ZERO_MS = 1_767_225_600_000
"""When stories begin: seconds of a story are added to it."""


def ms(second: float) -> int:
    """Return a story's second as Unix milliseconds."""
    return ZERO_MS + round(second * 1000)


def hook(index: int = 0, *, send_resolved: bool = True) -> Integration:
    """Return an integration of a kind that only its name knows."""
    return Integration("webhook", index, send_resolved)


def config(route: Route, *integrations: Integration, **more: Any) -> Config:
    """Return a configuration whose receivers all have *integrations*; one webhook if none."""

    def names(node: Route) -> set[str]:
        return {node.receiver}.union(*(names(child) for child in node.routes))

    receivers = {name: Receiver(name, integrations or (hook(),)) for name in names(route)}
    return Config(route, receivers, **more)


def root(wait: float, interval: float, repeat: float, *group_by: str, **more: Any) -> Route:
    """Return a route by seconds."""
    return Route(
        "default",
        group_by=group_by,
        group_wait_ms=round(wait * 1000),
        group_interval_ms=round(interval * 1000),
        repeat_interval_ms=round(repeat * 1000),
        **more,
    )


def mute(source: Mapping[str, str], target: Mapping[str, str], *equal: str) -> InhibitRule:
    """Return an inhibition rule of equality matchers."""

    def matchers(labels: Mapping[str, str]) -> tuple[Matcher, ...]:
        return tuple(Matcher(name, "=", value) for name, value in labels.items())

    return InhibitRule(matchers(source), matchers(target), equal)


@dataclass(frozen=True)
class Sent:
    """One notification: when, to which integration, and the alerts as ``name firing 1.0``."""

    at: float
    to: str
    alerts: tuple[str, ...]
    annotations: tuple[Mapping[str, str], ...] = ()


@dataclass
class Play:
    """An engine and the story so far."""

    config: Config
    within: Callable[[Any, int], bool] = lambda _interval, _now_ms: False
    start_delay: float = 0
    sent: list[Sent] = field(default_factory=list)
    now: float = 0.0
    refuses: Callable[[LogKey, float], bool] = lambda _key, _now: False

    def __post_init__(self) -> None:
        """Build the engine."""
        self.engine = Engine(self.config, within=self.within, not_before_ms=ms(self.start_delay))
        self._tidy_at = 30.0

    def until(self, second: float) -> Play:
        """Let everything happen that is due up to *second*."""
        while True:
            due_ms = self.engine.next_due_ms()
            due = float("inf") if due_ms is None else max(self.now, (due_ms - ZERO_MS) / 1000)
            at = min(due, self._tidy_at)
            if at > second:
                break
            self.now = at
            for flush in self.engine.due(ms(at)):
                self._send(flush)
            if self._tidy_at <= at:
                self.engine.tidy(ms(at))
                self._tidy_at += 30.0
        self.now = second
        return self

    def _send(self, flush: Flush) -> None:
        ok = True
        for task in flush.tasks:
            if self.refuses(task.key, self.now):
                ok = False
                continue
            if task.alerts:
                self.sent.append(
                    Sent(
                        self.now,
                        f"{task.key.receiver}/{task.key.index}",
                        tuple(shown(alert) for alert in task.alerts),
                        tuple(alert.annotations for alert in task.alerts),
                    )
                )
            self.engine.told(task, ms(self.now), {})
        self.engine.done(flush, ok=ok)

    def push(
        self,
        at: float,
        name: str = "test",
        starts: float | None = None,
        ends: float | None = None,
        *,
        annotations: Mapping[str, str] | None = None,
        **labels: str,
    ) -> Play:
        """Push an alert at second *at*."""
        return self.take(at, {"alertname": name, **labels}, starts, ends, annotations)

    def take(
        self,
        at: float,
        labels: Mapping[str, str],
        starts: float | None = None,
        ends: float | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Play:
        """Push an alert with any labels."""
        self.until(at)
        alert = pushed(
            labels,
            annotations or {},
            starts_ms=None if starts is None else ms(starts),
            ends_ms=None if ends is None else ms(ends),
            now_ms=ms(at),
            resolve_timeout_ms=self.engine.config.resolve_timeout_ms,
        )
        self.engine.push([alert], ms(at))
        return self

    def told(self, to: str = "") -> list[tuple[float, tuple[str, ...]]]:
        """Return when what was told, to one integration if it is named."""
        return [(sent.at, sent.alerts) for sent in self.sent if to in {"", sent.to}]

    def state(self, **labels: str) -> str:
        """Return the state of alerts with *labels* now."""
        return self.engine.status(labels, ms(self.now)).state


def shown(alert: ActiveAlert) -> str:
    """Return an alert as ``name 1``, or ``name 1-4.5`` once it has ended, in seconds."""
    labels: Sequence[str] = [v for k, v in alert.labels.items() if k != "alertname"]
    name = "/".join([alert.labels["alertname"], *labels])
    starts = f"{(alert.starts_ms - ZERO_MS) / 1000:g}"
    if alert.ends_ms is None:
        return f"{name} {starts}"
    return f"{name} {starts}-{(alert.ends_ms - ZERO_MS) / 1000:g}"
