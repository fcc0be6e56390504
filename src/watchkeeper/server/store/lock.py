"""One server for each data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

import orjson

from watchkeeper.clock import Clock
from watchkeeper.errors import StoreError, WatchkeeperError
from watchkeeper.server.store.schema import FORMAT_VERSION

__all__ = ["DirectoryLock", "prepare_directory"]

_LOCK = "watchkeeper.lock"
_MARKER = "watchkeeper.json"
_HARMLESS = {"targets", _LOCK}
"""Names that may be there before the store is: applications announce themselves in `targets`."""


def prepare_directory(directory: Path) -> None:
    """Make *directory* ours: create it with mode 0700, or check that it is a data directory.

    Raises:
        StoreError: It is not a directory, belongs to something else, is a symbolic link, can be
            written by everybody, cannot be written by us, or has a newer format.
    """
    if directory.is_symlink():
        raise _refused("the data directory is a symbolic link", directory, "name the real folder")
    if not directory.exists():
        try:
            directory.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise _refused(
                f"the data directory cannot be made ({error.strerror})",
                directory,
                "choose a folder that you may write with --data-dir",
            ) from None
    if not directory.is_dir():
        raise _refused("the data directory is a file", directory, "choose another --data-dir")
    if directory.stat().st_uid != os.geteuid():
        raise _refused(
            "the data directory belongs to another user", directory, "choose another --data-dir"
        )
    if directory.stat().st_mode & stat.S_IWOTH:
        raise _refused(
            "everybody may write the data directory", directory, f"chmod 0700 {directory}"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _refused("the data directory is read-only", directory, f"chmod 0700 {directory}")
    _check_marker(directory)
    directory.chmod(0o700)


def _check_marker(directory: Path) -> None:
    marker = directory / _MARKER
    if marker.exists():
        try:
            version = int(orjson.loads(marker.read_bytes())["format"])
        except (ValueError, TypeError, KeyError):
            raise _refused(
                f"{_MARKER} in the data directory is damaged",
                directory,
                f'write {{"format":{FORMAT_VERSION}}} into it if the folder is a data directory',
            ) from None
        if version > FORMAT_VERSION:
            raise _refused(
                f"the data directory has format {version}, this version knows {FORMAT_VERSION}",
                directory,
                "use a newer watchkeeper, or another --data-dir",
            )
        return
    if {entry.name for entry in directory.iterdir()} - _HARMLESS:
        raise _refused(
            "the folder holds something that is not ours",
            directory,
            "choose an empty or new folder with --data-dir",
        )
    fresh = directory / f"{_MARKER}.new"
    fresh.write_bytes(orjson.dumps({"about": "watchkeeper data", "format": FORMAT_VERSION}))
    fresh.chmod(0o600)
    fresh.rename(marker)


def _refused(what: str, directory: Path, remedy: str) -> WatchkeeperError:
    return StoreError.explain(
        what, got=str(directory), accepted="a folder of our own with mode 0700", next_step=remedy
    )


class DirectoryLock:
    """Holds the data directory for this process; released by `release` or when it ends."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Take the lock.

        Raises:
            StoreError: Another process holds it; the message names its pid.
        """
        path = directory / _LOCK
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = os.read(self._file, 64).decode(errors="replace").split()
            os.close(self._file)
            holder = words[0] if words else "unknown"
            raise StoreError.explain(
                f"another server uses this data directory (process {holder})",
                got=str(directory),
                accepted="one server for each directory",
                next_step=f"stop process {holder}, or start this one with another --data-dir",
            ) from None
        with contextlib.suppress(OSError):  # on a full disk the lock holds without its words
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()} {clock.now_ns()}\n".encode(), 0)

    def release(self) -> None:
        """Let the directory go; harmless if called again."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1
