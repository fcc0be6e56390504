"""Levels that change while the process runs, and reach every worker of the service.

Three layers, the upper one wins: changes made over HTTP, kept in a file that all processes of the
service on this host look at; what the settings file said when it was read again on a signal; the
settings. A change may end by itself, at a time of the clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from watchkeeper.errors import LogLevelError
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.logs.levels import NUMBERS, Thresholds, numbers
from watchkeeper.vocabulary.limits import limit

__all__ = ["Change", "LevelControl"]

_SECOND_NS = 1_000_000_000
_LEVEL_NAMES = {number: name for name, number in NUMBERS.items()}
_LOCK_ATTEMPTS = 50
_LOCK_WAIT_S = 0.01
_FILE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """The level of one tree of loggers, for now."""

    level: str
    until_ns: int = 0
    """When it ends, nanoseconds since the epoch; 0 for never."""


class LevelControl:
    """Works out which levels are in force, and tells *apply* when they change.

    Safe to use from any thread.

    Args:
        default: `Settings.log_level`.
        trees: `Settings.log_levels`.
        now_ns: Nanoseconds since the epoch.
        file: Where changes are kept and looked for; None keeps them in this process.
        apply: Takes the table in force and what made it change: ``endpoint``, ``file``, ``signal``
            or ``expiry``.
        levels_max: Loggers whose level may be changed.
    """

    def __init__(
        self,
        default: str,
        trees: Mapping[str, str],
        *,
        now_ns: Callable[[], int],
        file: Path | None,
        apply: Callable[[Thresholds, str], None],
        levels_max: int = limit("log_levels_max"),
    ) -> None:
        self._default = default
        self._trees = dict(trees)
        self._now_ns = now_ns
        self._file = file
        self._apply = apply
        self._levels_max = levels_max
        self._changes: dict[str, Change] = {}
        self._seen: tuple[int, int, int] | None = None
        self._lock = threading.RLock()
        self.thresholds = self._first = self._table()

    def poll(self) -> None:
        """Follow changes that other processes made, and end those whose time is over.

        Costs one ``stat`` while nothing happens.
        """
        with self._lock:
            if self._file is not None and (found := _identity(self._file)) != self._seen:
                self._changes = self._read()
                self._seen = found
                self._settle("file")
            now = self._now_ns()
            if any(0 < change.until_ns <= now for change in self._changes.values()):
                self._changes = self._running(self._changes)
                self._settle("expiry")

    def restart(self, default: str, trees: Mapping[str, str]) -> None:
        """Take new settings; changes made over HTTP still go before them."""
        with self._lock:
            self._default, self._trees = default, dict(trees)
            self._settle("signal")

    def change(self, levels: Mapping[str, str], for_s: float = 0.0) -> None:
        """Set levels of trees of loggers, in every process of the service.

        Args:
            levels: Levels by name of the tree; "" is the default of all others.
            for_s: Seconds after which they end; 0 for never.

        Raises:
            LogLevelError: The file cannot be written.
        """
        until = self._now_ns() + int(for_s * _SECOND_NS) if for_s else 0
        wanted = {name: Change(level, until) for name, level in levels.items()}
        self._alter(lambda changes: {**changes, **wanted})

    def reset(self, names: list[str] | None = None) -> None:
        """Take changes back, in every process of the service.

        Args:
            names: Names of trees; None for all.

        Raises:
            LogLevelError: The file cannot be written.
        """
        self._alter(
            lambda changes: {
                name: change
                for name, change in changes.items()
                if names is not None and name not in names
            }
        )

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        self._lock = threading.RLock()

    def state(self) -> dict[str, Any]:
        """Return the levels in force and the changes, as the endpoint shows them."""
        with self._lock:
            self.poll()
            now = self._now_ns()
            return {
                "level": self._default,
                "levels": self._trees,
                "changes": {
                    name: {
                        "level": change.level,
                        "ends_in_s": round((change.until_ns - now) / _SECOND_NS, 3)
                        if change.until_ns
                        else None,
                    }
                    for name, change in self._changes.items()
                },
                "shared": self._file is not None,
            }

    def described(self) -> list[str]:
        """Return the levels in force that differ from those at the start, as ``logger=level``."""
        first, table = self._first, self.thresholds
        found = {"*": table.default} if table.default != first.default else {}
        for name in {**first.trees, **table.trees}:
            if table[name] != first[name]:
                found[name] = table[name]
        return [f"{name}={_LEVEL_NAMES[number]}" for name, number in found.items()]

    def _alter(self, make: Callable[[dict[str, Change]], dict[str, Change]]) -> None:
        with self._lock:
            if self._file is None:
                self._changes = self._bounded(make(self._running(self._changes)))
            else:
                try:
                    with _locked(self._file):
                        changes = self._bounded(make(self._running(self._read())))
                        self._write(self._file, changes)
                        self._changes, self._seen = changes, _identity(self._file)
                except OSError as error:
                    raise LogLevelError.explain(
                        "levels of loggers cannot be changed for every process",
                        got=str(self._file),
                        accepted="a directory that this user may write to",
                        next_step=f"free space or correct its permissions ({error.strerror})",
                    ) from error
            self._settle("endpoint")

    def _bounded(self, changes: dict[str, Change]) -> dict[str, Change]:
        most = self._levels_max
        if len(changes) > most:
            raise LogLevelError.explain(
                "too many levels of loggers are changed",
                got=len(changes),
                accepted=f"at most {most}",
                next_step="take some back, or set the level of what they have in common",
            )
        return changes

    def _running(self, changes: Mapping[str, Change]) -> dict[str, Change]:
        now = self._now_ns()
        return {n: c for n, c in changes.items() if not c.until_ns or c.until_ns > now}

    def _table(self) -> Thresholds:
        changed = {name: change.level for name, change in self._changes.items()}
        return Thresholds(NUMBERS[self._default], numbers({**self._trees, **changed}))

    def _settle(self, source: str) -> None:
        table = self._table()
        if (table.default, table.trees) != (self.thresholds.default, self.thresholds.trees):
            self.thresholds = table
            self._apply(table, source)

    def _read(self) -> dict[str, Change]:
        """Return what the file holds; a damaged one holds nothing."""
        if self._file is None:
            return {}
        try:
            with self._file.open("rb") as file:
                found = orjson.loads(file.read(_FILE_BYTES_MAX))
            return {
                str(name): Change(str(one["level"]), int(one["until_ns"]))
                for name, one in found["changes"].items()
                if one["level"] in NUMBERS
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            record_failure("logs.levels", error)
            return {}

    @staticmethod
    def _write(file: Path, changes: Mapping[str, Change]) -> None:
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        shown = {n: {"level": c.level, "until_ns": c.until_ns} for n, c in changes.items()}
        fd = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(orjson.dumps({"changes": shown}))
        temporary.replace(file)


@contextlib.contextmanager
def _locked(file: Path) -> Any:
    """Keep other processes from changing *file* meanwhile.

    Raises:
        OSError: The directory is not this user's, or another process holds the lock for long.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.parent.stat().st_uid != os.geteuid():
        raise PermissionError(1, "the directory belongs to another user")
    lock = os.open(
        file.with_name(f".{file.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
    )
    try:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _LOCK_ATTEMPTS - 1:
                    raise
                threading.Event().wait(_LOCK_WAIT_S)
        yield
    finally:
        os.close(lock)


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
