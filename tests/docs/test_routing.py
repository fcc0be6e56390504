"""The guide about routes says what is true: its files are judged, and its commands print what it prints."""

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

from watchkeeper.cli.main import main
from watchkeeper.errors import UnsupportedConfigError
from watchkeeper.server.alerts.config.foreign import FOREIGN
from watchkeeper.server.alerts.config.loader import check_text, load_config_text

PAGE = ROOT / "docs" / "alerting" / "routing.md"
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
FILES = [code for kind, code in BLOCKS if kind == "yaml"]


@pytest.mark.parametrize("code", FILES, ids=range(len(FILES)))
def test_a_file_is_what_the_guide_says(code: str) -> None:
    """A file is served, unless its first line says what it is refused for, or that it is ours."""
    found = re.match(r"# refused: (.*)\n", code)
    if found:
        with pytest.raises(UnsupportedConfigError, match=re.escape(found[1])):
            load_config_text(code, "alertmanager.yml")
        return
    load_config_text(code, "alertmanager.yml")
    assert bool(check_text(code, "alertmanager.yml").own) == code.startswith("# own\n")


def test_alertmanager_loads_the_first_file(tmp_path: Path) -> None:
    """The file at the guide's beginning is Alertmanager's, but for the token that 0.25 has not."""
    program = shutil.which("amtool")
    if program is None:
        needed("amtool")
    path = tmp_path / "alertmanager.yml"
    path.write_text(FILES[0].replace("slack_app_token_file", "slack_api_url_file"), "utf-8")

    done = subprocess.run(
        [program, "check-config", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_commands_print_what_the_guide_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command, run beside the first file, prints the block that follows it."""
    (tmp_path / "alertmanager.yml").write_text(FILES[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told = [pair for pair in itertools.pairwise(BLOCKS) if pair[0][0] == "sh"]

    assert told
    for (_, command), (kind, expected) in told:
        assert kind == "text"
        assert main(shlex.split(command)[1:]) == 0
        assert capsys.readouterr().out == expected


def test_every_receiver_that_is_refused_is_named() -> None:
    """The guide names each kind of receiver that nothing is sent to."""
    text = PAGE.read_text(encoding="utf-8")

    assert [kind for kind in FOREIGN if f"`{kind}_configs`" not in text] == []


def test_the_readme_leads_here() -> None:
    """The first page links the guide and the table of verdicts."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "(docs/alerting/routing.md)" in readme
    assert "(docs/reference/alertmanager-conformance.md)" in readme
