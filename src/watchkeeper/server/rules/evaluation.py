"""Evaluates one group: asks, decides, writes, and commits before anything counts as done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from anyio import to_thread

from watchkeeper.clock import Clock
from watchkeeper.errors import IngestError, QueryError, WatchkeeperError
from watchkeeper.server.rules.client import QueryClient
from watchkeeper.server.rules.model import (
    Alert,
    AlertEvent,
    AlertState,
    Group,
    LoadedRule,
    ResultSample,
    RuleStatus,
)
from watchkeeper.server.rules.persist import Cursor, StateStore, save_group
from watchkeeper.server.rules.state import Step, step_alert, step_record
from watchkeeper.server.rules.template import TemplateData, expand
from watchkeeper.server.rules.template_functions import QuerySample
from watchkeeper.server.series import Labels
from watchkeeper.server.store.rows import Batch, Sample
from watchkeeper.vocabulary.limits import limit

__all__ = ["Counts", "EventSink", "GroupRun", "Parts", "RuleStore", "rule_keys"]

_PENDING_SAVED_MS = 15_000
"""How often rows of pending alerts are written although nothing changed: it is how exactly the
time of an outage is known."""

_log = structlog.get_logger("watchkeeper.server.rules")


class RuleStore(StateStore, Protocol):
    """Where samples and state go."""

    def ingest(self, batch: Batch, /) -> Future[None]:
        """Keep *batch*; the future is resolved once it is committed."""
        ...


class EventSink(Protocol):
    """Who is told about alerts that fire or are resolved."""

    def record(self, cursor: Cursor, events: Sequence[AlertEvent], now_ms: int, /) -> None:
        """Write what has to be told, in the transaction that also keeps the alerts' state."""
        ...

    def wake(self) -> None:
        """Look for what was recorded; called after the commit, from the event loop."""
        ...


class Counts(Protocol):
    """Where evaluations are counted."""

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter of the vocabulary."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What an evaluation works with."""

    store: RuleStore
    client: QueryClient
    sink: EventSink
    counts: Counts
    clock: Clock
    external_url: str = ""
    remote: bool = False
    """Whether `client` asks another server, which does not see what rules write to `store`."""
    external_labels: Mapping[str, str] = field(default_factory=dict)


def rule_keys(rules: Sequence[LoadedRule]) -> tuple[str, ...]:
    """Return a key for each rule that stays the same while the group's names do.

    It is the rule's name, with ``#2`` and so on where a name is given again.
    """
    seen: dict[str, int] = {}
    keys = []
    for rule in rules:
        seen[rule.name] = seen.get(rule.name, 0) + 1
        keys.append(rule.name if seen[rule.name] == 1 else f"{rule.name}#{seen[rule.name]}")
    return tuple(keys)


