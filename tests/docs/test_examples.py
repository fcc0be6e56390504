"""Every example of the guides runs as printed, and emits what its page says.

A page's ``python`` blocks run one after the other as one program. A block that begins with
``# file: NAME`` is written to that file instead, for the blocks after it to import. A ``toml`` block
is the ``watchkeeper.toml`` beside the program. Commands in ``sh`` blocks must be ones that our
command line understands. The comment ``<!-- emits … -->`` at a page's end lists what must have been
seen: ``spans``, ``metrics`` (names on the wire) and ``events``, each a list separated by commas.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house.rooms import ROOT
from tests.instrument.recorder.collector import Collector

from watchkeeper.cli.main import parser

PAGES = [
    ROOT / "README.md",
    *sorted(
        path
        for folder in ("integrations", "signals")
        for path in (ROOT / "docs" / folder).glob("*.md")
    ),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EMITS = re.compile(r"<!-- emits (.*?) -->", re.DOTALL)
FILE = re.compile(r"# file: (\S+)\n")


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of *page* in one language."""
    return [code for kind, code in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def promised(page: Path) -> dict[str, list[str]]:
    """Return what the page says that its examples emit."""
    found = EMITS.search(page.read_text(encoding="utf-8"))
    assert found is not None, f"{page.name} lacks its comment <!-- emits … -->"
    parts = (part.partition(":") for part in found[1].split(";"))
    return {kind.strip(): [one.strip() for one in names.split(",")] for kind, _, names in parts}


def written(page: Path, folder: Path) -> Path:
    """Write the page's files below *folder* and return the program."""
    program = []
    for code in blocks(page, "python"):
        named = FILE.match(code)
        if named:
            (folder / named[1]).write_text(code, encoding="utf-8")
        else:
            program.append(code)
    for code in blocks(page, "toml"):
        (folder / "watchkeeper.toml").write_text(code, encoding="utf-8")
    script = folder / "program.py"
    script.write_text("\n".join(program), encoding="utf-8")
    return script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_printed(
    page: Path, tmp_path: Path, redis_url: str, database_url: str
) -> None:
    """The examples end well, swallow no error of ours, and emit what the page promises."""
    script = written(page, tmp_path)
    result = tmp_path / "metrics.txt"
    collector = Collector()
    side = ROOT / "build" / "side" / page.stem
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*([str(side)] if side.is_dir() else []), str(ROOT / "src")]),
        "WATCHKEEPER_ENDPOINT": collector.url,
        "WATCHKEEPER_SPOOL_DIR": str(tmp_path / "spool"),
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": "unused",
        "ANTHROPIC_API_KEY": "unused",
    }
    runner = Path(__file__).with_name("page.py")
    try:
        done = subprocess.run(
            [sys.executable, str(runner), str(script), str(result)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        spans = {span.name for span in collector.spans()}
        events = {record.event_name for record in collector.logs()}
    finally:
        collector.close()
    assert done.returncode == 0, done.stderr
    samples = dict(
        line.rsplit(" ", 1)
        for line in result.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    errors = [series for series in samples if series.startswith("watchkeeper_hook_errors_total{")]
    assert errors == [], done.stdout
    seen = {
        "spans": spans,
        "events": events,
        "metrics": {series.partition("{")[0] for series, value in samples.items() if value != "0"},
    }
    missing = {
        kind: sorted(set(names) - seen[kind])
        for kind, names in promised(page).items()
        if set(names) - seen[kind]
    }
    assert missing == {}, f"seen: {seen}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_commands_that_exist(page: Path) -> None:
    """Each ``watchkeeper`` command of the page is one that our command line understands."""
    commands = [
        line for code in blocks(page, "sh") for line in code.splitlines() if "watchkeeper " in line
    ]
    for line in commands:
        words = shlex.split(line, comments=True)
        if "watchkeeper" in words and "pip" not in words:
            parser().parse_args(words[words.index("watchkeeper") + 1 :])


def test_the_readme_leads_to_every_guide() -> None:
    """The first page links each guide of a library or signal."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    missing = [page.name for page in PAGES[1:] if f"({page.relative_to(ROOT)})" not in readme]

    assert [] == missing
