"""What an escalation file may say, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.alerting.escalation.samples import POLICIES, RECEIVERS, TEAM, book

from watchkeeper.errors import EscalationFileError
from watchkeeper.server.alerts.escalation.loader import load_file, load_text, unknown_receivers
from watchkeeper.server.alerts.escalation.model import Target

STEP = "steps: [{notify: [{user: bob}]}]"


def test_a_whole_file_is_read() -> None:
    """Users, schedules and policies become values with durations in milliseconds."""
    found = book()

    pages = found.policy("pages")
    assert pages is not None
    assert pages.steps[1].targets == (Target("user", "bob"), Target("receiver", "team-mail"))
    assert (pages.steps[0].wait_ms, pages.repeat, pages.repeat_every_ms) == (300_000, 1, 1_800_000)
    assert found.users["carol"].contacts == ("carol-phone", "team-mail")
    assert found.schedules["backend"].layers[0].turn_hours == 168


def test_the_first_policy_that_matches_wins() -> None:
    """Policies are tried in the file's order; one without matchers takes the rest."""
    found = book()

    names = [found.policy_for({"severity": s}) for s in ("critical", "warning")]
    assert [policy.name for policy in names if policy] == ["pages", "tickets"]


def test_an_empty_file_escalates_nothing() -> None:
    """No document means no policies."""
    assert load_text("", "escalation.yml").policies == ()


def test_receivers_are_compared_with_those_that_exist() -> None:
    """Each receiver that alertmanager.yml lacks is told with its line."""
    errors = unknown_receivers(book(), RECEIVERS - {"boss"}, "escalation.yml")

    assert len(errors) == 1
    assert errors[0].startswith("escalation.yml:23: no receiver is called 'boss'. Accepted:")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("users: {a: {contacts: []}}", 1, "has no contacts"),
        ("users:\n  a: {contacts: [x], time_zone: Berlin}", 2, "unknown"),
        ("users:\n  a: {contact: [x]}", 2, "did you mean contacts?"),
        (TEAM + "policies: [{name: p, steps: []}]", 14, "has no steps"),
        (TEAM + "policies: [{name: p, steps: [{notify: [{user: zoe}]}]}]", 14, "no user is called"),
        (TEAM + "policies: [{name: p, steps: [{notify: [{schedule: z}]}]}]", 14, "no schedule is"),
        (TEAM + "policies: [{name: p, steps: [{notify: [bob]}]}]", 14, "not a mapping"),
        (TEAM + "policies: [{name: p, steps: [{notify: [{user: bob, receiver: x}]}]}]", 14, "one"),
        (TEAM + "policies: [{name: p, steps: [{notify: [{user: bob}], wait: soon}]}]", 14, "wait"),
        (TEAM + "policies: [{name: p, steps: [{notify: [{user: bob}], wait: 0s}]}]", 14, "wait"),
        (TEAM + f"policies: [{{name: p, repeat: 101, {STEP}}}]", 14, "repeat"),
        (TEAM + f"policies: [{{name: p, {STEP}}}, {{name: p, {STEP}}}]", 14, "given twice"),
        (TEAM + f"policies: [{{name: p, {STEP}}}, {{name: q, {STEP}}}]", 14, "never reached"),
        (TEAM + f"policies: [{{name: p, matchers: [severity], {STEP}}}]", 14, "a matcher is"),
        (TEAM + f"policies: [{{name: p, matchers: ['a=~\"(\"'], {STEP}}}]", 14, "pattern"),
        (
            TEAM + f'policies:\n- {{name: p, {STEP}, quiet_hours: [{{severities: [critical], '
            'from: "22:00", until: "07:00", time_zone: UTC}]}',
            15, "always pages",
        ),
        (TEAM.replace("weekly", "90m"), 9, "turn"),
        (TEAM.replace("[alice, bob]", "[alice, zoe]"), 9, "no user is called 'zoe'"),
        (TEAM.replace("2026-07-13T09:00", "2026-07-13T09:00+02:00"), 9, "zone of its own"),
        (TEAM.replace("2026-07-13T09:00", "monday"), 9, "start"),
        (
            TEAM.replace("turn: weekly", 'turn: weekly, only: [{from: "9", until: "17:00"}]'),
            9, "time of the day",
        ),
        (
            TEAM.replace("turn: weekly",
                         'turn: weekly, only: [{from: "09:00", until: "17:00", days: [mon]}]'),
            9, "a day is",
        ),
        ("alertmanager: {url: 'http://u:p@host'}", 1, "no address"),
        ("users: [", 2, "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, line: int, word: str) -> None:
    """Each mistake is an error that names file and line, what is accepted and what to do."""
    with pytest.raises(EscalationFileError) as caught:
        load_text(text, "escalation.yml")

    told = str(caught.value)
    assert told.startswith(f"escalation.yml:{line}:"), told
    assert word in told
    assert "Accepted: " in told
    assert "Next: " in told


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    """A file is read up to its limit only."""
    with pytest.raises(EscalationFileError, match="cannot be read"):
        load_file(tmp_path / "none.yml")
    (tmp_path / "large.yml").write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(EscalationFileError, match="escalation_file_bytes_max"):
        load_file(tmp_path / "large.yml")


def test_quoted_matchers_are_unescaped() -> None:
    """A quoted value may hold what a bare one may not."""
    text = TEAM + f"policies: [{{name: p, matchers: ['a=\"x \\\"y\\\"\"', 'b!=c'], {STEP}}}]"
    found = load_text(text, "escalation.yml").policies[0].matchers

    assert [(m.name, m.op, m.value) for m in found] == [("a", "=", 'x "y"'), ("b", "!=", "c")]
    assert POLICIES
