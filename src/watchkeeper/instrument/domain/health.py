"""Health checks: run in the background, shown as metrics, told when they change their mind."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument.guard import record_failure
from watchkeeper.vocabulary.limits import limit

__all__ = ["Check", "HealthChecks", "health", "health_check"]

_CHECKS_MAX = limit("health_checks_max")
_REASON_MAX = 200
_F = TypeVar("_F", bound=Callable[[], Any])


class Check:
    """One check and what it found last."""

    def __init__(
        self, name: str, function: Callable[[], Any], interval_s: float, timeout_s: float
    ) -> None:
        self.name = name
        self.function = function
        self.interval_ns = round(interval_s * 1e9)
        self.timeout_ns = round(timeout_s * 1e9)
        self.due_ns = 0
        self.run = 0
        """Number of the latest run; what an older one finds no longer matters."""
        self.started_ns: int | None = None
        self.healthy: bool | None = None
        self.reason = ""
        self.duration_s = 0.0
        self.last_success_s: float | None = None


class HealthChecks:
    """The checks of a process; `turn` does what is due and is called by one thread.

    Args:
        clock: Says when a check is due, and how long it took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.checks: dict[str, Check] = {}

    def add(self, check: Check) -> None:
        """Take in *check*; one of the same name is replaced.

        Raises:
            SettingError: There are too many checks, or a time is not above 0.
        """
        if check.interval_ns <= 0 or check.timeout_ns <= 0:
            raise SettingError.explain(
                "a health check needs times above 0",
                got=(check.interval_ns / 1e9, check.timeout_ns / 1e9),
                accepted="interval_s and timeout_s above 0",
                next_step=f"correct the check {check.name!r}",
            )
        if check.name not in self.checks and len(self.checks) >= _CHECKS_MAX:
            raise SettingError.explain(
                "there are too many health checks",
                got=check.name,
                accepted=f"at most {_CHECKS_MAX}",
                next_step="put several questions into one check",
            )
        self.checks[check.name] = check

    def turn(self) -> float:
        """Start what is due, give up what takes too long; return the seconds to the next turn."""
        now = self._clock.monotonic_ns()
        following = now + 10**9
        for check in list(self.checks.values()):
            started = check.started_ns
            if started is not None and now - started >= check.timeout_ns:
                self._settle(check, check.run, f"no answer within {check.timeout_ns / 1e9:g} s")
            if check.started_ns is None and now >= check.due_ns:
                check.run += 1
                check.started_ns = now
                check.due_ns = now + check.interval_ns
                # A thread for each run: a check that hangs holds up nobody else.
                threading.Thread(
                    target=self._work,
                    args=(check, check.run),
                    name=f"watchkeeper-health-{check.name}",
                    daemon=True,
                ).start()
            ends = check.due_ns
            if check.started_ns is not None:
                ends = check.started_ns + check.timeout_ns
            following = min(following, ends)
        return max(0.01, (following - now) / 1e9)

    def report(self, *, reasons: bool = False) -> dict[str, Any]:
        """Return the state of every check; see `health`."""
        checks: dict[str, dict[str, Any]] = {}
        for check in list(self.checks.values()):
            word = {True: "healthy", False: "unhealthy", None: "unknown"}[check.healthy]
            found: dict[str, Any] = {
                "status": word,
                "duration_s": check.duration_s,
                "last_success": check.last_success_s,
            }
            if reasons and check.reason:
                found["reason"] = check.reason
            checks[check.name] = found
        words = {found["status"] for found in checks.values()}
        status = (
            "unhealthy" if "unhealthy" in words else "unknown" if "unknown" in words else "healthy"
        )
        return {"status": status, "checks": checks}

    def _work(self, check: Check, run: int) -> None:
        reason = ""
        try:
            found = check.function()
            if hasattr(found, "__await__"):
                found = _awaited(found)
            if found is False:
                reason = "the check returned False"
        except BaseException as error:  # noqa: BLE001 - a check may raise anything
            reason = f"{type(error).__name__}: {error}"[:_REASON_MAX]
        self._settle(check, run, reason)

    def _settle(self, check: Check, run: int, reason: str) -> None:
        with self._lock:
            if check.run != run or check.started_ns is None:
                return
            check.duration_s = (self._clock.monotonic_ns() - check.started_ns) / 1e9
            check.started_ns = None
            healthy, before = not reason, check.healthy
            check.healthy, check.reason = healthy, reason
            if healthy:
                check.last_success_s = self._clock.now_ns() / 1e9
        try:
            _show(check, changed=healthy != before and not (healthy and before is None))
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure("domain.health_check", error)


