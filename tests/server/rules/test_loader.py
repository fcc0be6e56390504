"""Rule files are read as strictly as Prometheus reads them, and as safely as strangers' files need."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.corpora import corpus
from tests.services import needed

from watchkeeper.define.render.prometheus import rule_file
from watchkeeper.define.rules import shipped_rules
from watchkeeper.errors import RuleFileError
from watchkeeper.server.rules.loader import load_file, load_text
from watchkeeper.server.rules.treereader import parse_duration_ms

RULE = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n"
CORPUS = (
    "bad_expr.bad", "bad_field.bad", "duplicate_grp.bad", "invalid_label_name.bad",
    "invalid_record_name.bad", "legacy_validation_annotation.bad",
    "legacy_validation_annotation.good", "no_rec_alert.bad", "noexpr.bad", "record_and_alert.bad",
    "record_and_for.bad", "record_and_keep_firing_for.bad", "test", "test_aliases",
    "utf-8_annotation.good", "utf-8_lname.good",
)  # fmt: skip


def accepted(path: Path) -> bool:
    """Return whether our loader accepts the file; ``legacy`` ones under the old naming rules."""
    try:
        load_file(path, names="legacy" if path.name.startswith("legacy") else "utf8")
    except RuleFileError:
        return False
    return True


def test_the_whole_corpus_is_held_against_us() -> None:
    """No file of the corpus is left out below."""
    assert {f"{name}.yaml" for name in CORPUS} == {p.name for p in corpus("rulefmt").iterdir()}


@pytest.mark.parametrize("name", CORPUS)
def test_verdicts_are_prometheus(name: str) -> None:
    """Every file of Prometheus' own corpus gets the verdict that its name says."""
    assert accepted(corpus("rulefmt") / f"{name}.yaml") == (not name.endswith(".bad"))


@pytest.mark.parametrize("name", CORPUS)
def test_promtool_agrees(name: str) -> None:
    """Debian's promtool (2.42, which knows the old naming rules only) says the same."""
    if shutil.which("promtool") is None:
        needed("promtool")
    path = corpus("rulefmt") / f"{name}.yaml"
    done = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, timeout=80, check=False
    )
    try:
        load_file(path, names="legacy")
        ours = True
    except RuleFileError:
        ours = False

    assert (done.returncode == 0) == ours


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: [", "not YAML"),
        ("groups:\n- name: g\n  rule: []", "r.yml:3: a group has the unknown field 'rule'"),
        ("groups:\n- rules: []", "a group has no name"),
        ("groups: {}", "groups is not a list"),
        ("a: 1", "unknown field 'a'"),
        ("a: 1\n---\nb: 2", "r.yml:2: a second document"),
        (RULE + "    expr: up\n", "r.yml:6: the key 'expr' is given twice"),
        (RULE + "    for: soon\n", "r.yml:6: for is 'soon'"),
        (RULE + "    labels: [a]\n", "labels is not a mapping"),
        (RULE + "    labels: {a: [b]}\n", "labels.a is not a text"),
        (RULE + "    labels: {__name__: b}\n", "labels has the name '__name__'"),
        (RULE + "    annotations: {a: '{{ nope }}'}\n", "function 'nope' is not defined"),
        (RULE + "    annotations: {a: '{{ $x }}'}\n", "undefined variable $x"),
        (RULE + "    annotations: {a: '{{ if true }}'}\n", "has no {{end}}"),
        (RULE + "    annotations: {a: '{{ define \"x\" }}{{ end }}'}\n", "{{define}} is not supp"),
        (RULE + "  limit: many\n", "limit is 'many'"),
        (RULE + "    expr_x: 1\n", "a rule has the unknown field 'expr_x'"),
        ("groups: *x", "*x"),
        ("[" * 5000, "nested too deeply"),
        ("groups: !!python/object/apply:os.system [ls]", "a group is not a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, said: str) -> None:
    """The message says file, line, what is wrong and what is accepted."""
    with pytest.raises(RuleFileError) as caught:
        load_text(text, "r.yml")

    assert said in str(caught.value)


def test_everything_of_a_rule_is_read() -> None:
    """Durations, labels of the group, the limit and the offset arrive."""
    text = """
groups:
- name: g
  interval: 1m30s
  limit: 5
  query_offset: 10s
  labels: {team: a, severity: low}
  rules:
  - alert: A
    expr: up == 0
    for: 1h
    keep_firing_for: 2d
    labels: {severity: page, number: 1}
    annotations: {summary: "{{ $labels.job }}"}
  - record: job:up:sum
    expr: sum by (job) (up)
"""
    (group,) = load_text(text, "r.yml")
    alert, record = group.rules

    assert (90_000, 5, 10_000) == (group.interval_ms, group.limit, group.query_offset_ms)
    assert (3_600_000, 172_800_000, 9) == (alert.for_ms, alert.keep_firing_for_ms, alert.line)
    assert (("team", "a"), ("severity", "page"), ("number", "1")) == alert.labels
    assert (False, (("team", "a"), ("severity", "low"))) == (record.alerting, record.labels)


def test_an_empty_file_has_no_groups() -> None:
    """Nothing at all, only a comment, and empty groups are valid."""
    assert () == load_text("", "r.yml") == load_text("# x\n", "r.yml")
    assert () == load_text("groups:\n", "r.yml")


def test_nested_anchors_cannot_blow_up() -> None:
    """Aliases are counted where they are used: a billion laughs is refused at once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    with pytest.raises(RuleFileError, match="unfolds to too many values"):
        load_text("\n".join(lines), "r.yml")


def test_merge_keys_cannot_blow_up() -> None:
    """A mapping that merges itself, or towers of merges, is refused."""
    with pytest.raises(RuleFileError, match="no anchor before it"):
        load_text("a: &a\n  <<: *a\n", "r.yml")


def test_size_and_number_of_rules_are_bounded(tmp_path: Path) -> None:
    """A file beyond 4 MiB and a file beyond 5,000 rules are refused."""
    big = tmp_path / "big.yml"
    big.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    many = RULE + "  - {alert: B, expr: up}\n" * 5_000

    with pytest.raises(RuleFileError, match="larger than"):
        load_file(big)
    with pytest.raises(RuleFileError, match="too many rules"):
        load_text(many, "r.yml")


def test_a_file_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A missing file and one that is not UTF-8 are explained."""
    (tmp_path / "latin.yml").write_bytes(b"groups: \xff")

    with pytest.raises(RuleFileError, match="cannot be read"):
        load_file(tmp_path / "none.yml")
    with pytest.raises(RuleFileError, match="not UTF-8 at byte 8"):
        load_file(tmp_path / "latin.yml")


def test_what_ships_loads() -> None:
    """Both profiles of the shipped rules are valid for our own evaluator."""
    for rules in (shipped_rules("production"), shipped_rules("demo")):
        groups = load_text(rule_file(rules), "shipped")
        assert sum(len(group.rules) for group in groups) == sum(len(g.rules) for g in rules)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("1ms", 1), ("1h30m", 5_400_000), ("1y2w3d", 33_004_800_000), ("15s", 15_000)],
)
def test_durations_are_read(text: str, ms: int) -> None:
    """Units from years to milliseconds, in falling order."""
    assert ms == parse_duration_ms(text)


@pytest.mark.parametrize("text", ["", "1", "-1s", "1.5h", "1m1h", "1 s", "9" * 50 + "y", "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Bare numbers, signs, fractions, wrong order and overflow are not durations."""
    with pytest.raises(ValueError, match=r"dur"):
        parse_duration_ms(text)
