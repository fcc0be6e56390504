"""How many different users a day had: exact, in bounded memory, without keeping who they were.

The processes of a service on one host share a file per day (UTC): a random key, then eight bytes for
each user, the hash of the id under that key, each once. Its length is the count. After the day the
number alone is kept, and key and hashes are gone: nobody can tell any more whether a user was there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from watchkeeper.clock import Clock
from watchkeeper.instrument.guard import record_failure

__all__ = ["ActiveUsers"]

_MAGIC = b"WKUSERS1"
_KEY_BYTES = 32
_HEAD_BYTES = len(_MAGIC) + _KEY_BYTES
_HASH_BYTES = 8
_DAY_NS = 86_400 * 10**9
_HOOK = "users"
_PAUSE_S = 0.005
_ATTEMPTS = 200
"""Attempts to lock a file that another process holds, a pause apart: a second altogether."""


class ActiveUsers:
    """Counts the different users of each day; safe to call from any thread and after a fork.

    Nothing is read or written before the first user, or the first look at the counts.

    Args:
        folder: Where the processes of a host count together; None counts this process alone.
        service: Name of the service.
        clock: Says which day it is.
        users_max: Users of one day that are counted; further ones call *dropped*.
        dropped: Called for each user that is not counted.
    """

    def __init__(
        self,
        folder: Path | None,
        service: str,
        *,
        clock: Clock,
        users_max: int,
        dropped: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._slug = re.sub(r"[^A-Za-z0-9_.-]+", "_", service)[:100]
        self._now_ns = clock.now_ns
        self._users_max = users_max
        self._dropped = dropped
        self._lock = threading.Lock()
        self._day = -1
        self._begin(-1)
        os.register_at_fork(after_in_child=self._renew_lock)

    def see(self, user_id: str) -> None:
        """Count *user_id* among the users of today; its id is kept nowhere."""
        day = self._now_ns() // _DAY_NS
        if day != self._day or self._key is None:
            with self._lock:
                self._turn(day)
        key = self._key
        if key is None:
            return
        made = blake2b(
            user_id.encode(errors="surrogatepass"), digest_size=_HASH_BYTES, key=key
        ).digest()
        if made in self._seen:
            return
        with self._lock:
            if self._key is not key or made in self._seen:
                return
            if len(self._seen) >= self._users_max:
                self._dropped()
                return
            self._seen.add(made)
            self._waiting.append(made)
            self._write()

    def flush(self) -> None:
        """Put what waits into the file: for a process that ends; waits a second for it at most."""
        with self._lock:
            if self._waiting:
                self._write(wait=True)

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """Return the users of today so far and of yesterday, by day; a day without is left out."""
        day = self._now_ns() // _DAY_NS
        found: dict[tuple[str, ...], float] = {}
        with self._lock:
            if day != self._day:
                self._turn(day, make=False)
            if self._waiting:
                self._write()
            today = self._stored(day) if self._folder is not None else len(self._seen)
            today += len(self._waiting) if self._folder is not None else 0
            before = self._final(day - 1) if self._folder is not None else self._yesterday
        if today:
            found[_name(day),] = float(today)
        if before:
            found[_name(day - 1),] = float(before)
        return found

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def _begin(self, day: int) -> None:
        self._yesterday = len(self._seen) if day == self._day + 1 and day > 0 else 0
        self._day = day
        self._key: bytes | None = None
        self._seen: set[bytes] = set()
        self._waiting: list[bytes] = []
        """Hashes that the file does not hold yet, because it was locked or the disk was full."""
        self._offset = 0

    def _turn(self, day: int, *, make: bool = True) -> None:
        """Begin *day*, and with *make* its file; close the days before."""
        if day != self._day:
            if self._waiting:
                self._write(wait=True)
            self._begin(day)
            if self._folder is not None:
                with contextlib.suppress(OSError):
                    self._close_days_before(day)
        if not make or self._key is not None:
            return
        if self._folder is not None:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _Locked(self._path(day), wait=True) as file:
                    self._read(file)
                    return
            except OSError as error:
                record_failure(_HOOK, error)
                # Counted alone rather than not at all.
                self._folder = None
        self._key = secrets.token_bytes(_KEY_BYTES)

    def _write(self, *, wait: bool = False) -> None:
        """Put what waits into the file, unless another process holds it this moment."""
        if self._folder is None:
            self._waiting.clear()
            return
        try:
            with _Locked(self._path(self._day), wait=wait) as file:
                self._read(file)
                self._waiting = [made for made in self._waiting if made not in self._others]
                whole = os.pwrite(file, b"".join(self._waiting), self._offset) // _HASH_BYTES
                self._offset += whole * _HASH_BYTES
                del self._waiting[:whole]
        except BlockingIOError as error:
            if wait:
                record_failure(_HOOK, error)
        except OSError as error:
            record_failure(_HOOK, error)

    def _read(self, file: int) -> None:
        """Take in the file's key and what other processes wrote since the last time."""
        self._others: set[bytes] = set()
        size = os.fstat(file).st_size
        if size < _HEAD_BYTES:
            key = self._key or secrets.token_bytes(_KEY_BYTES)
            os.ftruncate(file, 0)
            os.pwrite(file, _MAGIC + key, 0)
            self._key, self._offset = key, _HEAD_BYTES
            return
        if self._key is None:
            self._key, self._offset = os.pread(file, _HEAD_BYTES, 0)[len(_MAGIC) :], _HEAD_BYTES
        whole = size - (size - _HEAD_BYTES) % _HASH_BYTES
        if whole != size:
            os.ftruncate(file, whole)  # a writer died in the middle of one
        data = os.pread(file, whole - self._offset, self._offset)
        self._offset += len(data)
        self._others = {data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)}
        self._seen |= self._others

    def _path(self, day: int, kind: str = "bin") -> Path:
        assert self._folder is not None  # noqa: S101 - asked by the callers
        return self._folder / f"users-{self._slug}-{_name(day)}.{kind}"

    def _stored(self, day: int) -> int:
        try:
            size = self._path(day).stat().st_size
        except OSError:
            return 0
        return max(0, size - _HEAD_BYTES) // _HASH_BYTES

    def _final(self, day: int) -> int:
        try:
            return int(self._path(day, "count").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def _close_days_before(self, day: int) -> None:
        assert self._folder is not None  # noqa: S101 - asked by the caller
        today, kept = self._path(day).name, self._path(day - 1, "count").name
        for path in self._folder.glob(f"users-{self._slug}-????-??-??.bin"):
            if path.name >= today:
                continue
            with _Locked(path, wait=True) as file:
                count = max(0, os.fstat(file).st_size - _HEAD_BYTES) // _HASH_BYTES
                final = path.with_suffix(".count")
                if not final.exists():
                    temporary = path.with_suffix(f".{os.getpid()}.tmp")
                    temporary.write_text(str(count), encoding="ascii")
                    temporary.replace(final)
                path.unlink(missing_ok=True)
        for path in self._folder.glob(f"users-{self._slug}-????-??-??.count"):
            if path.name < kept:
                path.unlink(missing_ok=True)


class _Locked:
    """A file, made if missing, locked for the length of a ``with`` block.

    With *wait* it waits a second at most: whoever holds it may have been stopped meanwhile.
    """

    def __init__(self, path: Path, *, wait: bool) -> None:
        self._path = path
        self._attempts = _ATTEMPTS if wait else 1
        self._file = -1

    def __enter__(self) -> int:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
            try:
                self._lock()
            except OSError:
                os.close(self._file)
                raise
            if os.fstat(self._file).st_nlink:
                return self._file
            # Its day was closed while we waited.
            os.close(self._file)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _lock(self) -> None:
        for attempt in range(1, self._attempts + 1):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == self._attempts:
                    raise
                threading.Event().wait(_PAUSE_S)
            else:
                return


def _name(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
