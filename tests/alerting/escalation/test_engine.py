"""Steps, repeats, fallback, quiet hours and acknowledgement, on a clock that is passed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.alerting.escalation.samples import (
    MINUTE_MS,
    NOON_MS,
    POLICIES,
    TEAM,
    alert,
    at,
    book,
    group,
)

from watchkeeper.server.alerts.escalation.engine import advance, known_alerts, opened
from watchkeeper.server.alerts.escalation.incident import (
    AlertsResolved,
    ByPerson,
    CancelPages,
    Due,
    Entry,
    Event,
    Incident,
    Outcome,
    Page,
    Reported,
    State,
    Tell,
    Verb,
)
from watchkeeper.server.alerts.escalation.model import Escalation
from watchkeeper.server.alerts.notification import Notification


@dataclass
class Life:
    """One incident and what was done about it, minute by minute."""

    book: Escalation = field(default_factory=book)
    now_ms: int = NOON_MS
    pages: list[tuple[int, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    others: list[object] = field(default_factory=list)
    incident: Incident = field(init=False)

    def open(self, note: Notification | None = None) -> Life:
        """Report the group for the first time."""
        self._take(opened(Reported(note or group()), self.book, self.now_ms))
        return self

    def happen(self, event: Event) -> Outcome:
        """Let something happen now."""
        outcome = advance(self.incident, event, self.book, self.now_ms)
        self._take(outcome)
        return outcome

    def person(self, verb: Verb, who: str = "alice", text: str = "") -> Outcome:
        """Let a person do something now."""
        return self.happen(ByPerson(verb, who, "api", text))

    def wait(self, minutes: int) -> Life:
        """Let time pass, looking at the timer each minute."""
        for _ in range(minutes):
            self.now_ms += MINUTE_MS
            self.happen(Due())
        return self

    def told(self) -> list[tuple[int, str]]:
        """Return minutes since noon and receivers of the pages since the last call."""
        found, self.pages = self.pages, []
        return found

    def kinds(self) -> list[str]:
        """Return the kinds of the timeline's entries."""
        return [entry.kind for entry in self.others if isinstance(entry, Entry)]

    def _take(self, outcome: Outcome) -> None:
        self.incident = outcome.incident
        for action in outcome.actions:
            if isinstance(action, Page):
                self.pages.append(((self.now_ms - NOON_MS) // MINUTE_MS, action.receiver))
                self.keys.append(action.key)
            else:
                self.others.append(action)


def test_the_first_step_is_told_at_once() -> None:
    """The notification that opens an incident tells who is on call."""
    life = Life().open()

    assert life.told() == [(0, "alice-phone")]
    assert life.incident.state is State.TRIGGERED


def test_steps_rounds_fallback_and_reminders_follow_until_somebody_acknowledges() -> None:
    """Steps wait as they say, all of them repeat, then the fallback, then everybody at the end."""
    life = Life().open().wait(100)

    assert life.told() == [
        (0, "alice-phone"), (5, "bob-phone"), (5, "team-mail"),
        (15, "alice-phone"), (20, "bob-phone"), (20, "team-mail"),
        (30, "boss"),
        (60, "bob-phone"), (60, "team-mail"), (60, "boss"),
        (90, "bob-phone"), (90, "team-mail"), (90, "boss"),
    ]  # fmt: skip
    assert len(set(life.keys)) == len(life.keys)
    assert life.kinds().count("exhausted") == 1


def test_an_acknowledgement_ends_the_telling() -> None:
    """Waiting pages are cancelled, the others are told, and no further step follows."""
    life = Life().open()
    life.told()
    life.person("acknowledge")

    assert (life.incident.state, life.incident.owner) == (State.ACKNOWLEDGED, "alice")
    assert [a for a in life.others if isinstance(a, (CancelPages, Tell))] == [
        CancelPages(), Tell("acknowledged", "alice")
    ]  # fmt: skip
    assert life.wait(59).told() == []


def test_an_acknowledged_incident_that_is_not_resolved_in_time_escalates_anew() -> None:
    """After `ack_timeout` the first step is told again, under new keys."""
    life = Life().open()
    life.person("acknowledge")
    life.wait(60)

    assert life.told() == [(0, "alice-phone"), (60, "alice-phone")]
    assert len(set(life.keys)) == 2
    assert life.incident.state is State.TRIGGERED


def test_taking_back_an_acknowledgement_begins_anew() -> None:
    """Un-acknowledging tells the first step at once."""
    life = Life().open().wait(5)
    life.told()
    life.person("acknowledge")
    life.person("unacknowledge", "bob")

    assert life.told() == [(5, "alice-phone")]
    assert life.person("unacknowledge").refused == "the incident is not acknowledged"


def test_taking_makes_somebody_else_the_owner() -> None:
    """Taking acknowledges; of an acknowledged incident it changes the owner and tells nobody."""
    life = Life().open()
    life.person("take", "alice")
    outcome = life.person("take", "bob")

    assert life.incident.owner == "bob"
    assert not any(isinstance(action, (Page, Tell)) for action in outcome.actions)


def test_what_cannot_be_done_is_refused_with_the_reason() -> None:
    """A second acknowledgement changes nothing and names the first."""
    life = Life().open()
    life.person("acknowledge", "alice")
    before = life.incident

    assert "already, by alice" in life.person("acknowledge", "bob").refused
    life.person("resolve", "carol")
    assert "resolved already, by carol" in life.person("acknowledge", "bob").refused
    assert before.owner == "alice"


def test_the_end_of_the_alerts_resolves() -> None:
    """A group without firing alerts ends the escalation and tells who was told."""
    life = Life().open()
    life.happen(AlertsResolved(group(alert(ended=True))))

    assert (life.incident.state, life.incident.resolved_by) == (State.RESOLVED, "alerts")
    assert Tell("resolved", "") in life.others
    life.told()
    assert life.wait(120).told() == []


def test_a_comment_is_kept_in_every_state() -> None:
    """Comments change nothing else."""
    life = Life().open()
    life.person("resolve")
    life.person("comment", text="found it")

    assert life.others[-1] == Entry("comment", "found it", "alice", "api")
    assert life.incident.state is State.RESOLVED


def test_a_step_that_was_due_while_nobody_looked_is_told_once() -> None:
    """After an outage of an hour one step is told, and the next waits its full time."""
    life = Life().open()
    life.told()
    life.now_ms += 60 * MINUTE_MS
    life.happen(Due())
    life.happen(Due())

    assert life.told() == [(60, "bob-phone"), (60, "team-mail")]
    assert life.wait(9).told() == []
    assert life.wait(1).told() == [(70, "alice-phone")]


def test_a_step_that_reaches_nobody_is_followed_at_once() -> None:
    """A schedule in a gap does not cost minutes; the timeline says so."""
    text = TEAM + (
        "policies: [{name: p, fallback: [{receiver: boss}],"
        " steps: [{notify: [{schedule: gap}]}, {notify: [{user: bob}]}, {notify: [{schedule: gap}]}]}]"
    )
    life = Life(book(text)).open()

    assert life.told() == [(0, "bob-phone")]
    assert life.wait(5).told() == [(5, "boss")]
    assert life.kinds().count("nobody") == 2


def test_rounds_that_reach_nobody_come_to_an_end() -> None:
    """A policy whose schedule is in a gap goes through its rounds in time and ends at the fallback."""
    text = TEAM + (
        "policies: [{name: p, repeat: 2, fallback: [{receiver: boss}],"
        " steps: [{notify: [{schedule: gap}], wait: 1m}]}]"
    )

    assert Life(book(text)).open().wait(10).told() == [(2, "boss")]


WARNING = group(alert(severity="warning"))


def test_quiet_hours_hold_a_step_back_until_their_end() -> None:
    """A warning of 23:00 in Berlin is told at 07:00; the timeline says that it waits."""
    life = Life(now_ms=at("2026-07-15T23:00:00+02:00")).open(WARNING)

    assert life.told() == []
    assert life.incident.due_ms == at("2026-07-16T07:00:00+02:00")
    assert life.kinds() == ["opened", "quiet"]
    life.wait(8 * 60 - 1)
    assert life.told() == []
    life.wait(1)
    assert [receiver for _, receiver in life.told()] == ["bob-phone"]


def test_quiet_hours_end_for_a_group_that_gets_worse() -> None:
    """Once an alert fires whose severity is not held back, the step is told at once."""
    life = Life(now_ms=at("2026-07-15T23:00:00+02:00")).open(WARNING)
    life.happen(Reported(group(alert(severity="warning"), alert("Down", severity="error"))))

    assert [receiver for _, receiver in life.told()] == ["bob-phone"]


def test_a_paging_alert_that_joins_an_acknowledged_warning_escalates_anew() -> None:
    """Who acknowledged the lesser thing has not seen the greater one."""
    life = Life().open(WARNING)
    life.person("acknowledge", "bob")
    life.happen(Reported(group(alert(severity="warning"), alert("Down"))))

    assert life.incident.state is State.TRIGGERED
    assert life.told() == [(0, "bob-phone"), (0, "bob-phone")]


def test_members_that_come_and_go_are_in_the_timeline_and_page_nobody() -> None:
    """A change of the group is recorded; the steps go on as they were."""
    life = Life().open()
    life.told()
    life.happen(Reported(group(alert(), alert(instance="b"))))
    life.happen(Reported(group(alert(), alert(instance="b"))))

    assert life.kinds().count("changed") == 1
    assert life.told() == []


def test_a_group_that_no_policy_matches_is_an_incident_without_timer() -> None:
    """It can be acknowledged and resolved; it tells nobody, and is matched again when it changes."""
    text = TEAM + POLICIES.partition("  - name: tickets")[0]
    life = Life(book(text)).open(WARNING)

    assert (life.incident.policy, life.incident.due_ms, life.told()) == ("", None, [])
    life.happen(Reported(group(alert())))
    assert life.told() == [(0, "alice-phone")]


def test_a_policy_that_is_gone_gives_way_to_the_one_that_matches_now() -> None:
    """After a change of the file an incident goes on under the policy that matches it."""
    life = Life().open()
    life.told()
    renamed = POLICIES.replace("name: pages", "name: other")
    life.book = book(TEAM + renamed)
    life.wait(5)

    assert life.incident.policy == "other"
    assert life.told() == [(5, "alice-phone")]
    assert len(set(life.keys)) == 2


def test_a_resolved_incident_recognises_its_alerts() -> None:
    """Alerts that go on firing after a person resolved are known; one that began anew is not."""
    life = Life().open()
    life.person("resolve")

    assert known_alerts(life.incident, group())
    assert not known_alerts(life.incident, group(replace(alert(), starts_ms=NOON_MS + 1)))
