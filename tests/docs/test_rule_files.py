"""The guide about rule files says what is true: its commands print what it prints."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.docs.test_examples import BLOCK
from tests.house.rooms import ROOT
from tests.services import needed

from watchkeeper.cli.main import main, parser

PAGE = ROOT / "docs" / "alerting" / "rule-files.md"
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
COMMANDS = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the guide's files below an empty folder, and go there."""
    for code in (code for kind, code in BLOCKS if kind == "yaml"):
        named = re.match(r"# file: (\S+)\n", code)
        assert named is not None
        path = tmp_path / named[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_commands_print_what_the_guide_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command about rules prints the block that follows it, and ends as its comment says."""
    told = [
        pair for pair in itertools.pairwise(BLOCKS) if pair[0][1].startswith("watchkeeper rules")
    ]

    assert 4 == len(told)
    for (_, command), (kind, expected) in told:
        assert kind == "text"
        code = main(shlex.split(command, comments=True)[1:])
        assert (expected, "exit code 1" in command) == (capsys.readouterr().out, code == 1)


def test_promtool_ends_as_the_guide_says() -> None:
    """Debian's promtool, over the same files, has the exit codes that the guide shows."""
    if shutil.which("promtool") is None:
        needed("promtool")
    for command in (line for line in COMMANDS if line.startswith("watchkeeper rules")):
        _, _, action, *paths = shlex.split(command, comments=True)
        done = subprocess.run(
            ["promtool", action, "rules", *paths], capture_output=True, timeout=80, check=False
        )
        assert ("exit code 1" in command) == (done.returncode == 1), command


def test_every_command_is_understood() -> None:
    """Each ``watchkeeper`` command of the guide is one that our command line understands."""
    for command in COMMANDS:
        name, *words = shlex.split(command, comments=True)
        if name == "watchkeeper":
            parser().parse_args(words)


def test_the_readme_leads_here() -> None:
    """The first page links the guide and the table of verdicts."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "(docs/alerting/rule-files.md)" in readme
    assert "(docs/reference/rules-conformance.md)" in readme
