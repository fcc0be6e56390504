"""Escalation over a real store: what is told, retried, cancelled, and known after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.alerting.escalation.rig import Rig
from tests.alerting.escalation.samples import NOON_MS, alert, group

from watchkeeper.errors import IncidentError, NotifyError
from watchkeeper.server.alerts.escalation import rows
from watchkeeper.server.alerts.escalation.incident import ByPerson, State
from watchkeeper.server.alerts.escalation.outlets import Outlet
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.vocabulary.limits import limit

ENDED = group(alert(ended=True))


def outcomes(rig: Rig) -> list[object]:
    """Return the outcomes of all pages, oldest first."""
    return [
        row[0] for row in rig.sql("SELECT outcome FROM incident_pages ORDER BY created_ms, number")
    ]


async def test_who_was_paged_is_told_the_resolution_and_nobody_else(rig: Rig) -> None:
    """The end of the alerts is told once to each outlet that was paged."""
    await rig.report(group())
    await rig.wait(5)
    await rig.report(ENDED)
    await rig.report(ENDED)

    assert rig.words() == {
        "alice-phone": ["firing", "resolved"],
        "bob-phone": ["firing", "resolved"],
        "team-mail": ["firing", "resolved"],
    }


async def test_an_acknowledgement_is_told_to_who_was_paged_and_to_the_groups_own_receiver(
    rig: Rig,
) -> None:
    """Receivers that can tell an acknowledgement (PagerDuty) hear of it; no page follows."""
    incident = await rig.report(group())
    await rig.person(incident, "acknowledge", "alice")
    await rig.wait(30)

    assert rig.words() == {
        "alice-phone": ["firing", "acknowledged by alice"],
        "team": ["acknowledged by alice"],
    }


async def test_a_message_says_why_it_comes_and_carries_its_key(rig: Rig) -> None:
    """The step, its round and who is on call stand in the note; the key names the place."""
    incident = await rig.report(group())

    _, note = rig.boxes["alice-phone"].got[0]
    assert note.note == "Escalation, step 1 of 2, round 1: schedule backend"
    assert note.key == f"{incident.id}/1.1.0/alice-phone/test[0]"
    assert (note.receiver, note.group_key) == ("alice-phone", incident.group_key)


async def test_a_receiver_gets_back_what_it_asked_to_have_kept(rig: Rig) -> None:
    """Messages about one incident to one outlet belong together, also the last one."""
    await rig.report(group())
    await rig.wait(15)
    await rig.report(ENDED)

    first = rig.boxes["alice-phone"].keys()[0]
    assert rig.boxes["alice-phone"].threads == [{}, {"first": first}, {"first": first}]


async def test_a_page_that_fails_is_tried_again_while_others_go_on(rig: Rig) -> None:
    """An error is retried under the same key, and delays neither others nor the next step."""
    rig.boxes["alice-phone"].fail_next = [NotifyError("500", retryable=True)] * 2
    incident = await rig.report(group())
    assert outcomes(rig) == ["pending"]
    await rig.wait(5)

    assert rig.words() == {
        "alice-phone": ["firing"], "bob-phone": ["firing"], "team-mail": ["firing"]
    }  # fmt: skip
    with rig.store.state_read() as cursor:
        texts = [e["text"] for e in rows.timeline(cursor, incident.id, 100)]
    assert "paged alice over alice-phone (test[0]): not delivered yet, it is tried again" in texts
    assert "paged alice over alice-phone (test[0]): delivered" in texts


async def test_a_page_that_cannot_be_delivered_is_given_up_and_told(rig: Rig) -> None:
    """A final refusal is not retried; it is counted, and the answer is in the timeline."""
    rig.boxes["alice-phone"].fail_next = [NotifyError("403 action_prohibited", retryable=False)]
    incident = await rig.report(group())

    assert outcomes(rig) == ["failed"]
    with rig.store.state_read() as cursor:
        last = rows.timeline(cursor, incident.id, 100)[-1]
    assert last["data"]["answer"] == "403 action_prohibited"
    counted = 'watchkeeper_server_notifications_total{outcome="error",receiver="alice-phone"} 1.0'
    assert counted in rig.metrics.render().decode()


async def test_attempts_are_bounded(rig: Rig) -> None:
    """After `notification_attempts_max` attempts a page counts as failed."""
    most = limit("notification_attempts_max")
    rig.boxes["alice-phone"].fail_next = [NotifyError("500", retryable=True)] * (2 * most)
    await rig.report(group())
    with rig.store.state_write() as cursor:  # the later steps are not what is tested
        cursor.execute("DELETE FROM escalation_timers")
    await rig.wait(150)

    attempts = rig.sql("SELECT attempts, outcome FROM incident_pages")
    assert attempts == [(most, "failed")]


async def test_a_receiver_that_asks_for_a_pause_gets_one(rig: Rig) -> None:
    """Retry-After holds back every message to that outlet, and no other."""
    rig.boxes["alice-phone"].fail_next = [NotifyError("429", retryable=True, retry_after_s=90)]
    await rig.report(group())
    await rig.report(group(key="another"))
    await rig.wait(1)
    assert rig.words() == {}
    await rig.wait(1)

    assert rig.words() == {"alice-phone": ["firing", "firing"]}


async def test_an_acknowledgement_cancels_a_page_that_was_never_delivered(rig: Rig) -> None:
    """Nobody is woken by a retry after somebody has taken the incident."""
    rig.boxes["alice-phone"].fail_next = [NotifyError("500", retryable=True)]
    incident = await rig.report(group())
    await rig.person(incident, "acknowledge", "bob")
    await rig.wait(10)

    assert "firing" not in rig.boxes["alice-phone"].words()


async def test_the_resolution_is_told_to_who_may_have_been_paged(rig: Rig) -> None:
    """An attempt that failed may have reached its receiver, so it is told the end too."""
    rig.boxes["alice-phone"].fail_next = [NotifyError("timed out", retryable=True)]
    await rig.report(group())
    await rig.report(ENDED)

    assert rig.words() == {"alice-phone": ["resolved"]}


async def test_a_restart_loses_no_step_and_tells_none_twice(rig: Rig) -> None:
    """Timers and keys are rows: the steps of a crashed server go on where they were."""
    await rig.report(group())
    rig.restart()
    await rig.wait(4)
    assert rig.words() == {"alice-phone": ["firing"]}
    rig.restart()
    await rig.wait(1)

    assert rig.words() == {
        "alice-phone": ["firing"], "bob-phone": ["firing"], "team-mail": ["firing"]
    }  # fmt: skip


async def test_what_was_sent_but_not_recorded_is_sent_again_under_its_key(rig: Rig) -> None:
    """A crash between sending and recording repeats the message, and its key says so."""
    await rig.report(group())
    with rig.store.state_write() as cursor:
        cursor.execute("UPDATE incident_pages SET outcome = 'pending', sent_ms = NULL")
    rig.restart()
    await rig.runner.settle()

    keys = rig.boxes["alice-phone"].keys()
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_repeated_notifications_of_a_group_are_one_incident(rig: Rig) -> None:
    """The same group is the same incident until it is resolved; then it is a new one."""
    first = await rig.report(group())
    again = await rig.report(group())
    await rig.report(ENDED)
    rig.clock.advance(60)
    third = await rig.report(group(replace(alert(), starts_ms=NOON_MS + 60_000)))

    assert first.id == again.id != third.id


async def test_alerts_that_go_on_firing_after_a_person_resolved_open_nothing(rig: Rig) -> None:
    """A repeat of the same alerts is no new incident; an alert that is new is."""
    first = await rig.report(group())
    await rig.person(first, "resolve")
    rig.clock.advance(60)
    same = await rig.report(group())
    assert (same.id, same.state) == (first.id, State.RESOLVED)
    other = await rig.report(group(alert(), alert("Down")))

    assert other.id != first.id
    assert rig.boxes["alice-phone"].words() == ["firing", "resolved", "firing"]


async def test_the_watchdog_opens_no_incident(rig: Rig) -> None:
    """Alerts of severity `none` mean nobody."""
    assert await rig.runner.on_notification(group(alert("Watchdog", severity="none"))) is None


async def test_a_resolution_that_leaves_alerts_out_does_not_end_the_incident(rig: Rig) -> None:
    """What a truncated message does not show may still fire; the timeline says what to do."""
    incident = await rig.report(group())
    await rig.runner.on_notification(replace(ENDED, truncated=3), complete=False)

    with rig.store.state_read() as cursor:
        found = rows.find(cursor, incident.id)
        last = rows.timeline(cursor, incident.id, 100)[-1]
    assert found is not None
    assert found.state is State.TRIGGERED
    assert "leaves 3 out" in last["text"]


async def test_open_incidents_are_bounded_and_refusals_counted(rig: Rig) -> None:
    """Beyond `incidents_open_max` a group opens none."""
    with rig.store.state_write() as cursor:
        cursor.execute(
            "INSERT INTO incidents SELECT 'x' || n, 'rules', 'k' || n, 'r', '{}', 'triggered', 0, 0,"
            " '[]', 0, '', '', 1, 1, 0, '', '', NULL, NULL, '' FROM range(?) AS t(n)",
            [limit("incidents_open_max")],
        )

    assert await rig.runner.on_notification(group()) is None
    assert 'reason="incidents_open",signal="alerts"} 1.0' in rig.metrics.render().decode()


async def test_what_a_person_asks_wrongly_is_refused_with_its_reason(rig: Rig) -> None:
    """An unknown incident, an empty name, an empty comment and a second acknowledgement."""
    incident = await rig.report(group())
    await rig.person(incident, "acknowledge")
    cases = {
        "unknown": ("0" * 12, ByPerson("acknowledge", "bob", "api")),
        "invalid": (incident.id, ByPerson("acknowledge", " ", "api")),
        "conflict": (incident.id, ByPerson("acknowledge", "bob", "api")),
    }
    for reason, (number, event) in cases.items():
        with pytest.raises(IncidentError) as caught:
            await rig.runner.act(number, event)
        assert caught.value.reason == reason
        assert "Next: " in str(caught.value)
    with pytest.raises(IncidentError, match="the comment is empty"):
        await rig.runner.act(incident.id, ByPerson("comment", "bob", "api", " "))


async def test_old_incidents_are_forgotten_with_all_their_rows(rig: Rig) -> None:
    """What was resolved longer ago than `incident_days_max` leaves nothing behind."""
    await rig.report(group())
    await rig.report(ENDED)
    rig.ledger.forget(NOON_MS + limit("incident_days_max") * 86_400_000)
    assert rig.sql("SELECT count(*) FROM incidents") == [(1,)]
    rig.ledger.forget(NOON_MS + limit("incident_days_max") * 86_400_000 + 1)

    for table in ("incidents", "incident_events", "incident_pages", "escalation_timers"):
        assert rig.sql(f"SELECT count(*) FROM {table}") == [(0,)], table


class Hanging:
    """A receiver that never answers."""

    async def send(self, _notification: Notification, _thread: Mapping[str, str]) -> Delivery:
        """Wait for ever."""
        await asyncio.Event().wait()
        return Delivery("never")

    async def aclose(self) -> None:
        """Nothing is open."""


async def test_a_receiver_that_hangs_delays_neither_the_others_nor_the_timers(rig: Rig) -> None:
    """While one receiver hangs, the running loop tells the next step to the others."""
    rig.ledger.outlets = {**rig.ledger.outlets, "alice-phone": (Outlet("test[0]", Hanging()),)}
    rig.runner.start()
    try:
        await rig.runner.on_notification(group())
        rig.clock.advance(300)
        await rig.runner.on_notification(group(key="another"))  # wakes the loop
        async with asyncio.timeout(10):
            await rig.boxes["team-mail"].arrived.wait()
            await rig.boxes["bob-phone"].arrived.wait()
    finally:
        await rig.runner.stop()

    assert rig.boxes["bob-phone"].words() == ["firing"]


async def test_a_clock_that_is_set_back_delays_no_step(rig: Rig) -> None:
    """The next step comes after its wait, whatever the host's clock says meanwhile."""
    await rig.report(group())
    await rig.wait(3)
    rig.clock.jump(-7_200)
    await rig.runner.settle()
    await rig.wait(2)

    assert rig.boxes["bob-phone"].words() == ["firing"]


async def test_many_groups_at_once_are_one_commit_in_a_hundred(rig: Rig) -> None:
    """Groups that a turn reports are taken in together; the same report again changes nothing."""
    notes = [group(key=f"group {n}") for n in range(110)]
    await rig.runner.on_flushes(notes)
    await rig.runner.on_flushes(notes)
    await rig.runner.settle()

    assert rig.sql("SELECT count(*) FROM incidents") == [(110,)]
    assert len(rig.boxes["alice-phone"].got) == 110
    await rig.runner.on_flushes([group(alert(ended=True), key="group 7")])
    assert rig.sql("SELECT count(*) FROM incidents WHERE state = 'resolved'") == [(1,)]