def _show(check: Check, *, changed: bool) -> None:
    host = hosts.current()
    if host is None:
        return
    labels = (check.name,)
    host.metrics.gauge("health.check.status").child(labels).set(float(bool(check.healthy)))
    host.metrics.gauge("health.check.duration").child(labels).set(check.duration_s)
    if check.last_success_s is not None:
        gauge = host.metrics.gauge("health.check.last_success.time")
        gauge.child(labels).set(check.last_success_s)
    if changed:
        host.event(
            "health.check",
            "info" if check.healthy else "warning",
            {
                "health.check.name": check.name,
                "health.check.outcome": "healthy" if check.healthy else "unhealthy",
                "health.check.reason": check.reason or None,
                "duration_s": check.duration_s,
            },
        )


def _awaited(coroutine: Any) -> Any:
    # Whoever wrote a coroutine function has imported asyncio, or does so now.
    asyncio: Any = sys.modules.get("asyncio") or __import__("asyncio")

    async def wait() -> Any:
        return await coroutine

    return asyncio.run(wait())


class _Background:
    """The checks of this process and the thread that turns them, once there is one."""

    def __init__(self) -> None:
        self.checks = HealthChecks(SystemClock())
        self.lock = threading.Lock()
        self.wake = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread if it does not run."""
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(
                    target=self._turn, name="watchkeeper-health", daemon=True
                )
                self.thread.start()
        self.wake.set()

    def _turn(self) -> None:
        while True:
            self.wake.clear()
            self.wake.wait(self.checks.turn())

    def after_fork(self) -> None:
        """Begin anew in a forked child: the parent's threads are gone."""
        self.lock, self.wake, self.thread = threading.Lock(), threading.Event(), None
        for check in self.checks.checks.values():
            check.started_ns, check.due_ns = None, 0
        if self.checks.checks:
            self.checks._lock = threading.Lock()  # noqa: SLF001 - of this module
            self.start()


_BACKGROUND = _Background()
os.register_at_fork(after_in_child=_BACKGROUND.after_fork)


def health_check(
    name: str, *, interval_s: float = 15.0, timeout_s: float = 5.0
) -> Callable[[_F], _F]:
    """Return a decorator that makes a function a health check, run in the background from now on.

    The function takes nothing, and may be a coroutine function; it then runs on an event loop of
    its own, so it must not use connections of the application's loop. Raising, returning False or
    taking longer than *timeout_s* means that it fails. It never runs within a scrape or request.

    Args:
        name: Becomes a metric label.
        interval_s: Seconds from one run to the next.
        timeout_s: Seconds after which a run counts as failed.

    Raises:
        SettingError: There are too many checks, or a time is not above 0.
    """

    def register(function: _F) -> _F:
        _BACKGROUND.checks.add(Check(str(name), function, interval_s, timeout_s))
        _BACKGROUND.start()
        return function

    return register


def health(*, reasons: bool = False) -> dict[str, Any]:
    """Return the last result of every health check, ready to be sent as JSON; runs none.

    Args:
        reasons: Say why checks fail; keep that from strangers, since it may name hosts and users.

    Returns:
        ``status`` (``healthy``; ``unhealthy`` if one check fails; ``unknown`` while one has not run
        yet) and ``checks`` by name, each with ``status``, ``duration_s`` and ``last_success`` (Unix
        time in seconds, or None).
    """
    return _BACKGROUND.checks.report(reasons=reasons)
