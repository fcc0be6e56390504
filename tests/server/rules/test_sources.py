"""Which files are rule files, each time that rules are loaded."""

from __future__ import annotations

from pathlib import Path

from watchkeeper.server.rules.manager import RuleText
from watchkeeper.server.rules.sources import RuleSources


def names(found: list[Path | RuleText]) -> list[str]:
    """Return the names of what was found."""
    return [one.name for one in found]


def test_files_folders_and_patterns_are_found(tmp_path: Path) -> None:
    """A folder means its YAML files, a pattern what matches it, and each file counts once."""
    for name in ("b.yml", "a.yaml", "c.txt", "x-1.rules", "x-2.rules"):
        (tmp_path / name).touch()
    patterns = [tmp_path / "b.yml", tmp_path, tmp_path / "x-?.rules"]
    assert ["b.yml", "a.yaml", "x-1.rules", "x-2.rules"] == names(RuleSources(patterns).find())


def test_without_patterns_the_given_rules_are_taken(tmp_path: Path) -> None:
    """The rules that ship stand in only where nothing was asked for."""
    shipped = RuleText("shipped", "groups: []\n")
    assert [shipped] == RuleSources([], [shipped]).find()
    assert ["gone.yml"] == names(RuleSources([tmp_path / "gone.yml"], [shipped]).find())


def test_files_come_and_go(tmp_path: Path) -> None:
    """A folder is looked at each time; a file that is gone from it is gone."""
    sources = RuleSources([tmp_path])
    (tmp_path / "a.yml").touch()
    (tmp_path / "b.yml").touch()
    assert ["a.yml", "b.yml"] == names(sources.find())
    (tmp_path / "a.yml").unlink()
    (tmp_path / "c.yml").touch()
    assert ["b.yml", "c.yml"] == names(sources.find())


def test_a_folder_that_is_empty_all_at_once_keeps_its_files(tmp_path: Path) -> None:
    """A folder that is not mounted must not look like rules that were taken away."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "a.yml").touch()
    sources = RuleSources([folder, tmp_path / "*.none"])
    assert ["a.yml", "*.none"] == names(sources.find())
    (folder / "a.yml").unlink()
    assert ["a.yml", "*.none"] == names(sources.find())
    folder.rmdir()
    assert ["a.yml", "*.none"] == names(sources.find())
