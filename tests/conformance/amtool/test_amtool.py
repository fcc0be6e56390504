"""Real amtool and we say the same about the same files."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
import yaml
from tests.conformance.amtool.cases import CASES, Case
from tests.conformance.amtool.mutations import mutated
from tests.conformance.amtool.page import PAGE, render
from tests.conformance.amtool.verdicts import NEWER, amtool, corpus_verdicts, ours, program
from tests.corpora import corpus

from watchkeeper.errors import ConfigFileError
from watchkeeper.server.alerts.config.loader import check_file, check_text, load_config_file
from watchkeeper.server.alerts.config.route import matching_routes

_CHANGES = 80
_TREES = 30
_ALERTS = 4
_NAMES = ("team", "severity", "env")
_VALUES = ("a", "b", "ab", "", "a.b", "A")
_PATTERNS = ("a|b", "a.*", ".+", ".*", "", "[ab]+", "(?i)a", "a\\.b")


@pytest.mark.timeout(480)
def test_verdicts_on_the_corpus_are_amtools() -> None:
    """Every file of the corpus has amtool's exit code, but for good ones that are too new for it."""
    wrong = [one for one in corpus_verdicts() if (one.amtool != one.ours) != (one.file in NEWER)]

    assert wrong == []


@pytest.mark.parametrize("name", sorted(NEWER))
def test_newer_files_are_good(name: str) -> None:
    """A file that is too new for amtool is good: Alertmanager's own test loads it."""
    assert ours(corpus("alertmanager-config") / name) == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdicts_on_our_own_cases_are_amtools(case: Case, tmp_path: Path) -> None:
    """Each rule of the file is judged as amtool judges it."""
    path = tmp_path / "am.yml"
    path.write_text(case.text, encoding="utf-8")

    assert amtool("check-config", str(path)).returncode == ours(path) == (0 if case.good else 1)


@pytest.mark.timeout(480)
def test_verdicts_on_changed_files_are_amtools(tmp_path: Path) -> None:
    """Good files with a line, name, value or character changed are judged as amtool judges them."""
    files = [
        path.read_text(encoding="utf-8")
        for path in sorted(corpus("alertmanager-config").iterdir())
        if path.name not in NEWER
    ] + [case.text for case in CASES if case.good]
    path = tmp_path / "am.yml"
    wrong = {}
    for seed in range(_CHANGES):
        text = mutated(seed, files)
        path.write_text(text, encoding="utf-8")
        told = amtool("check-config", str(path))
        if (told.returncode == 0) != (ours(path) == 0) and "not found in type" not in told.stdout:
            wrong[seed] = told.stdout

    assert wrong == {}


@pytest.mark.parametrize("seed", range(5))
def test_no_text_breaks_the_loader(seed: int) -> None:
    """Whatever a file holds, the answer is a configuration or an error of ours."""
    files = [path.read_text(encoding="utf-8") for path in corpus("alertmanager-config").iterdir()]
    for number in range(100):
        text = mutated(seed * 1000 + number, files)
        for _ in range(3):
            text = mutated(seed * 1000 + number, [text])
        with contextlib.suppress(ConfigFileError):
            check_text(text, "am.yml")


def test_what_is_not_sent_to_is_refused_by_name() -> None:
    """No file of the corpus is served that has a receiver which nothing is sent to."""
    for path in sorted(corpus("alertmanager-config").iterdir()):
        try:
            foreign = check_file(path).unsupported
        except ConfigFileError:
            continue
        if not foreign:
            assert load_config_file(path).receivers
            continue
        with pytest.raises(ConfigFileError) as caught:
            load_config_file(path)
        assert foreign[0][1] in str(caught.value)


def test_amtool_loads_what_is_shown(tmp_path: Path) -> None:
    """The configuration as it is shown is one that amtool loads, with the same routes."""
    path = corpus("alertmanager-config") / "conf.good.yml"
    again = tmp_path / "am.yml"
    again.write_text(check_file(path).config.original, encoding="utf-8")

    shown = [amtool("config", "routes", "show", f"--config.file={one}") for one in (path, again)]

    assert [one.returncode for one in shown] == [0, 0], shown[1].stderr
    assert shown[0].stdout == shown[1].stdout


def test_the_page_is_current() -> None:
    """docs/reference/alertmanager-conformance.md is what the verdicts generate."""
    program()

    assert render() == PAGE.read_text(encoding="utf-8")


def _matcher(source: random.Random) -> str:
    name, op = source.choice(_NAMES), source.choice(("=", "!=", "=~", "!~"))
    value = source.choice(_PATTERNS if "~" in op else _VALUES)
    return f"{name}{op}{value}" if source.random() < 0.3 else f'{name}{op}"{_escaped(value)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")


def _route(source: random.Random, depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    if source.random() < 0.8:
        found["receiver"] = f"r{source.randrange(8)}"
    if source.random() < 0.4:
        found["continue"] = True
    kind = source.random()
    if kind < 0.25:
        found["match"] = {source.choice(_NAMES): source.choice(_VALUES)}
    elif kind < 0.5:
        found["match_re"] = {source.choice(_NAMES): source.choice(_PATTERNS)}
    if kind > 0.4:
        found["matchers"] = [_matcher(source) for _ in range(source.randrange(3))]
    if depth:
        found["routes"] = [_route(source, depth - 1) for _ in range(source.randrange(4))]
    return found


def _alert(source: random.Random) -> dict[str, str]:
    return {name: source.choice(_VALUES) for name in _NAMES if source.random() < 0.7}


@pytest.mark.parametrize("seed", range(_TREES))
def test_an_alert_goes_where_amtool_says(seed: int, tmp_path: Path) -> None:
    """On a random tree, random labels find the receivers that amtool finds, in its order."""
    source = random.Random(seed)  # noqa: S311 - the same trees in every run
    path = tmp_path / "am.yml"
    tree = {
        "route": {
            "receiver": "r0",
            "routes": [_route(source, 3) for _ in range(source.randrange(1, 5))],
        },
        "receivers": [{"name": f"r{number}"} for number in range(8)],
    }
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    route = load_config_file(path).route

    for _ in range(_ALERTS):
        labels = _alert(source)
        words = [f"{name}={value}" for name, value in labels.items()]
        told = amtool("config", "routes", "test", f"--config.file={path}", *words)

        assert told.returncode == 0, told.stderr
        assert (
            ",".join(one.receiver for one in matching_routes(route, labels)) == told.stdout.strip()
        )
