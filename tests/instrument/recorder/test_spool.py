"""The spool: order, cap, adoption and damage."""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter
from pathlib import Path

import pytest

from watchkeeper.instrument.recorder.records import Batch, Signal
from watchkeeper.instrument.recorder.spool import Spool


def spool_at(
    root: Path, drops: Counter[str] | None = None, *, bytes_max: int = 1_000, service: str = "shop"
) -> Spool:
    """Return a spool that counts its drops."""
    ticks = itertools.count(1)
    counted: Counter[str] = Counter() if drops is None else drops

    def on_drop(signal: Signal, items: int, reason: str) -> None:
        counted[f"{signal} {reason}"] += items

    return Spool(root, service, bytes_max=bytes_max, now_ns=lambda: next(ticks), on_drop=on_drop)


def drained(spool: Spool) -> list[Batch]:
    """Take every batch out."""
    batches = []
    while (found := spool.oldest()) is not None:
        batches.append(found[1])
        spool.discard(found[0])
    return batches


def batch(text: bytes, signal: Signal = "traces", items: int = 1) -> Batch:
    """Return a batch."""
    return Batch(signal, text, items)


def test_batches_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Oldest first, the same bytes, signal and item count."""
    given = [batch(b"one", items=7), batch(b"", "logs"), batch(b"\x00\xff" * 100)]
    spool = spool_at(tmp_path)
    for each in given:
        spool.put(each)
    assert (3, 203) == (len(spool), spool.size)
    assert given == drained(spool)
    assert (0, 0) == (len(spool), spool.size)
    spool.close()
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """Directories have mode 0700 and files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        spool = spool_at(tmp_path / "spool")
        spool.put(batch(b"secret"))
    finally:
        os.umask(before)
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path).rglob("*")}
    assert {True: 0o700, False: 0o600} == modes
    spool.close()


def test_beyond_the_cap_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    """The size on disk never exceeds the cap, and each lost item is counted."""
    drops: Counter[str] = Counter()
    spool = spool_at(tmp_path, drops, bytes_max=100)
    for number in range(5):
        spool.put(batch(bytes([number]) * 40, items=10))
    assert {"traces spool_full": 30} == dict(drops)
    assert [3, 4] == [each.body[0] for each in drained(spool)]
    spool.put(batch(b"x" * 101, "logs", items=3))
    assert 3 == drops["logs spool_full"]
    assert 0 == spool.size
    spool.close()


def test_leftovers_of_a_dead_process_are_adopted_once(tmp_path: Path) -> None:
    """Who releases its lock leaves its batches to exactly one other of the same service."""
    dead, first, second, stranger = (
        spool_at(tmp_path), spool_at(tmp_path), spool_at(tmp_path),
        spool_at(tmp_path, service="other"),
    )  # fmt: skip
    dead.put(batch(b"a"))
    dead.put(batch(b"b"))
    assert 0 == first.adopt()
    dead.release()
    assert 0 == stranger.adopt()
    assert 2 == first.adopt()
    assert 0 == second.adopt()
    assert [b"a", b"b"] == [each.body for each in drained(first)]
    for spool in (first, second, stranger):
        spool.close()


def test_half_written_and_vanished_files_do_no_harm(tmp_path: Path) -> None:
    """A file without its final name is removed; one that cannot be read is counted."""
    drops: Counter[str] = Counter()
    dead = spool_at(tmp_path)
    dead.put(batch(b"whole", items=2))
    dead.put(batch(b"vanishing", items=5))
    (whole, vanishing) = sorted(tmp_path.rglob("*.otlp"))
    (whole.parent / "half.tmp").write_bytes(b"ha")
    dead.release()
    spool = spool_at(tmp_path, drops)
    assert 2 == spool.adopt()
    assert [] == list(tmp_path.rglob("*.tmp"))
    next(path for path in tmp_path.rglob("*.otlp") if path.name == vanishing.name).unlink()
    assert [b"whole"] == [each.body for each in drained(spool)]
    assert {"traces spool_read": 5} == dict(drops)
    spool.close()


@pytest.mark.parametrize("service", ["../../etc", "", "a/b\x00c", "x" * 500, ".hidden"])
def test_a_service_name_stays_inside_the_root(tmp_path: Path, service: str) -> None:
    """Whatever the service is called, its directory is directly under the root."""
    spool = spool_at(tmp_path / "root", service=service)
    spool.put(batch(b"x"))
    (home,) = (tmp_path / "root").iterdir()
    assert home.parent == tmp_path / "root"
    assert not home.name.startswith(".")
    assert {"root"} == {path.name for path in tmp_path.iterdir()}
    spool.close()
