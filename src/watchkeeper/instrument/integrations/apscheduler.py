"""APScheduler 3: a consumer span per run of a job, and the runs that did not happen.

A run waited from when it was due. Runs that came too late for their grace time, and runs that
were skipped because enough others were going, are missed runs.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from watchkeeper.instrument.domain.work import Job
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace

__all__ = ["instrument"]

_HOOK = "jobs.apscheduler"
_GUARD = guard(_HOOK)
_EXECUTORS = "apscheduler.executors."


def instrument(host: Host) -> Callable[[], None]:
    """Record the runs of every scheduler.

    Returns:
        A function that undoes it.
    """
    from apscheduler.executors import base

    runs = _Runs(host)
    wrapped = {
        "run_job": runs.running(base.run_job),
        "run_coroutine_job": runs.running_async(base.run_coroutine_job),
    }
    # The executors import these functions by name; those imported later find ours in `base`.
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_EXECUTORS)]
    undos = [
        replace(module, name, function)
        for module in modules
        for name, function in wrapped.items()
        if name in vars(module)
    ]
    submitting = runs.submitting(base.BaseExecutor.submit_job, base.MaxInstancesReachedError)
    return all_of(runs.stop, *undos, replace(base.BaseExecutor, "submit_job", submitting))


class _Runs:
    """What stands in for the functions that run jobs."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._on = True

    def stop(self) -> None:
        """Record nothing any more, where ours is still called."""
        self._on = False

    def running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what stands in for ``run_job``, which runs one job for each time it was due."""

        def run_job(job: Any, alias: Any, run_times: Any, logger_name: Any) -> Any:
            if not self._on:
                return original(job, alias, run_times, logger_name)
            events = []
            for due in run_times:
                events += original(_Observed(job, due), alias, [due], logger_name)
            self._note(job, events)
            return events

        return run_job

    def running_async(
        self, original: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        """Return what stands in for ``run_coroutine_job``, likewise."""

        async def run_coroutine_job(job: Any, alias: Any, run_times: Any, logger_name: Any) -> Any:
            if not self._on:
                return await original(job, alias, run_times, logger_name)
            events = []
            for due in run_times:
                events += await original(_ObservedCoroutine(job, due), alias, [due], logger_name)
            self._note(job, events)
            return events

        return run_coroutine_job

    def submitting(
        self, original: Callable[..., Any], too_many: type[Exception]
    ) -> Callable[..., Any]:
        """Return what stands in for ``submit_job``, which refuses a run beyond ``max_instances``."""

        def submit_job(executor: Any, job: Any, run_times: Any) -> Any:
            try:
                return original(executor, job, run_times)
            except too_many:
                for due in run_times:
                    self._missed(job, due, "max_instances")
                raise

        return submit_job

    def _note(self, job: Any, events: Any) -> None:
        with _GUARD:
            from apscheduler.events import EVENT_JOB_MISSED

            for event in events:
                if event.code == EVENT_JOB_MISSED:
                    self._missed(job, event.scheduled_run_time, "misfire")

    @_GUARD
    def _missed(self, job: Any, due: datetime, reason: str) -> None:
        self._host.metrics.counter("job.missed_runs").child((_name(job), reason)).inc()
        self._host.event(
            "job.missed_run",
            "warning",
            {
                "job.name": _name(job),
                "job.due_time": due.isoformat(),
                "job.missed": 1,
                "reason": reason,
            },
        )


class _Observed:
    """Stands for a job while one run of it goes on: calling its function is the attempt."""

    def __init__(self, job: Any, due: datetime) -> None:
        self._job = job
        self._due = due

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def __str__(self) -> str:
        return str(self._job)

    @property
    def func(self) -> Callable[..., Any]:
        """The job's function, as one attempt at a job."""
        function, attempt = self._job.func, self._attempt()
        return function if attempt is None else attempt(function)

    def _attempt(self) -> Job | None:
        try:
            job = self._job
            return Job(
                _name(job),
                queue=str(job.executor),
                id=str(job.id),
                enqueued_at=self._due,
            )
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
            return None


class _ObservedCoroutine(_Observed):
    """The same for a coroutine function, which need not look like one."""

    @property
    def func(self) -> Callable[..., Any]:
        """The job's coroutine function, as one attempt at a job."""
        function, attempt = self._job.func, self._attempt()
        if attempt is None:
            return function  # type: ignore[no-any-return] # the library has no annotations

        async def call(*args: Any, **kwargs: Any) -> Any:
            async with attempt:
                return await function(*args, **kwargs)

        return call


def _name(job: Any) -> str:
    return str(job.name or job.func_ref or job.id)
