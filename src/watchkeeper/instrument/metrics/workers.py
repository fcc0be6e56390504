"""This process as one of several: joins its group, keeps its word up to date, and adds up.

See `group` for who belongs together, `cells` for the files, `siblings` for the sum.
"""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import guard, record_failure
from watchkeeper.instrument.metrics import group
from watchkeeper.instrument.metrics.cells import FileCells
from watchkeeper.instrument.metrics.registry import MetricSet
from watchkeeper.instrument.metrics.siblings import Siblings
from watchkeeper.instrument.metrics.targets import Crew
from watchkeeper.instrument.metrics.totals import Totals

__all__ = ["Workers"]

_INTERVAL_S = 1.0
_SHARE = 100
"""The process spends at most one part in so many of its time on saying what others may read."""


class _Inherited:
    """The group that this process was forked into, which lasts longer than a configuration."""

    def __init__(self) -> None:
        self.leader: group.Leader | None = None


_INHERITED = _Inherited()


class Workers:
    """The membership of one process. Safe to use from any thread.

    Args:
        metrics: What is shared with the others.
        clock: Measures what sharing costs.
        name: The group's name; empty finds the group out.
        base: Where groups are; by default where all processes of this user look.
    """

    def __init__(
        self, metrics: MetricSet, clock: Clock, name: str = "", base: Path | None = None
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._name = name
        self._base = base
        self._leader: group.Leader | None = None
        self._file: FileCells | None = None
        self._siblings: Siblings | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.crew: Crew | None = None
        """The others, as the side listener sees them; None while this process is alone."""

    def start(self) -> None:
        """Join the group of this process, if it is in one."""
        leader = group.named(self._name) if self._name else _INHERITED.leader or group.leader()
        if leader is not None:
            self._join(leader)

    def before_fork(self) -> bool:
        """Found a group if this process is alone: it will have a child that counts too.

        Returns:
            Whether this process has just begun to be one of several.
        """
        return self._file is None and self._join(group.own())

    def after_fork(self) -> None:
        """Count from zero in cells of its own; runs in a forked child."""
        self._lock = threading.Lock()
        self._end = threading.Event()
        file, self._file, self._siblings, self.crew = self._file, None, None, None
        self._metrics.share(None)
        self._metrics.reset()
        if file is not None:
            file.leave()
            if self._leader is not None:
                _INHERITED.leader = self._leader
                self._join(self._leader)

    def stop(self) -> None:
        """Leave: what was counted stays in the sum of the others."""
        self._end.set()
        file, siblings = self._file, self._siblings
        if file is None or siblings is None:
            return
        self._say(file)
        with self._lock:
            self._file = self._siblings = None
        self._metrics.share(None)
        with guard("metrics.group"):
            if self._leader == group.own() and not siblings.others_live():
                # The one who leads ends as the last: there is nobody to come.
                shutil.rmtree(file.folder, ignore_errors=True)
        file.leave()

    def say(self) -> None:
        """Let the others know the latest of what is in no cell."""
        file = self._file
        if file is not None:
            self._say(file)

    def totals(self) -> Totals:
        """Return the sum over the group, with what this process says at this moment.

        Raises:
            OSError: The directory of the group is gone or cannot be read.
        """
        with self._lock:
            file, siblings = self._file, self._siblings
            if file is None or siblings is None:
                raise FileNotFoundError("this process is in no group")
            # Written before it is shown: a sum must never fall below what was shown once.
            file.say(_said(self._metrics))
            return siblings.totals()

    def _join(self, leader: group.Leader) -> bool:
        base = self._base or group.base_dir()
        try:
            folder = group.group_dir(base, leader)
            file = FileCells(folder)
        except OSError as error:
            # The process counts for itself then, and is a target of its own.
            record_failure("metrics.group", error)
            return False
        self._leader, self._file = leader, file
        siblings = self._siblings = Siblings(folder, self._metrics.series_max_of, file.name)
        self._metrics.move(file)
        self._metrics.share(self.totals)
        self.crew = self.crew or Crew(folder)
        self._say(file)
        threading.Thread(
            target=self._keep_saying, args=(file, self._end), name="watchkeeper-share", daemon=True
        ).start()
        try:
            with self._lock:
                siblings.bury()
        except OSError as error:
            record_failure("metrics.group", error)
        group.clear_dead(base, leader)
        return True

    def _keep_saying(self, file: FileCells, end: threading.Event) -> None:
        pause_s = _INTERVAL_S
        while not end.wait(pause_s) and self._file is file:
            if not file.present():
                self._rejoin(file)
                return
            began = self._clock.monotonic_ns()
            self._say(file)
            took_s = (self._clock.monotonic_ns() - began) / 1e9
            pause_s = max(_INTERVAL_S, took_s * _SHARE)

    def _rejoin(self, file: FileCells) -> None:
        """Begin again with the same numbers: somebody has removed the directory."""
        if self._leader is not None and self._file is file:
            self._file = None
            if not self._join(self._leader):
                self._metrics.share(None)
            file.leave()

    def _say(self, file: FileCells) -> None:
        try:
            with self._lock:
                # Who has left must not leave another file: the siblings may have cleared up by now.
                if self._file is file:
                    file.say(_said(self._metrics))
        except Exception as error:  # noqa: BLE001 - collectors of the application may raise anything
            record_failure("metrics.share", error)


def _said(metrics: MetricSet) -> bytes:
    said: dict[str, Any] = metrics.said()
    return json.dumps(said, separators=(",", ":")).encode()
