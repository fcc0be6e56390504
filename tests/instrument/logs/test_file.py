"""The log file: no line lost or torn, whatever happens to the file."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.instrument.logs.rig import Rig

from watchkeeper.instrument.logs.archive import Archive
from watchkeeper.instrument.logs.file import LogFile
from watchkeeper.testing.clock import FixedClock

WRITER = """
import sys
import watchkeeper

number, lines, path = sys.argv[1:]
watchkeeper.configure(
    service="files", endpoint="", log_file=path, log_stdout=False, log_file_bytes_max=400_000,
    log_burst_lines_max=10**9,
)
log = watchkeeper.get_logger("writer")
for line in range(int(lines)):
    log.info("line", writer=int(number), line=line)
watchkeeper.shutdown()
"""


class Files:
    """A log file in a directory of its own, with a clock."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.clock = FixedClock()
        self.path = path
        self.lost: list[int] = []
        self.instead: list[bytes] = []
        self.file = self.another(**options)
        self.archive = Archive(path, compress=True, days_max=7, bytes_max=1_000_000)

    def another(self, **options: Any) -> LogFile:
        """Return one more writer of the same file, as another process would be."""
        given: dict[str, Any] = {"bytes_max": 10_000, "period_s": 0, **options}
        return LogFile(
            self.path, lost=lambda: self.lost.append(1), fallback=self.instead.append, **given
        )

    def write(self, text: str) -> None:
        """Write one line."""
        self.file.write(f"{text}\n".encode(), self.clock.now_ns())

    def everything(self) -> str:
        """Return the text of all files, oldest first."""
        parts = [
            gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            for file in self.archive.files()
        ]
        return b"".join([*parts, self.path.read_bytes()]).decode()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return a log file that nothing was written to."""
    return Files(tmp_path / "logs" / "app.log")


def test_the_file_is_private(files: Files) -> None:
    """File and directory are made when they are missing, for this user alone."""
    files.write("a")

    assert "a\n" == files.path.read_text()
    assert 0o600 == stat.S_IMODE(files.path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(files.path.parent.stat().st_mode)


def test_a_full_file_is_set_aside(files: Files) -> None:
    """At its size the file is renamed and a new one begins; nothing is lost."""
    for number in range(5_000):
        files.write(f"line {number}")

    assert len(files.archive.files()) == 3
    assert all(file.stat().st_size < 15_000 for file in files.archive.files())
    assert "".join(f"line {number}\n" for number in range(5_000)) == files.everything()


@pytest.mark.parametrize(("period_s", "hours"), [(3_600, 1), (86_400, 24)])
def test_an_old_file_is_set_aside(tmp_path: Path, period_s: int, hours: int) -> None:
    """After its hour or day the file is renamed, but never while it is empty."""
    files = Files(tmp_path / "app.log", period_s=period_s)
    os.utime(tmp_path)
    files.write("first")
    os.utime(files.path, ns=(files.clock.now_ns(), files.clock.now_ns()))
    files.clock.advance(hours * 3_600 - 1)
    files.write("still first")
    before = len(files.archive.files())
    files.clock.advance(2)
    files.write("second")
    aside = files.archive.files()

    assert (0, 1) == (before, len(aside))
    assert ("first\nstill first\n", "second\n") == (aside[0].read_text(), files.path.read_text())


def test_another_process_follows(files: Files) -> None:
    """Who did not set the file aside itself writes to the new one within a second."""
    other = files.another()
    other.write(b"early\n", files.clock.now_ns())
    for number in range(2_000):
        files.write(f"line {number}")
    other.write(b"late, to the old file\n", files.clock.now_ns())
    files.clock.advance(1)
    other.write(b"new\n", files.clock.now_ns())
    text = files.everything()

    assert files.path.read_text().endswith("new\n")
    assert [1, 1, 1] == [
        text.count(word) for word in ("early\n", "late, to the old file\n", "new\n")
    ]


def test_compression_waits_for_every_writer(files: Files) -> None:
    """A file that somebody still has open stays as it is; then it is compressed and kept whole."""
    other = files.another()
    other.write(b"early\n", files.clock.now_ns())
    for number in range(1_500):
        files.write(f"line {number}")
    files.archive.tend(files.clock.now_ns(), soon=True)
    first = files.archive.files()[0]
    files.clock.advance(1)
    other.look(files.clock.now_ns())
    files.archive.tend(files.clock.now_ns(), soon=True)
    packed = files.archive.files()[0]
    text = files.everything()

    assert [".000000Z", ".gz"] == [first.suffix, packed.suffix]
    assert 0o600 == stat.S_IMODE(packed.stat().st_mode)
    assert 1_501 == text.count("\n")
    assert not list(files.path.parent.glob(".*.tmp"))


def test_old_files_are_deleted(files: Files) -> None:
    """Files beyond the age are deleted, and the oldest of those beyond the total size."""
    now = files.clock.now_ns()
    files.path.parent.mkdir()
    ages = {"20251201T000000.000000Z.gz": 31, "20251230T000000.000000Z.gz": 2}
    ages |= {"20251231T000000.000000Z.gz": 1, "20260101T000000.000000Z.gz": 0}
    for name, days in ages.items():
        file = files.path.with_name(f"app.log.{name}")
        file.write_bytes(b"x" * 400_000)
        os.utime(file, ns=(now, now - days * 86_400 * 10**9))
    (files.path.parent / "app.log.notes").write_text("of somebody else")
    files.archive.tend(now)

    assert ["20251231", "20260101"] == [file.name[8:16] for file in files.archive.files()]
    assert (files.path.parent / "app.log.notes").exists()


@pytest.mark.parametrize("what", ["rename", "delete", "directory"])
def test_the_file_is_opened_again(files: Files, what: str) -> None:
    """After a rename, a deletion or the loss of the directory, lines go to a new file."""
    files.write("before")
    if what == "rename":
        files.path.rename(files.path.with_name("elsewhere"))
    elif what == "delete":
        files.path.unlink()
    else:
        shutil.rmtree(files.path.parent)
    files.clock.advance(1)
    files.write("after")

    assert "after\n" == files.path.read_text()
    assert [] == files.lost


def test_a_truncated_file_goes_on_at_its_start(files: Files) -> None:
    """After copytruncate the next line is at the beginning, without a hole of zeros."""
    files.write("before")
    os.truncate(files.path, 0)
    files.write("after")

    assert "after\n" == files.path.read_text()


def test_a_full_disk_costs_lines_not_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines are counted and handed to the fallback, and one sentence goes to stderr."""
    files = Files(Path("/dev/full"))
    for _ in range(3):
        files.write("line")

    assert ([1, 1, 1], [b"line\n"] * 3) == (files.lost, files.instead)
    assert 1 == capsys.readouterr().err.count("cannot be written")
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_cannot_be_opened_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that is no directory costs lines until it is put right."""
    blocker = tmp_path / "logs"
    blocker.write_text("a file")
    files = Files(blocker / "app.log")
    files.write("lost")
    blocker.unlink()
    files.clock.advance(1)
    files.write("kept")

    assert ([1], "kept\n") == (files.lost, files.path.read_text())
    assert "cannot be written" in capsys.readouterr().err


def test_a_line_cut_by_a_full_disk_spoils_no_other(tmp_path: Path) -> None:
    """After half a line the next one begins on a line of its own."""
    code = f"""
