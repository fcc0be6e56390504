"""The announcement of a process or a group of workers to Prometheus' ``file_sd``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.metrics import group
from watchkeeper.instrument.metrics.post import Post

__all__ = ["Crew", "TargetsDir"]

_POST, _NOTE, _PRESENT = "listener", "listener.json", "present"


class Crew:
    """The workers of a group, of which one at a time has the side listener.

    Each worker that serves or would serve holds a shared lock on one file. Whoever leaves asks for it
    alone: who gets it was the last, whether the others have ended yet or not, and withdraws the
    announcement. Of two that leave at once the kernel lets exactly one be the last.

    Args:
        folder: The directory of the group.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._post: Post | None = None
        self._present = -1

    def claim(self, granted: Callable[[], None]) -> bool:
        """Return whether this process is the one; if not, *granted* is called once it is.

        A group whose directory fails has no order any more, so everybody serves.
        """
        try:
            if self._present < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._present = os.open(self._folder / _PRESENT, flags, 0o600)
                fcntl.flock(self._present, fcntl.LOCK_SH)
            if self._post is None:
                self._post = Post(self._folder / _POST, granted)
            return self._post.claim()
        except OSError as error:
            record_failure("metrics.group", error)
            return True

    def leave(self, withdraw: Callable[[], None]) -> None:
        """Let another worker be the one; call *withdraw* first if there is none that would."""
        present, self._present = self._present, -1
        try:
            if _is_last(present):
                withdraw()
        finally:
            if present >= 0:
                os.close(present)
            self.release()

    def release(self) -> None:
        """Let another worker be the one."""
        if self._post is not None:
            self._post.release()

    def note(self, port: int, file: str) -> None:
        """Write down where the listener is, for the next one."""
        try:
            temporary = self._folder / f"{_NOTE}.new"
            temporary.write_text(json.dumps([port, file]), encoding="utf-8")
            temporary.rename(self._folder / _NOTE)
        except OSError as error:
            record_failure("metrics.group", error)

    def noted(self) -> tuple[int, str]:
        """Return port and file of the last listener of the group; 0 and "" if there was none."""
        return _noted(self._folder)

    def after_fork(self) -> None:
        """Let go of what the parent holds; runs in a forked child."""
        present, self._present = self._present, -1
        if present >= 0:
            with contextlib.suppress(OSError):
                os.close(present)
        if self._post is not None:
            self._post.after_fork()


class TargetsDir:
    """Writes the files of one service.

    Args:
        folder: The directory, made at the first file.
        service: Name of the service, which becomes the label ``job``.
        path: Path of the metrics.
    """

    def __init__(self, folder: Path, service: str, path: str) -> None:
        self._folder = folder
        self._service = service
        self._path = path
        self._slug = re.sub(r"[^A-Za-z0-9_.-]+", "_", service)[:100] or "unknown_service"

    def write(self, port: int, name: str = "", *, workers: bool = False) -> str:
        """Announce *port* and return the file's name; files of the dead are removed.

        Args:
            port: Where metrics are answered on 127.0.0.1.
            name: The file of the listener that this one follows; made up if empty.
            workers: Whether this is a group's.

        Raises:
            OSError: The file cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = name or f"{self._slug}-{os.getpid()}{'-workers' if workers else ''}.json"
        self._remove_dead(name)
        labels = {"job": self._service}
        if self._path != "/metrics":
            labels["__metrics_path__"] = self._path
        target = {"targets": [f"127.0.0.1:{port}"], "labels": labels}
        temporary = self._folder / f".{name}.tmp"
        temporary.write_text(json.dumps([target]) + "\n", encoding="utf-8")
        temporary.replace(self._folder / name)
        return name

    def remove(self, name: str) -> None:
        """Withdraw the announcement called *name*."""
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()

    def _remove_dead(self, keep: str) -> None:
        dead = [
            old
            for old in self._folder.glob(f"{self._slug}-*.json")
            if old.name != keep
            and (pid := _pid(old.stem, self._slug))
            and not group.process_exists(pid)
        ]
        if not dead:
            return
        # The process that wrote a group's file first may be gone long before the group.
        used = _files_in_use()
        for old in dead:
            if old.name not in used:
                with contextlib.suppress(OSError):
                    old.unlink()


def _files_in_use() -> set[str]:
    base = group.base_dir()
    found = set()
    with contextlib.suppress(OSError):
        for folder in base.iterdir():
            if not group.is_abandoned(folder):
                found.add(_noted(folder)[1])
    return found


def _is_last(present: int) -> bool:
    if present < 0:
        return True
    try:
        fcntl.flock(present, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _noted(folder: Path) -> tuple[int, str]:
    try:
        port, file = json.loads((folder / _NOTE).read_bytes())
        return int(port), str(file)
    except (OSError, ValueError, TypeError):
        return 0, ""


def _pid(stem: str, slug: str) -> int:
    digits = stem.removeprefix(f"{slug}-").removesuffix("-workers")
    return int(digits) if digits.isdigit() else 0
