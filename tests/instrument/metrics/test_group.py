"""Processes that belong together find each other, and nobody else's files are trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house.rooms import ROOT

from watchkeeper.instrument.metrics import group
from watchkeeper.instrument.metrics.cells import FileCells

STARTED = """
import multiprocessing, os, sys
from watchkeeper.instrument.metrics import group

def say(queue):
    queue.put(group.leader())

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    child = context.Process(target=say, args=(queue,))
    child.start()
    print(queue.get() == group.own(), group.leader())
    child.join()
"""
COUNTING = """
import multiprocessing, os, sys
import watchkeeper

def count(amount):
    runtime = watchkeeper.configure(service="shop", endpoint="", log_level="error")
    runtime.metrics.counter("llm.cost").child(("a", "b", "c", "d")).inc(amount)
    page = runtime.metrics.exposition().decode()
    return [line for line in page.splitlines() if line.startswith("llm_cost_usd_total{")]

if __name__ == "__main__":
    if sys.argv[1] == "fork":
        count(1)
    with multiprocessing.get_context(sys.argv[1]).Pool(2, maxtasksperchild=1) as pool:
        for number in range(5):
            lines = pool.apply(count, (2,))
    print(lines[0].rpartition(" ")[2], len(lines))
"""


def output(code: str, folder: Path, *arguments: str) -> str:
    """Return what a program prints."""
    script = folder / "program.py"
    script.write_text(code, encoding="utf-8")
    run = folder / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "XDG_RUNTIME_DIR": str(run)}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_belongs_to_its_parent(method: str, tmp_path: Path) -> None:
    """However it is started, the child's group is its parent's; the parent alone has none."""
    assert "True None" == output(STARTED, tmp_path, method)


@pytest.mark.parametrize(("method", "total"), [("fork", "11.0"), ("spawn", "10.0")])
def test_a_pool_whose_processes_come_and_go_adds_up(
    method: str, total: str, tmp_path: Path
) -> None:
    """Each of five processes counts once; a parent that forks counts with them."""
    assert f"{total} 1" == output(COUNTING, tmp_path, method)


def test_the_leader_is_more_than_a_process_id() -> None:
    """A process that is gone, or has another start time, is another leader."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    alive = group.own(child)
    os.waitpid(child, 0)

    assert group.own() == group.own(os.getpid())
    assert alive != group.own(child)


def test_a_named_group_is_the_same_everywhere() -> None:
    """A setting can name the group; its directory gives nothing of the name away."""
    assert group.named("shop") == group.named("shop")
    assert group.named("shop") != group.named("desk")
    assert "shop" not in group.named("shop")


def test_only_a_directory_of_this_user_is_used(tmp_path: Path) -> None:
    """A link, a file, or a directory that others may enter is refused."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    for name in ("link", "file", "open"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "link" / "metrics").symlink_to(target)
    (tmp_path / "file" / "metrics").write_text("")
    (tmp_path / "open" / "metrics").mkdir()
    (tmp_path / "open" / "metrics").chmod(0o755)
    for name in ("link", "file", "open"):
        with pytest.raises(PermissionError):
            group.group_dir(tmp_path / name / "metrics", "m1-n-x")

    assert [] == list(target.iterdir())


def test_the_directory_of_a_dead_group_is_removed(tmp_path: Path) -> None:
    """Groups whose leader and members are gone go; those with a living one stay."""
    base = tmp_path / "run" / "metrics"
    (tmp_path / "run").mkdir(mode=0o700)
    child = os.posix_spawn("/bin/true", ["true"], {})
    leader = group.own(child)
    os.waitpid(child, 0)
    dead = group.group_dir(base, leader)
    FileCells(dead).leave()
    orphan = group.group_dir(base, leader.replace("m1-", "m1-9", 1))
    member = FileCells(orphan)
    led = group.group_dir(base, group.own(os.getppid()))
    (base / f"gone-1-{leader}").mkdir()
    group.clear_dead(base, "m1-n-mine")
    left = {path.name for path in base.iterdir()}
    member.leave()

    assert {orphan.name, led.name} == left
