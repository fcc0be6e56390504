"""Users of a day: exact over processes and restarts, bounded, and nobody's id."""

from __future__ import annotations

import fcntl
import multiprocessing
import resource
import threading
from collections.abc import Callable
from pathlib import Path

from tests.instrument.rig import HandClock, attached

from watchkeeper.instrument.context import bind
from watchkeeper.instrument.domain import auth_event, user_active
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.users import ActiveUsers

TODAY = ("2027-01-15",)
DAY_S = 86_400.0


def users(
    folder: Path | None,
    clock: HandClock,
    users_max: int = 100,
    dropped: Callable[[], None] = lambda: None,
) -> ActiveUsers:
    """Return what one process counts with."""
    return ActiveUsers(folder, "shop", clock=clock, users_max=users_max, dropped=dropped)


def test_each_user_of_a_day_counts_once(tmp_path: Path) -> None:
    """Several processes of a host, started before or after, and a restart, make one number."""
    clock = HandClock()
    first, second = users(tmp_path, clock), users(tmp_path, clock)
    for name in ("ann", "bob", "ann"):
        first.see(name)
    for name in ("bob", "cem"):
        second.see(name)
    first.see("cem")
    restarted = users(tmp_path, clock)
    restarted.see("ann")
    assert [{TODAY: 3.0}] * 3 == [one.counts() for one in (first, second, restarted)]


def test_the_next_day_begins_anew_and_forgets_who_it_was(tmp_path: Path) -> None:
    """Yesterday's number is kept, its key and hashes are not; the day before is forgotten."""
    clock = HandClock()
    counted = users(tmp_path, clock)
    for name in ("ann", "bob"):
        counted.see(name)
    clock.advance(DAY_S)
    counted.see("ann")
    assert {TODAY: 2.0, ("2027-01-16",): 1.0} == counted.counts()
    assert ["users-shop-2027-01-15.count", "users-shop-2027-01-16.bin"] == sorted(
        path.name for path in tmp_path.iterdir()
    )
    clock.advance(2 * DAY_S)
    assert {} == counted.counts()


def test_no_id_is_kept_and_no_two_days_look_alike(tmp_path: Path) -> None:
    """The file holds a random key and hashes, so the same user differs from day to day."""
    clock = HandClock()
    kept = []
    for _ in range(2):
        users(tmp_path, clock).see("ann@example.org")
        [path] = tmp_path.glob("*.bin")
        data = path.read_bytes()
        assert (48, False) == (len(data), b"ann" in data)
        assert 0o600 == path.stat().st_mode & 0o777
        kept.append(data[40:])
        clock.advance(DAY_S)
    assert kept[0] != kept[1]


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Past the limit further users are not counted, and each such call is."""
    dropped: list[int] = []
    counted = users(tmp_path, HandClock(), users_max=2, dropped=lambda: dropped.append(1))
    for name in ("ann", "bob", "cem", "ann", "dee"):
        counted.see(name)
    assert ({TODAY: 2.0}, 2) == (counted.counts(), len(dropped))


def test_a_process_without_a_folder_counts_alone() -> None:
    """Without a home for its file a process counts in memory, yesterday included."""
    clock = HandClock()
    counted = users(None, clock)
    counted.see("ann")
    counted.see("bob")
    clock.advance(DAY_S)
    counted.see("ann")
    assert {TODAY: 2.0, ("2027-01-16",): 1.0} == counted.counts()


def test_a_half_written_entry_is_cut_off(tmp_path: Path) -> None:
    """A process that died while it wrote does no harm."""
    clock = HandClock()
    users(tmp_path, clock).see("ann")
    [path] = tmp_path.glob("*.bin")
    path.write_bytes(path.read_bytes() + b"abc")
    counted = users(tmp_path, clock)
    counted.see("ann")
    counted.see("bob")
    assert {TODAY: 2.0} == counted.counts()


def work(folder: str, number: int) -> None:
    """See users of whom half are shared with the other processes."""
    counted = users(Path(folder), HandClock(), users_max=10_000)
    for index in range(200):
        counted.see(f"shared-{index}")
        counted.see(f"own-{number}-{index}")
    counted.flush()


def test_processes_at_the_same_time_lose_nobody(tmp_path: Path) -> None:
    """Three processes that write at once count each user once."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=work, args=(str(tmp_path), number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(50)
    assert [0, 0, 0] == [process.exitcode for process in processes]
    assert {TODAY: 800.0} == users(tmp_path, HandClock()).counts()


def test_a_user_who_came_while_the_file_was_held_is_not_lost(tmp_path: Path) -> None:
    """Nobody waits for a held file; who waits in memory is on disk once the process has ended."""
    clock = HandClock()
    counted, other = users(tmp_path, clock), users(tmp_path, clock)
    counted.see("ann")
    [path] = tmp_path.glob("*.bin")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        counted.see("bob")
        assert ({TODAY: 2.0}, {TODAY: 1.0}) == (counted.counts(), other.counts())
        threading.Timer(0.05, fcntl.flock, (held, fcntl.LOCK_UN)).start()
        counted.flush()
    assert {TODAY: 2.0} == other.counts()


def test_a_user_who_came_while_the_disk_was_full_counts_once(tmp_path: Path) -> None:
    """What another process wrote meanwhile is not written again once there is room."""
    clock = HandClock()
    counted, other = users(tmp_path, clock), users(tmp_path, clock)
    counted.see("ann")
    [path] = tmp_path.glob("*.bin")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        counted.see("bob")
    other.see("bob")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4, before[1]))
        counted.see("cem")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    counted.flush()
    assert {TODAY: 3.0} == counted.counts() == users(tmp_path, clock).counts()


def test_users_are_seen_where_they_are_named(tmp_path: Path) -> None:
    """A bound user, a successful sign-in and an explicit call count; a failure does not."""
    with attached(users_dir=str(tmp_path)) as rig, reraising():
        with bind(user_id="ann"):
            pass
        auth_event("login", method="password", outcome="success", user_id="bob")
        auth_event("login", method="password", outcome="failure", user_id="eve")
        auth_event("register", method="password", outcome="success", user_id="cem")
        user_active(7)
        assert {'users_active{day="2027-01-15"}': 4.0} == rig.samples("users_active")
        assert {
            'users_registered_total{auth_method="password",auth_provider="local"}': 1.0
        } == rig.samples("users_registered_total")