class GroupRun:
    """One group and what is known about its rules.

    Attributes:
        group: The group.
        statuses: One status for each rule.
        evaluated_s: How long the last evaluation took, seconds.
    """

    def __init__(self, group: Group, parts: Parts) -> None:
        self.group = group
        self.statuses = tuple(RuleStatus() for _ in group.rules)
        self.evaluated_s = 0.0
        self._parts = parts
        self._keys = rule_keys(group.rules)
        self._saved_ms = 0
        self._busy = asyncio.Lock()

    def adopt(self, key: str, alerts: Mapping[Labels, Alert], series: frozenset[Labels]) -> bool:
        """Take over the alerts of the rule called *key*; return whether there is such a rule."""
        for own, rule, status in zip(self._keys, self.group.rules, self.statuses, strict=True):
            if own == key and rule.alerting:
                status.alerts, status.series = dict(alerts), series
                return True
        return False

    def inherit(self, old: GroupRun) -> None:
        """Take over what *old*, the same group as it was loaded before, knows about its rules."""
        before = dict(zip(old._keys, zip(old.group.rules, old.statuses, strict=True), strict=True))
        for key, rule, status in zip(self._keys, self.group.rules, self.statuses, strict=True):
            was, known = before.get(key, (rule, status))
            if was.alerting == rule.alerting:
                status.alerts, status.series = known.alerts, known.series

    def series(self) -> frozenset[Labels]:
        """Return the series that the rules of the group keep alive."""
        return frozenset[Labels]().union(*(status.series for status in self.statuses))

    def alerts(self) -> dict[str, Mapping[Labels, Alert]]:
        """Return the alerts of every alerting rule, by its key."""
        return {
            key: status.alerts
            for key, rule, status in zip(self._keys, self.group.rules, self.statuses, strict=True)
            if rule.alerting
        }

    async def evaluate(self, now_ms: int) -> None:
        """Evaluate every rule once, as at *now_ms* (Unix milliseconds).

        A rule whose query fails keeps its alerts as they are. New state counts only once it is
        committed, together with the notifications it leads to; if the commit fails, the next
        evaluation comes to the same events again.

        Raises:
            StoreError: The state could not be committed.
        """
        async with self._busy:
            await self._evaluate(now_ms)

    async def idle(self) -> None:
        """Wait until no evaluation is under way."""
        async with self._busy:
            pass

    async def _evaluate(self, now_ms: int) -> None:
        began_ns = self._parts.clock.monotonic_ns()
        steps: dict[int, Step] = {}
        writes: list[tuple[int, Future[None]]] = []
        for position, rule in enumerate(self.group.rules):
            step = await self._step(position, rule, now_ms)
            if step is None:
                continue
            steps[position] = step
            if step.samples:
                written = self._write(position, step.samples)
                if written is not None:
                    writes.append((position, written))
                    if self._read_later(position, rule):
                        await self._settled([writes.pop()])
        await self._settled(writes)
        await self._commit(steps, now_ms)
        self.evaluated_s = (self._parts.clock.monotonic_ns() - began_ns) / 1e9

    async def _step(self, position: int, rule: LoadedRule, now_ms: int) -> Step | None:
        status = self.statuses[position]
        began_ns = self._parts.clock.monotonic_ns()
        outcome = "success"
        step: Step | None = None
        try:
            results = await self._parts.client.instant(
                rule.expr, now_ms - self.group.query_offset_ms
            )
            step = await self._decide(rule, status, results, now_ms)
            status.health, status.last_error = "ok", ""
        except QueryError as error:
            outcome = "error"
            if status.last_error != str(error):
                _log.warning("rule failed", group=self.group.name, rule=rule.name, error=str(error))
            status.health, status.last_error = "err", str(error)
        status.last_evaluation_ms = now_ms
        status.duration_s = (self._parts.clock.monotonic_ns() - began_ns) / 1e9
        self._parts.counts.count("watchkeeper.server.rule.evaluations", self.group.name, outcome)
        return step

    async def _decide(
        self, rule: LoadedRule, status: RuleStatus, results: list[ResultSample], now_ms: int
    ) -> Step:
        most, offset_ms = self.group.limit, self.group.query_offset_ms
        if not rule.alerting:
            return step_record(rule, status.series, results, now_ms - offset_ms, series_max=most)
        parts, loop = self._parts, asyncio.get_running_loop()

        def query(expr: str) -> list[QuerySample]:
            asked = asyncio.run_coroutine_threadsafe(parts.client.instant(expr, now_ms), loop)
            found = asked.result(timeout=float(limit("query_timeout_s_max")) + 10.0)
            return [QuerySample(dict(sample.labels), sample.value) for sample in found]

        def expanded(text: str, labels: Mapping[str, str], value: float) -> str:
            data = TemplateData(labels, value, parts.external_labels, parts.external_url, query)
            return expand(text, data)

        return await to_thread.run_sync(
            lambda: step_alert(
                rule,
                status.alerts,
                results,
                now_ms,
                expanded,
                alerts_max=most,
                offset_ms=offset_ms,
            )
        )

    def _write(self, position: int, samples: tuple[Sample, ...]) -> Future[None] | None:
        try:
            return self._parts.store.ingest(Batch(samples=list(samples)))
        except IngestError as error:
            self._not_written(position, error)
            return None

    async def _settled(self, writes: Iterable[tuple[int, Future[None]]]) -> None:
        for position, written in writes:
            try:
                await asyncio.wrap_future(written)
            except WatchkeeperError as error:
                self._not_written(position, error)

    def _not_written(self, position: int, error: WatchkeeperError) -> None:
        self.statuses[position].health = "err"
        self.statuses[position].last_error = f"the result could not be stored: {error}"

    def _read_later(self, position: int, rule: LoadedRule) -> bool:
        """Return whether a later rule of the group reads what *rule* writes."""
        name = "ALERTS" if rule.alerting else rule.name
        return any(name in later.expr for later in self.group.rules[position + 1 :])

    async def _commit(self, steps: Mapping[int, Step], now_ms: int) -> None:
        events = [event for step in steps.values() for event in step.events]
        changed = any(
            _outline(step.alerts) != _outline(self.statuses[position].alerts)
            for position, step in steps.items()
        )
        pending = any(
            alert.state is AlertState.PENDING
            for step in steps.values()
            for alert in step.alerts.values()
        )
        if events or changed or (pending and now_ms - self._saved_ms >= _PENDING_SAVED_MS):
            kept = self.alerts() | {
                self._keys[position]: step.alerts
                for position, step in steps.items()
                if self.group.rules[position].alerting
            }
            await to_thread.run_sync(self._save, kept, events, now_ms)
            self._saved_ms = now_ms
        for position, step in steps.items():
            self.statuses[position].alerts = step.alerts
            self.statuses[position].series = step.series
        if events:
            self._parts.sink.wake()

    def _save(
        self,
        kept: Mapping[str, Mapping[Labels, Alert]],
        events: Sequence[AlertEvent],
        now_ms: int,
    ) -> None:
        with self._parts.store.state_write() as cursor:
            save_group(cursor, self.group.key, kept, now_ms)
            if events:
                self._parts.sink.record(cursor, events, now_ms)


def _outline(alerts: Mapping[Labels, Alert]) -> dict[Labels, tuple[AlertState, int]]:
    """Return what must be on disk at once; values and annotations may lag behind."""
    return {labels: (alert.state, alert.active_at_ms) for labels, alert in alerts.items()}
