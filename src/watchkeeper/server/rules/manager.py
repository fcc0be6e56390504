"""Loads rule files, evaluates their groups on time, and takes their state over a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread

from watchkeeper.errors import IngestError, RuleFileError, WatchkeeperError
from watchkeeper.server.rules.evaluation import GroupRun, Parts
from watchkeeper.server.rules.loader import load_file, load_text
from watchkeeper.server.rules.model import Alert, AlertEvent, AlertState, Group
from watchkeeper.server.rules.persist import StoredAlert, load_alerts, save_group
from watchkeeper.server.rules.remote import unreadable
from watchkeeper.server.rules.state import restored, series_of
from watchkeeper.server.rules.view import group_json
from watchkeeper.server.series import STALE_NAN, Labels
from watchkeeper.server.store.rows import Batch, Sample

__all__ = ["RuleManager", "RuleText"]

_STOP_S = 5.0
"""How long an evaluation that is under way may still take when it has to stop."""

_log = structlog.get_logger("watchkeeper.server.rules")


@dataclass(frozen=True, slots=True)
class RuleText:
    """Rules that are no file: those that ship with watchkeeper, for example."""

    name: str
    """Shown as the groups' file."""
    text: str
    """A rule file's content."""


class RuleManager:
    """Evaluates rules; also the view of them that the Prometheus API shows.

    Args:
        parts: What evaluations work with.
        interval_s: Seconds between evaluations of groups that name none.
    """

    def __init__(self, parts: Parts, *, interval_s: float = 15.0) -> None:
        self._parts = parts
        self._interval_ms = max(1, round(interval_s * 1000))
        self._runs: dict[str, GroupRun] = {}
        self._files: dict[str, tuple[Group, ...]] = {}
        self._errors: dict[str, str] = {}
        self._good_ms = 0
        self._loading = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started = False

    def load(self, sources: Iterable[Path | RuleText]) -> dict[str, str]:
        """Load every source; one that is bad keeps the rules that it had before.

        Call it before `start` or through `reload`.

        Returns:
            What is wrong, by source; empty if all is well.
        """
        files: dict[str, tuple[Group, ...]] = {}
        errors: dict[str, str] = {}
        for source in sources:
            name = source.name if isinstance(source, RuleText) else str(source)
            try:
                if isinstance(source, RuleText):
                    files[name] = load_text(source.text, name)
                else:
                    files[name] = load_file(source)
            except RuleFileError as error:
                errors[name] = str(error)
                files[name] = self._files.get(name, ())
        for name, reason in (unreadable(files) if self._parts.remote else {}).items():
            errors.setdefault(name, reason)
            files[name] = self._files.get(name, ())
        for name, reason in errors.items():
            self._parts.counts.count("watchkeeper.server.refused", "rules", "rule_file")
            _log.error("rule file refused", file=name, error=reason)
        self._files, self._errors = files, errors
        if not errors:
            self._good_ms = self._now_ms()
        return dict(errors)

    @property
    def errors(self) -> Mapping[str, str]:
        """What was wrong with sources at the last load."""
        return self._errors

    @property
    def good_ms(self) -> int:
        """When every source was last loaded without an error, Unix milliseconds; 0 for never."""
        return self._good_ms

    def groups(self) -> list[dict[str, Any]]:
        """Return every group in the shape of Prometheus' ``/api/v1/rules``."""
        return [
            group_json(
                run.group,
                run.statuses,
                interval_s=self._interval(run.group) / 1000,
                evaluated_s=run.evaluated_s,
            )
            for run in self._runs.values()
        ]

    async def start(self, *, scheduled: bool = True) -> None:
        """Take up the stored state and begin to evaluate.

        Args:
            scheduled: False leaves evaluations to calls of `evaluate`.

        Raises:
            StoreError: The stored state cannot be read or written.
        """
        stored = await to_thread.run_sync(self._stored)
        now_ms = self._now_ms()
        self._build({})
        gone = [row for row in stored if not self._take_up(row, now_ms)]
        await self._dismiss(
            {row.group for row in gone},
            [(row.rule, row.alert) for row in gone if row.alert.state is AlertState.FIRING],
            now_ms,
        )
        self._started = scheduled
        self._schedule()

    async def reload(self, sources: Iterable[Path | RuleText]) -> dict[str, str]:
        """Load *sources* anew while running; alerts of rules that stay are kept.

        Alerts of rules that are gone are resolved, and their series end.

        Returns:
            What is wrong, by source; such a source keeps its old rules.

        Raises:
            StoreError: What became of the alerts of rules that are gone could not be committed.
                The new rules are in force.
        """
        async with self._loading:
            errors = await to_thread.run_sync(self.load, list(sources))
            before = dict(self._runs)
            await self._cancel()
            self._build(before)
            try:
                await self._let_go(before)
            finally:
                self._schedule()
            _log.info("rules reloaded", groups=len(self._runs), files_refused=len(errors))
            return errors

    async def _let_go(self, before: Mapping[str, GroupRun]) -> None:
        """Resolve the alerts of rules that are gone, and end the series of theirs."""
        kept = {key: set(run.alerts()) for key, run in self._runs.items()}
        lost = [
            (key, rule, alert)
            for key, run in before.items()
            for rule, alerts in run.alerts().items()
            if rule not in kept.get(key, set())
            for alert in alerts.values()
        ]
        await self._dismiss(
            {key for key, _, _ in lost},
            [(rule, alert) for _, rule, alert in lost if alert.state is AlertState.FIRING],
            self._now_ms(),
        )
        alive = frozenset[Labels]().union(*(run.series() for run in self._runs.values()))
        gone = frozenset[Labels]().union(*(run.series() for run in before.values())) - alive
        if gone:
            ended = Batch(samples=[Sample(one, self._now_ms(), STALE_NAN) for one in sorted(gone)])
            with contextlib.suppress(IngestError):  # they end by themselves after five minutes
                self._parts.store.ingest(ended)

    async def stop(self) -> None:
        """End every evaluation, and the query client."""
        await self._cancel()
        await self._parts.client.aclose()

    async def evaluate(self, now_ms: int) -> None:
        """Evaluate every group once, as at *now_ms*; for tests and drills with a clock of theirs.

        Raises:
            StoreError: The state could not be committed.
        """
        for run in self._runs.values():
            await run.evaluate(now_ms)

    def _now_ms(self) -> int:
        return self._parts.clock.now_ns() // 1_000_000

    def _interval(self, group: Group) -> int:
        return group.interval_ms or self._interval_ms

    def _build(self, before: Mapping[str, GroupRun]) -> None:
        self._runs = {}
        for group in (group for groups in self._files.values() for group in groups):
            old = before.get(group.key)
            if old is not None and old.group == group:
                self._runs[group.key] = old
                continue
            run = GroupRun(group, self._parts)
            if old is not None:
                run.inherit(old)
            self._runs[group.key] = run

    def _stored(self) -> list[StoredAlert]:
        with self._parts.store.state_read() as cursor:
            return load_alerts(cursor)

    def _take_up(self, row: StoredAlert, now_ms: int) -> bool:
        """Give a stored alert back to its rule; return whether there is such a rule."""
        run = self._runs.get(row.group)
        if run is None:
            # A file that cannot be read right now may come back: its alerts are left alone.
            return row.group.rpartition(";")[0] in self._errors
        rules = dict(zip(run.alerts(), (r for r in run.group.rules if r.alerting), strict=True))
        rule = rules.get(row.rule)
        if rule is None:
            return False
        alert = restored(rule, row.alert, row.last_eval_ms, now_ms)
        if alert is not None:
            known: dict[Labels, Alert] = {**run.alerts()[row.rule], alert.labels: alert}
            run.adopt(row.rule, known, series_of(known.values()))
        return True

    async def _dismiss(
        self, groups: set[str], firing: Sequence[tuple[str, Alert]], now_ms: int
    ) -> None:
        """Resolve alerts whose rules are gone, and write the rows of their groups anew."""
        if not groups:
            return
        events = [
            AlertEvent(
                rule.partition("#")[0],
                False,  # noqa: FBT003 - the field says what it is
                replace(alert, state=AlertState.INACTIVE, resolved_at_ms=now_ms),
            )
            for rule, alert in firing
        ]

        def commit() -> None:
            with self._parts.store.state_write() as cursor:
                for group in groups:
                    run = self._runs.get(group)
                    save_group(cursor, group, run.alerts() if run else {}, now_ms)
                if events:
                    self._parts.sink.record(cursor, events, now_ms)

        await to_thread.run_sync(commit)
        self._parts.sink.wake()

    def _schedule(self) -> None:
        if self._started:
            self._tasks = {
                key: asyncio.create_task(self._loop(run), name=f"rules {key}")
                for key, run in self._runs.items()
            }

    async def _cancel(self) -> None:
        for key, task in self._tasks.items():
            # An evaluation that is under way may end, so that its commit is not done twice.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._runs[key].idle()
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks = {}

    async def _loop(self, run: GroupRun) -> None:
        """Evaluate *run* at its interval; intervals that pass during an evaluation are counted."""
        clock, interval_ns = self._parts.clock, self._interval(run.group) * 1_000_000
        due_ns = clock.monotonic_ns()
        while True:
            try:
                await run.evaluate(self._now_ms())
            except WatchkeeperError as error:
                _log.error("rule group not committed", group=run.group.name, error=str(error))
            except Exception:  # noqa: BLE001 - logged, and the next evaluation may be well
                # A defect of ours must not silence every later alert of the group.
                _log.exception("rule group failed", group=run.group.name)
            due_ns += interval_ns
            missed = max(0, clock.monotonic_ns() - due_ns) // interval_ns
            if missed:
                due_ns += missed * interval_ns
                self._parts.counts.count(
                    "watchkeeper.server.rule.iterations_missed", run.group.name, by=float(missed)
                )
            await asyncio.sleep(max(0, due_ns - clock.monotonic_ns()) / 1e9)
