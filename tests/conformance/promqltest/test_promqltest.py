"""Prometheus' own PromQL scripts against our engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.promqltest.page import PAGE, render
from tests.conformance.promqltest.runner import outcomes
from tests.corpora import HOME, corpus

_SCRIPTS = sorted(path.name for path in (HOME / "promqltest").glob("*.test")) or ["missing"]
_KNOWN = frozenset(
    line
    for line in (Path(__file__).parent / "known_failures.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


@pytest.mark.parametrize("name", _SCRIPTS)
def test_a_plain_case_passes_unless_it_is_listed(name: str) -> None:
    """A plain case passes, and a listed case that passes must leave the list."""
    plain = [one for one in outcomes(corpus("promqltest") / name) if one.tier == "plain"]
    failing = {one.name: one.detail for one in plain if one.verdict != "pass"}
    listed = {entry for entry in _KNOWN if entry.split(":")[0] == name}
    assert listed == set(failing), failing


@pytest.mark.parametrize("name", _SCRIPTS)
def test_other_cases_are_right_or_refused(name: str) -> None:
    """What this engine does not do is refused by name, never answered wrongly."""
    others = [one for one in outcomes(corpus("promqltest") / name) if one.tier != "plain"]
    assert [] == [one for one in others if one.verdict not in {"pass", "refused"}]


def test_the_list_names_only_known_scripts() -> None:
    """Every listed case belongs to a script of the corpus."""
    corpus("promqltest")
    assert set() == {entry for entry in _KNOWN if entry.split(":")[0] not in _SCRIPTS}


def test_the_published_table_is_up_to_date() -> None:
    """The page in the reference says what the engine does today."""
    corpus("promqltest")
    assert PAGE.read_text(encoding="utf-8") == render()
