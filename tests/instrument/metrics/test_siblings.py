"""The dead are folded exactly once, whatever happens in between; files hold what they promise."""

from __future__ import annotations

import math
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.instrument.metrics.cells import KEYS, LINE_END, VALUES, FileCells, Series
from watchkeeper.instrument.metrics.siblings import Siblings
from watchkeeper.instrument.metrics.totals import Totals
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME

COST = Series("llm.cost", 'tenant_id="a"', 1)
RUNS = Series("pipeline.run.duration", "", len(METRIC_BY_NAME["pipeline.run.duration"].buckets) + 2)


def seen(folder: Path, own: str = "") -> Siblings:
    """Return a reader of the group in *folder*."""
    return Siblings(folder, lambda metric: metric.series_max, own)


def sums(totals: Totals) -> dict[str, float]:
    """Return the value or sum of each series."""
    return {
        f"{metric.name} {labels}": cells[-1]
        for metric, family in totals.families()
        for labels, cells in family.items()
    }


def dead_worker(folder: Path, amount: float) -> None:
    """Leave the files of a process that counted *amount* and died."""
    file = FileCells(folder)
    file.take(COST)[0] = amount
    file.take(RUNS)[-1] = amount
    file.leave()


def exiting(function: Callable[..., Any], at: int, count: list[int], *, after: bool) -> Any:
    """Return *function* so that the process ends right before or after its call number *at*."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        last = count[0] == at
        if last and not after:
            os._exit(9)
        try:
            return function(*args, **kwargs)
        finally:
            if last:
                os._exit(9)

    return wrapper


def crashed(folder: Path, at: int, *, after: bool) -> int:
    """Bury the dead in a child that ends at one step; return its exit code, 0 if it got through."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            count = [0]
            for name in ("write_text", "rename", "unlink"):
                setattr(Path, name, exiting(getattr(Path, name), at, count, after=after))
            seen(folder).bury()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, *, after: bool
) -> None:
    """Whichever step of a burial is the last, the sum stays the same, and nothing is left over."""
    total = math.fsum([0.1] * 3)
    expected = {'llm.cost tenant_id="a"': total, "pipeline.run.duration ": total}
    codes = []
    for at in range(1, 20):
        folder = tmp_path / str(at)
        folder.mkdir()
        for _ in range(3):
            dead_worker(folder, 0.1)
        codes.append(crashed(folder, at, after=after))
        assert expected == sums(seen(folder).totals())
        assert expected == sums(seen(folder).totals())
        assert {"lock", "retired"} == {path.name for path in folder.iterdir()}
        if codes[-1] == 0:
            break

    assert [9] * 14 + [0] == codes


def test_a_reader_never_sees_less_while_others_die(tmp_path: Path) -> None:
    """Counters grow under a reader while another process folds one worker after the other."""
    end = threading.Event()
    values: list[float] = []

    def read() -> None:
        reader = seen(tmp_path)
        while not end.is_set():
            values.append(sums(reader.totals()).get('llm.cost tenant_id="a"', 0.0))

    thread = threading.Thread(target=read)
    thread.start()
    other = seen(tmp_path)
    for _ in range(150):
        dead_worker(tmp_path, 0.1)
        other.bury()
    end.set()
    thread.join()

    assert sorted(values) == values
    assert 15.0 == sums(other.totals())['llm.cost tenant_id="a"']


def test_a_sum_does_not_depend_on_who_died(tmp_path: Path) -> None:
    """Folding changes the order of the summands and must not change the last digit."""
    amounts = [0.1, 0.2, 0.3, 1e-9, 7.7, 1e9]
    living = [FileCells(tmp_path) for _ in amounts]
    for file, amount in zip(living, amounts, strict=True):
        file.take(COST)[0] = amount
    reader = seen(tmp_path)
    found = [sums(reader.totals())]
    for file in living:
        file.leave()
        found.append(sums(reader.totals()))

    assert [found[0]] * len(found) == found


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """A series whose line was written in part is not shown, and the next ones are."""
    file = FileCells(tmp_path)
    file.take(COST)[0] = 2
    keys = tmp_path / f"{file.name}{KEYS}"
    line = f'1 1 llm.cost tenant_id="b"{LINE_END}'.encode()
    shown = []
    for cut in range(len(line)):
        keys.write_bytes(keys.read_bytes()[: len(line)] + line[:cut])
        shown.append(sums(seen(tmp_path, file.name).totals()))
    keys.write_bytes(keys.read_bytes() + b"\n" + line)
    whole = sums(seen(tmp_path, file.name).totals())
    file.leave()

    assert all({'llm.cost tenant_id="a"': 2.0} == one for one in shown)
    assert {'llm.cost tenant_id="a"': 2.0, 'llm.cost tenant_id="b"': 0.0} == whole


def test_a_full_disk_costs_the_siblings_view_and_nothing_else(tmp_path: Path) -> None:
    """Where no block can be had, cells are plain memory and known as strays; counting goes on."""
    file = FileCells(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        cells = [
            file.take(Series("llm.cost", f'tenant_id="{number}"', 1)) for number in range(9_000)
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for one in cells:
        one[0] += 1.0
    file.leave()

    assert 9_000 == sum(one[0] for one in cells)
    assert len(file.strays) >= 9_000 - 8_192


def test_cells_of_earlier_segments_stay_valid(tmp_path: Path) -> None:
    """Storage grows without moving what instruments hold."""
    file = FileCells(tmp_path)
    cells = [file.take(Series("llm.cost", f'tenant_id="{number}"', 1)) for number in range(20_000)]
    for number, one in enumerate(cells):
        one[0] = number
    found = sums(Siblings(tmp_path, lambda _: 50_000, file.name).totals())
    file.leave()

    assert [float(number) for number in range(20_000)] == [
        found[f'llm.cost tenant_id="{number}"'] for number in range(20_000)
    ]


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """What was counted right before SIGKILL is there afterwards."""
    pid = os.fork()
    if pid == 0:
        cells = FileCells(tmp_path).take(COST)
        for _ in range(1_000):
            cells[0] += 1.0
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)

    assert 1_000.0 == sums(seen(tmp_path).totals())['llm.cost tenant_id="a"']


def test_files_of_a_process_that_died_while_it_joined_are_removed(tmp_path: Path) -> None:
    """Parts without values, of a process that is gone, go with the next burial."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    for suffix in (KEYS, ".new", ".saying"):
        (tmp_path / f"{child}-00000000{suffix}").write_bytes(b"")
    dead_worker(tmp_path, 1)
    seen(tmp_path).totals()

    assert [] == [path.name for path in tmp_path.iterdir() if str(child) in path.name]
    assert [] == list(tmp_path.glob(f"*{VALUES}"))