import resource
from pathlib import Path
from watchkeeper.instrument.logs.file import LogFile
lost = []
file = LogFile(Path({str(tmp_path / "app.log")!r}), bytes_max=10**6, period_s=0,
               lost=lambda: lost.append(1))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
for number in range(4):
    file.write(b"x" * 39 + b"\\n", 10**18)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
file.write(b"after\\n", 10**18)
print(len(lost))
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    lines = (tmp_path / "app.log").read_text().splitlines()

    assert "2" == done.stdout.strip()
    assert ["x" * 39, "x" * 39, "x" * 20, "after"] == lines


def test_a_descriptor_that_was_closed_is_not_written_to(files: Files, tmp_path: Path) -> None:
    """If somebody closed our descriptor its number is left alone, whatever it means by now."""
    files.write("before")
    fd = files.file._fd
    with (tmp_path / "of somebody else").open("wb") as other:
        os.dup2(other.fileno(), fd)
        files.clock.advance(1)
        files.write("after")
        os.close(fd)

    assert "before\nafter\n" == files.path.read_text()
    assert b"" == (tmp_path / "of somebody else").read_bytes()


def test_threads_lose_no_line_while_files_change(files: Files) -> None:
    """Several threads write while the file is set aside again and again."""

    def write(thread: int) -> None:
        for number in range(2_000):
            files.write(f"{thread}-{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Counter(files.everything().splitlines())

    assert [] == files.lost
    assert {f"{t}-{n}": 1 for t in range(4) for n in range(2_000)} == found


def test_a_terminal_gets_its_lines_and_the_file_gets_json(tmp_path: Path) -> None:
    """Beside console lines the file has the same entries as JSON."""
    kept: list[bytes] = []
    rig = Rig(console=True, file=lambda line, _: kept.append(line))
    rig.write("order.paid", order_id=7)

    assert "order_id=7" in rig.out.getvalue()
    assert 7 == json.loads(kept[0])["order_id"]
    assert [] == list(tmp_path.iterdir())


def test_four_processes_lose_and_tear_no_line(tmp_path: Path) -> None:
    """Every line of four real processes is there exactly once, over files set aside and packed."""
    path, lines = tmp_path / "app.log", 20_000
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number), str(lines), str(path)],
            cwd=tmp_path, stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    said = [writer.communicate(timeout=200)[1] for writer in writers]
    files = Files(path)
    during = [file.suffix for file in files.archive.files()]
    files.archive.tend(files.clock.now_ns(), soon=True)
    after = {file.suffix for file in files.archive.files()}
    found: Counter[tuple[int, int]] = Counter()
    for text in files.everything().splitlines():
        entry = json.loads(text)
        found[entry["writer"], entry["line"]] += 1

    assert [(0, b"")] * 4 == [
        (writer.returncode, text) for writer, text in zip(writers, said, strict=True)
    ]
    assert {(w, n): 1 for w in range(4) for n in range(lines)} == found
    assert len(during) > 10
    assert {".gz"} == after
