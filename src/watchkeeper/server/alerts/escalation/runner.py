"""The rim of escalation: takes notifications in, watches the timers, and delivers pages."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from watchkeeper.clock import Clock
from watchkeeper.errors import NotifyError, WatchkeeperError
from watchkeeper.server.alerts.escalation import rows
from watchkeeper.server.alerts.escalation.incident import ByPerson, Entry, Incident
from watchkeeper.server.alerts.escalation.ledger import RULES, Ledger
from watchkeeper.server.alerts.escalation.outlets import BRIDGE, Upstream, speak
from watchkeeper.server.alerts.escalation.rows import OutgoingPage, Verdict
from watchkeeper.server.alerts.notification import Links, Notification
from watchkeeper.server.alerts.threads import in_thread
from watchkeeper.vocabulary.limits import limit

__all__ = ["EscalationRunner"]

_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 2.0, 300.0
_IDLE_S = 60.0
_FORGET_MS = 3_600_000
_ANSWER_CHARS_MAX = 500
_PAGES_READ = 5_000
_AT_ONCE = 100

_log = structlog.get_logger("watchkeeper.server.alerts")


class EscalationRunner:
    """Runs escalation on the event loop.

    Whatever is to be told is a committed row before anybody is told. A page is attempted until
    it is delivered, up to ``notification_attempts_max`` times, with growing waits; after a crash
    it is sent again under its key. One outlet that hangs delays neither the others nor the timers.

    Args:
        ledger: The stored incidents.
        clock: Where time comes from.
        links: Makes the links of a page; called in a thread.
        upstream: The Alertmanager that sends us its groups, if it is to be told.
        jitter: Spreads retries.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        links: Callable[[OutgoingPage, int], Links] | None = None,
        upstream: Upstream | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        self.ledger = ledger
        self._clock = clock
        self._links = links or (lambda _page, _now_ms: Links())
        self._upstream = upstream
        self._jitter = jitter or random.SystemRandom()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._busy: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._paused_ms: dict[tuple[str, str], int] = {}
        self._forgotten_ms = 0
        self._last_ms = 0
        self._said: dict[str, int] = {}
        """What each firing group of ours said last."""

    # What happens

    async def on_notification(
        self, note: Notification, *, source: str = RULES, complete: bool = True
    ) -> Incident | None:
        """Take in a group's notification; see `Ledger.report`.

        Call it for each flush of a group, firing or resolved, before or after the group's own
        receivers are told.

        Raises:
            StoreError: It could not be committed; call again.
        """
        incident = await in_thread(
            lambda: self.ledger.report(note, source, self._now_ms(), complete=complete)
        )
        self._woken.set()
        return incident

    async def on_flushes(self, notes: Sequence[Notification]) -> None:
        """Take in what groups of our own rules say; those that say what they said last are skipped.

        Raises:
            StoreError: It could not be committed; call again.
        """
        fresh = {note.group_key: (_gist(note), note) for note in notes}
        fresh = {key: one for key, one in fresh.items() if self._said.get(key) != one[0]}
        listed = list(fresh.items())
        for start in range(0, len(listed), _AT_ONCE):
            part = listed[start : start + _AT_ONCE]
            said = [note for _, (_, note) in part]
            found = await in_thread(partial(self.ledger.report_all, said, self._now_ms()))
            for (key, (gist, note)), incident in zip(part, found, strict=True):
                # What was refused is asked again: there may be room by then.
                if note.status == "firing" and incident is not None:
                    self._said[key] = gist
                else:
                    self._said.pop(key, None)
        if listed:
            self._woken.set()

    async def act(self, incident: str, event: ByPerson) -> Incident:
        """Do what a person asks; see `Ledger.act`.

        Raises:
            IncidentError: It cannot be done.
            StoreError: It could not be committed.
        """
        found = await in_thread(lambda: self.ledger.act(incident, event, self._now_ms()))
        self._woken.set()
        return found

    async def alerts_ended(self, incident: str) -> None:
        """Resolve an incident whose alerts are known to have ended.

        Raises:
            StoreError: It could not be committed.
        """
        await in_thread(lambda: self.ledger.alerts_ended(incident, self._now_ms()))
        self._woken.set()

    # Life

    def start(self) -> None:
        """Begin to watch timers and to deliver; call from the running event loop."""
        self._woken.set()
        self._task = asyncio.create_task(self._loop(), name="escalation")

    async def stop(self) -> None:
        """End; what is pending is delivered after the next start."""
        tasks = [*self._busy.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._busy.clear()

    async def settle(self) -> None:
        """Do everything that is due now, and wait until it is done.

        Raises:
            StoreError: The rows cannot be read or written.
        """
        while True:
            await in_thread(self._fire_timers)
            await self._start_deliveries()
            if not self._busy:
                return
            await asyncio.gather(*self._busy.values())

    async def _loop(self) -> None:
        while True:
            wait_s = _IDLE_S
            self._woken.clear()
            try:
                await in_thread(self._fire_timers)
                await self._start_deliveries()
                await in_thread(self._keep_up)
                wait_s = await in_thread(self._wait_s)
            except WatchkeeperError as error:
                _log.error("incidents cannot be read or written", error=str(error))
                wait_s = 1.0
            except Exception:  # noqa: BLE001 - logged; a defect of ours must not end escalation
                _log.exception("escalation failed")
                wait_s = 1.0
            # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait_s, 0.05), _IDLE_S)):
                    await self._woken.wait()

    def _fire_timers(self) -> None:
        now_ms = self._now_ms()
        back_ms = self._last_ms - now_ms
        if back_ms > 0:
            _log.warning("the clock was set back", seconds=back_ms / 1000)
            self.ledger.moved(back_ms)
        self._last_ms = now_ms
        self.ledger.fire_timers(now_ms)

    def _wait_s(self) -> float:
        with self.ledger.store.state_read() as cursor:
            due_ms = rows.next_due_ms(cursor)
        if due_ms is None:
            return _IDLE_S
        # Pages of an outlet at work are due all the time; its end wakes the loop.
        floor_s = 1.0 if self._busy or self._paused_ms else 0.0
        return max(floor_s, (due_ms - self._now_ms()) / 1000)

    def _keep_up(self) -> None:
        self.ledger.measure()
        now_ms = self._now_ms()
        if now_ms - self._forgotten_ms >= _FORGET_MS:
            self.ledger.forget(now_ms)
            self._forgotten_ms = now_ms

    # Delivery

    async def _start_deliveries(self) -> None:
        now_ms = self._now_ms()
        self._paused_ms = {way: end for way, end in self._paused_ms.items() if end > now_ms}
        ready: dict[tuple[str, str], list[OutgoingPage]] = {}
        waiting: set[tuple[str, str, str]] = set()
        for page in await in_thread(self._outstanding):
            way = (page.receiver, page.outlet)
            one = (*way, page.incident_id)
            # An older message about the same incident goes first: "resolved" never overtakes.
            if one not in waiting and page.next_attempt_ms <= now_ms:
                ready.setdefault(way, []).append(page)
            else:
                waiting.add(one)
        for way, pages in ready.items():
            if way not in self._busy and way not in self._paused_ms:
                task = asyncio.create_task(self._deliver(way, pages), name=f"pages {way}")
                self._busy[way] = task
                task.add_done_callback(lambda _task, way=way: self._done(way))  # type: ignore[misc] # a default binds the loop's value

    def _done(self, way: tuple[str, str]) -> None:
        self._busy.pop(way, None)
        self._woken.set()

    async def _deliver(self, way: tuple[str, str], pages: list[OutgoingPage]) -> None:
        stuck: set[str] = set()
        try:
            for page in pages:
                if page.incident_id in stuck or way in self._paused_ms:
                    continue
                if not await self._attempt(page):
                    stuck.add(page.incident_id)
        except WatchkeeperError as error:
            _log.error("pages cannot be recorded", error=str(error))

    async def _attempt(self, page: OutgoingPage) -> bool:
        """Try once to deliver a page; return whether nothing of it is left to do."""
        begun = await in_thread(lambda: self._begin(page))
        if begun is None:
            return True
        incident, thread = begun
        try:
            links = await in_thread(lambda: self._links(page, self._now_ms()))
            async with asyncio.timeout(limit("notification_attempt_s_max")):
                delivery = await speak(
                    page,
                    incident,
                    thread,
                    outlets=self.ledger.outlets,
                    upstream=self._upstream,
                    links=lambda _page: links,
                    now_ms=self._now_ms(),
                )
        except NotifyError as error:
            verdict = self._failed(page, error)
        except TimeoutError:
            seconds = limit("notification_attempt_s_max")
            late = NotifyError(f"no answer within {seconds} s", retryable=True)
            verdict = self._failed(page, late)
        except Exception as error:  # noqa: BLE001 - a defect of a sender; the page must not be lost
            _log.exception("sender failed", receiver=page.receiver)
            verdict = self._failed(page, NotifyError(type(error).__name__, retryable=True))
        else:
            answer = delivery.answer[:_ANSWER_CHARS_MAX]
            verdict = Verdict("delivered", answer, self._now_ms(), 0, delivery.thread)
        await in_thread(lambda: self._settle(page, verdict))
        return verdict.outcome != "pending"

    def _failed(self, page: OutgoingPage, error: NotifyError) -> Verdict:
        answer = str(error)[:_ANSWER_CHARS_MAX]
        attempts = page.attempts + 1
        if not error.retryable or attempts >= limit("notification_attempts_max"):
            _log.error("page failed", receiver=page.receiver, answer=answer, attempts=attempts)
            return Verdict("failed", answer)
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** (attempts - 1))
        wait_s *= 0.5 + self._jitter.random()
        if error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
            # Who asks for a pause gets one, for all its messages.
            until_ms = self._now_ms() + round(error.retry_after_s * 1000)
            self._paused_ms[page.receiver, page.outlet] = until_ms
        _log.warning("page not delivered", receiver=page.receiver, answer=answer, retry_s=wait_s)
        return Verdict("pending", answer, None, self._now_ms() + round(wait_s * 1000))

    def _outstanding(self) -> list[OutgoingPage]:
        with self.ledger.store.state_read() as cursor:
            return rows.outstanding_pages(cursor, _PAGES_READ)

    def _begin(self, page: OutgoingPage) -> tuple[Incident, dict[str, str]] | None:
        """Count the attempt; return what is to be said, or None if it is not to be said any more."""
        with self.ledger.store.state_write() as cursor:
            incident = rows.find(cursor, page.incident_id)
            if incident is None or not rows.begin_attempts(cursor, [page.key]):
                return None
            way = (page.incident_id, page.receiver, page.outlet)
            # The group's own receiver is told by its route, the sender of the group knows it: both
            # are told of an acknowledgement without having been paged.
            known = page.kind == "page" or (page.receiver, page.outlet) == BRIDGE
            known = known or (page.kind == "acknowledged" and page.receiver == incident.receiver)
            if not known and not rows.was_attempted(cursor, *way):
                rows.settle(cursor, page.key, Verdict("skipped", "it was never paged"))
                return None
            return incident, rows.thread_of(cursor, *way)

    def _settle(self, page: OutgoingPage, verdict: Verdict) -> None:
        with self.ledger.store.state_write() as cursor:
            rows.settle(cursor, page.key, verdict)
            if verdict.outcome != "pending" or page.attempts == 0:
                rows.record(cursor, page.incident_id, [_entry(page, verdict)], self._now_ms())
        if verdict.outcome != "pending":
            outcome = "success" if verdict.outcome == "delivered" else "error"
            name = page.receiver or page.outlet
            self.ledger.meters.count("watchkeeper.server.notifications", name, outcome)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _gist(note: Notification) -> int:
    return hash(
        frozenset((alert.fingerprint, alert.starts_ms, alert.firing) for alert in note.alerts)
    )


def _entry(page: OutgoingPage, verdict: Verdict) -> Entry:
    what = {
        "page": "paged",
        "resolved": "told the resolution",
        "acknowledged": "told the acknowledgement",
        "unacknowledged": "told that it is open again",
    }[page.kind]
    whom = f"{page.receiver} ({page.outlet})" if page.receiver else page.outlet
    if page.kind == "page" and page.person:
        whom = f"{page.person} over {whom}"
    how = {
        "delivered": "delivered",
        "failed": "failed, given up",
        "pending": "not delivered yet, it is tried again",
    }[verdict.outcome]
    data = {
        "key": page.key,
        "kind": page.kind,
        "receiver": page.receiver,
        "outlet": page.outlet,
        "outcome": verdict.outcome,
        "answer": verdict.answer,
        "attempts": page.attempts + 1,
    }
    return Entry("notification", f"{what} {whom}: {how}", data=data)
