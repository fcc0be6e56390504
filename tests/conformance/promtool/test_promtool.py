"""Rule files and their unit tests: our exit codes are those of Debian's promtool."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from tests.conformance.promtool.cases import CASES
from tests.conformance.promtool.page import PAGE, render
from tests.conformance.promtool.verdicts import (
    NEWER,
    corpus_verdicts,
    ours,
    own_verdicts,
    promtool,
)
from tests.corpora import corpus
from tests.house.rooms import PACKAGE

from watchkeeper.define.render.prometheus import rule_file
from watchkeeper.define.rules import Profile, shipped_rules

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")

RULES = """
groups:
- name: alerts
  rules:
  - alert: InstanceDown
    expr: up == 0
    for: 5m
    labels: {severity: page}
    annotations:
      summary: Instance {{ $labels.instance }} down
      description: >-
        {{ $labels.instance }} of job {{ $labels.job }} has been down for more than 5 minutes.
  - {alert: AlwaysFiring, expr: vector(1)}
- name: records
  rules:
  - {record: 'job:test:count_over_time1m', expr: 'sum without (instance) (count_over_time(test[1m]))'}
  - {record: fixed_data, expr: vector(1)}
"""
"""What the corpus' tests ask of the rule file that it lacks."""


def test_the_corpus_has_promtools_exit_codes() -> None:
    """Each file of the corpora that promtool 2.42 can read has its exit code."""
    differ = [
        one
        for one in corpus_verdicts()
        if one.promtool != one.ours and (one.command, one.file) not in NEWER
    ]
    assert [] == differ


def test_files_that_are_too_new_have_the_exit_code_of_their_authors() -> None:
    """A listed file differs from promtool 2.42, and has the exit code that its authors expect."""
    found = {(one.command, one.file): one for one in corpus_verdicts()}
    for key, newer in NEWER.items():
        assert newer.right == found[key].ours != found[key].promtool, key


def test_legacy_names_are_judged_as_promtool_does() -> None:
    """With ``--names legacy`` every rule file of the corpus has promtool 2.42's exit code."""
    folder = corpus("rulefmt")
    verdicts = {
        one.file: (
            one.promtool,
            ours("check", Path(Path(one.file).name), folder, "--names", "legacy"),
        )
        for one in corpus_verdicts()
        if one.file.startswith("rulefmt/")
    }
    assert {} == {file: codes for file, codes in verdicts.items() if codes[0] != codes[1]}


def test_our_own_cases_have_promtools_exit_codes() -> None:
    """Each case has promtool's exit code, or the right one where promtool is too old."""
    differ = [
        (one, case.newer)
        for one, case in zip(own_verdicts(), CASES, strict=True)
        if one.ours != (one.promtool if case.newer is None else case.newer)
    ]
    assert [] == differ
    assert [] == [case.name for case in CASES if bool(case.reason) != (case.newer is not None)]


@pytest.mark.parametrize(
    ("name", "right", "old"),
    [
        ("unittest.yml", 0, 1),  # windows leave out a sample at their very start since Prometheus 3
        ("long-period.yml", 0, 0),
        ("failing.yml", 1, 1),
        ("rules_run.yml", 1, 1),
    ],
)
def test_the_corpus_tests_with_their_rules(tmp_path: Path, name: str, right: int, old: int) -> None:
    """With the rule file that the corpus lacks, tests hold where their authors say so.

    What reads native histograms is left out: neither program knows them.
    """
    document = yaml.safe_load((corpus("promtool") / name).read_text(encoding="utf-8"))
    for test in document["tests"]:
        test["input_series"] = [
            one for one in test.get("input_series", []) if "{{" not in str(one["values"])
        ]
        test["promql_expr_test"] = [
            one for one in test.get("promql_expr_test", []) if "{{" not in str(one)
        ]
    (tmp_path / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    (tmp_path / "rules.yml").write_text(RULES, encoding="utf-8")

    assert right == ours("test", Path(name), tmp_path)
    assert old == promtool("test", Path(name), tmp_path)


@pytest.mark.parametrize("profile", ["production", "demo"])
def test_shipped_rules_are_good_for_both(tmp_path: Path, profile: Profile) -> None:
    """The rules that ship pass ``rules check`` and ``promtool check rules``."""
    text = rule_file(shipped_rules(profile), keep_firing_for=False)
    (tmp_path / "rules.yml").write_text(text, encoding="utf-8")

    assert 0 == ours("check", Path("rules.yml"), tmp_path)
    assert 0 == promtool("check", Path("rules.yml"), tmp_path)


RULETESTS = PACKAGE / "define" / "ruletests"
UNIT_TESTS = sorted(
    path for path in RULETESTS.glob("*.yml") if "rule_files:" in path.read_text(encoding="utf-8")
)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_shipped_unit_tests_pass_with_both(path: Path) -> None:
    """Each unit test that ships passes with ours and with promtool, over the rules that ship."""
    codes = {name: run("test", Path(path.name), RULETESTS)
             for name, run in (("promtool", promtool), ("watchkeeper", ours))}  # fmt: skip

    assert {"promtool": 0, "watchkeeper": 0} == codes


def test_the_published_table_is_up_to_date() -> None:
    """The page in the reference says what both programs say today."""
    assert PAGE.read_text(encoding="utf-8") == render()
