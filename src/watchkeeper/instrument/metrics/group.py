"""Which processes are workers of one service on one host, and where they meet.

Siblings find each other without being told:

* a child of `multiprocessing` (``uvicorn --workers`` starts its workers so) belongs to its parent;
* a worker of gunicorn that loads the application itself belongs to gunicorn's master;
* a process that was forked belongs to where its parent belongs, and the parent joins it;
* every other process is alone, as its own target.

Who leads is told by process id, start time and namespace of process ids, so that neither a reused
id nor another container is taken for it. A group is a directory, readable by this user alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from watchkeeper.instrument.metrics.cells import VALUES

__all__ = [
    "Leader",
    "base_dir",
    "clear_dead",
    "group_dir",
    "is_abandoned",
    "is_alive",
    "leader",
    "named",
    "own",
    "process_exists",
]

_FORMAT = "m1"
"""Begins the name of every directory; changes with the format of the files."""
_GONE = "gone-"
"""Begins the name of a directory that is being removed."""
_DEEP = 200
"""Frames of the main thread that are looked through for gunicorn's."""

Leader = str
"""Name of a group's directory."""


def own(pid: int | None = None) -> Leader:
    """Return the group that the process *pid* leads, this one if None."""
    number = os.getpid() if pid is None else pid
    return f"{_FORMAT}-{number}-{_started(number)}-{_namespace()}"


def named(name: str) -> Leader:
    """Return the group that a setting names."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{_FORMAT}-n-{digest}"


def leader() -> Leader | None:
    """Return the group that this process belongs to by how it was started, or None."""
    process: Any = sys.modules.get("multiprocessing.process")
    parent = process.parent_process() if process is not None else None
    if parent is not None:
        return own(parent.pid)
    if "gunicorn.arbiter" in sys.modules and _spawned_by_gunicorn():
        return own(os.getppid())
    return None


def _spawned_by_gunicorn() -> bool:
    # A worker runs inside the function of the master that forked it.
    frame: FrameType | None = sys._current_frames().get(  # noqa: SLF001 - the only way to another thread's
        threading.main_thread().ident or 0
    )
    for _ in range(_DEEP):
        if frame is None:
            return False
        inside = frame.f_globals.get("__name__")
        if inside == "gunicorn.arbiter" and frame.f_code.co_name == "spawn_worker":
            return True
        frame = frame.f_back
    return False


def base_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the directories of this user's groups are, without making it.

    In memory if there is such a place: a page that is being written to disk would make the next
    update of a counter wait.
    """
    env = os.environ if environ is None else environ
    for place in (env.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):  # noqa: S108 - see `_private`
        if place and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):  # noqa: PTH112 - a text
            return Path(place, f"watchkeeper-{os.getuid()}", "metrics")
    return Path(tempfile.gettempdir(), f"watchkeeper-{os.getuid()}", "metrics")


def group_dir(base: Path, group: Leader) -> Path:
    """Return the directory of *group* below *base*, made if it is missing.

    Raises:
        OSError: It cannot be made, or a part of the path is a link or belongs to somebody else.
    """
    folder = base / group
    for path in (base.parent, base, folder):
        _private(path)
    return folder


def _private(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=False)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path} is not a directory of this user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{path} is open to other users (mode {found.st_mode & 0o777:o})")


def is_alive(values: Path) -> bool:
    """Tell whether the process that owns a file of values is alive; a file that is gone is dead."""
    try:
        fd = os.open(values, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for the owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def is_abandoned(folder: Path) -> bool:
    """Tell whether neither the leader of a group nor any member is alive."""
    parts = folder.name.split("-")
    if parts[0] != _FORMAT:
        return False
    if parts[1] != "n" and (parts[-1] != _namespace() or own(int(parts[1])) == folder.name):
        # Processes of another namespace cannot be asked for; their members' locks can.
        return False
    return not any(is_alive(path) for path in _members(folder))


def clear_dead(base: Path, keep: Leader) -> None:
    """Remove the directories of groups that are gone for good, except *keep*."""
    with contextlib.suppress(OSError):
        for folder in list(base.iterdir()):
            if folder.name == keep:
                continue
            with contextlib.suppress(OSError, ValueError, IndexError):
                if folder.name.startswith(_GONE):
                    shutil.rmtree(folder, ignore_errors=True)
                elif is_abandoned(folder):
                    # Away first, so that nobody joins what is being removed.
                    away = folder.with_name(f"{_GONE}{os.getpid()}-{folder.name}")
                    folder.rename(away)
                    shutil.rmtree(away, ignore_errors=True)


def _members(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.endswith(VALUES):
            yield entry


def _started(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0" if process_exists(pid) else "gone"


def process_exists(pid: int) -> bool:
    """Tell whether a process has this id now; one of somebody else's counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").rpartition("[")[2].rstrip("]")  # noqa: PTH115 - a text
    except OSError:
        return "0"
