"""What Debian's promtool and our command line say about the same files."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.conformance.promtool.cases import CASES
from tests.corpora import corpus

from watchkeeper.cli.main import main

__all__ = ["NEWER", "Verdict", "corpus_verdicts", "ours", "own_verdicts", "promtool"]


class Verdict(NamedTuple):
    """Two exit codes for one file."""

    command: str
    """``check`` or ``test``."""
    file: str
    promtool: int
    ours: int


class Newer(NamedTuple):
    """A file that is too new for promtool 2.42."""

    right: int
    """The exit code that its authors expect."""
    reason: str


NEWER: dict[tuple[str, str], Newer] = {
    ("test", "promtool/start-time-test.yml"): Newer(0, "start_timestamp"),
    ("check", "rulefmt/utf-8_annotation.good.yaml"): Newer(0, "UTF-8 names"),
    ("check", "rulefmt/utf-8_lname.good.yaml"): Newer(0, "UTF-8 names"),
    ("check", "rulefmt/legacy_validation_annotation.bad.yaml"): Newer(
        0, "UTF-8 names; bad only for `--names legacy`"
    ),
}
"""Where our exit code is another one than promtool 2.42's, and why."""


def promtool(command: str, path: Path, folder: Path) -> int:
    """Return the exit code of promtool in *folder*."""
    words = ["promtool", command, "rules", str(path)]
    return subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode


def ours(command: str, path: Path, folder: Path, *options: str) -> int:
    """Return the exit code of our command in *folder*."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return main(["rules", command, *options, str(path)])
    finally:
        os.chdir(before)


@cache
def corpus_verdicts() -> tuple[Verdict, ...]:
    """Return the verdicts on the corpora, in their order."""
    return tuple(_corpus())


def _corpus() -> Iterator[Verdict]:
    for name, commands in (("promtool", ("check", "test")), ("rulefmt", ("check",))):
        folder = corpus(name)
        for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
            for command in commands:
                file = Path(path.name)
                yield Verdict(
                    command,
                    f"{name}/{path.name}",
                    promtool(command, file, folder),
                    ours(command, file, folder),
                )


@cache
def own_verdicts() -> tuple[Verdict, ...]:
    """Return the verdicts on our own cases, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(_own(Path(folder)))


def _own(folder: Path) -> Iterator[Verdict]:
    for number, case in enumerate(CASES):
        place = folder / str(number)
        place.mkdir()
        (place / "tests.yml").write_text(case.tests, encoding="utf-8")
        (place / "rules.yml").write_text(case.rules or "groups: []\n", encoding="utf-8")
        file = Path("tests.yml")
        yield Verdict("test", case.name, promtool("test", file, place), ours("test", file, place))
