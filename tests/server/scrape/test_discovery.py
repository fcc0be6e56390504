"""Targets from files and from settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from watchkeeper.errors import SettingError
from watchkeeper.server.scrape.discovery import TargetFolder, static_target


def urls(folder: TargetFolder) -> list[str]:
    """Return the addresses found now."""
    return [spec.url for spec in folder.read()]


def test_targets_come_and_go_with_their_files(tmp_path: Path) -> None:
    """JSON and YAML are read, changes are seen, a missing folder is no target."""
    folder = TargetFolder(tmp_path / "targets")
    assert urls(folder) == []
    (tmp_path / "targets").mkdir()
    one = tmp_path / "targets" / "one.json"
    one.write_text(json.dumps([{"targets": ["a:1", "a:2"], "labels": {"job": "api"}}]))
    (tmp_path / "targets" / "two.yml").write_text(
        "- targets: ['b:1', 'b:1']\n  labels: {__metrics_path__: /m, __scheme__: https}\n"
    )
    (tmp_path / "targets" / "notes.txt").write_text("nothing")
    assert urls(folder) == ["http://a:1/metrics", "http://a:2/metrics", "https://b:1/m"]
    one.unlink()
    assert urls(folder) == ["https://b:1/m"]


@pytest.mark.parametrize(
    "text", ["{", "a: b", "[1]", "[{}]", '[{"targets": ["a:1"], "labels": {"not a name": "x"}}]']
)
def test_a_broken_file_changes_nothing(tmp_path: Path, text: str) -> None:
    """A file that stops to parse, half-written for example, keeps its last targets."""
    folder = TargetFolder(tmp_path)
    file = tmp_path / "t.json"
    file.write_text(json.dumps([{"targets": ["a:1"]}]))
    before = urls(folder)
    file.write_text(text)
    os.utime(file, ns=(1, 1))

    assert before == ["http://a:1/metrics"]
    assert before == urls(folder)


@pytest.mark.parametrize(
    ("text", "url", "labels"),
    [
        ("localhost:9100", "http://localhost:9100/metrics", ()),
        ("[::1]:9/x/y,job=node,zone=a", "http://[::1]:9/x/y", (("job", "node"), ("zone", "a"))),
    ],
)
def test_a_target_in_one_word(text: str, url: str, labels: tuple[tuple[str, str], ...]) -> None:
    """``host:port/path,label=value`` names a target."""
    spec = static_target(text)

    assert (url, labels) == (spec.url, spec.labels)


@pytest.mark.parametrize("text", ["", "localhost", "localhost:x", "a b:1", "a:1,job", "a:1,j-b=x"])
def test_a_wrong_target_is_refused(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(SettingError, match=r"127\.0\.0\.1:9100"):
        static_target(text)
