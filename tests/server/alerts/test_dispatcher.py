"""Groups are told at least once, by retries that know when to stop, and never twice for nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from tests.server.alerts.desk import GONE, Desk, Scripted, down, event, routing

from watchkeeper.errors import SilenceError, StoreError
from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.dispatch.silences import Silence
from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock


async def test_a_delivery_is_recorded_with_its_answer(store: Store, clock: FixedClock) -> None:
    """The row says who, about what, why, after how many attempts, and what came back."""
    ops = Scripted()
    desk = Desk(store, clock, ops=ops)
    desk.record(event("a"), event("b"))
    await desk.after(0)
    (row,) = desk.rows()
    shown = {name: row[name] for name in row if name not in {"id", "created_ms", "sent_ms"}}

    assert {
        "rule": "A", "labels": {"alertname": "A"}, "status": "firing", "receiver": "ops",
        "integration": "webhook/0", "group_key": '{}:{alertname="A"}', "reason": "first",
        "alerts": 2, "attempts": 1, "next_attempt_ms": None, "outcome": "delivered", "answer": "ok",
    } == shown  # fmt: skip
    (said,) = ops.said
    assert ({"alertname": "A"}, 2.5, 1000) == (
        said.group_labels, said.alerts[0].value, said.alerts[0].starts_ms,
    )  # fmt: skip
    assert "http://127.0.0.1:8400/#/alerts?name=A" == said.links.alert
    assert b'outcome="success",receiver="ops"' in desk.metrics.render()


async def test_a_failed_attempt_is_repeated_later_and_later(
    store: Store, clock: FixedClock
) -> None:
    """Waits double from about a second up to about a minute."""
    desk = Desk(store, clock, routing(group_interval_ms=3_600_000), ops=Scripted([down()] * 12))
    desk.record(event())
    waits = []
    wait_s = await desk.after(0)
    for _ in range(12):
        assert wait_s is not None
        waits.append(wait_s)
        wait_s = await desk.after(wait_s)

    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert all(30 <= wait <= 90 for wait in waits[6:])
    assert [("firing", 1)] == desk.senders["ops"].told()
    assert [("delivered", "ok", 13)] == desk.outcomes()


async def test_retries_end_when_the_group_is_due_again(store: Store, clock: FixedClock) -> None:
    """Then the group is decided anew, so that what is told is what is true by then."""
    ops = Scripted([down()] * 9)
    desk = Desk(store, clock, routing(group_interval_ms=30_000), ops=ops)
    desk.record(event("a"))
    await desk.after(0)
    desk.record(event("b"))
    await desk.run(29)
    assert [] == ops.said
    await desk.run(400)

    assert [("firing", 2)] == ops.told()
    assert "given up until the group is due again; HTTP 500: no" == desk.outcomes()[0][1]
    assert b'outcome="error",receiver="ops"' in desk.metrics.render()


async def test_a_pause_that_was_asked_for_is_kept_for_all_groups(
    store: Store, clock: FixedClock
) -> None:
    """After 429 with Retry-After nothing is sent to this integration before that time."""
    ops = Scripted([down(90)])
    desk = Desk(store, clock, routing(group_by=("job",)), ops=ops)
    desk.record(event("a"))
    assert 90 == await desk.after(0)
    desk.record(event("b"))
    await desk.run(89)
    assert [] == ops.said
    await desk.run(2)

    assert [("firing", 1), ("firing", 1)] == ops.told()


async def test_a_refusal_for_good_is_not_repeated_before_the_group_is_due(
    store: Store, clock: FixedClock
) -> None:
    """The row keeps the answer; when somebody has mended the receiver, the group is told."""
    ops = Scripted([GONE])
    desk = Desk(store, clock, ops=ops)
    desk.record(event())
    await desk.run(299)
    assert [("failed", "HTTP 404: no_service", 1)] == desk.outcomes()
    await desk.run(2)

    assert [("firing", 1)] == ops.told()


async def test_attempts_are_bounded(store: Store, clock: FixedClock) -> None:
    """After 20 attempts the notification is recorded as failed."""
    config = routing(group_interval_ms=24 * 3_600_000)
    desk = Desk(store, clock, config, ops=Scripted([down()] * 30))
    desk.record(event())
    await desk.run(10_000)

    assert [("failed", "HTTP 500: no", 20)] == desk.outcomes()


async def test_one_receiver_does_not_hold_up_another(store: Store, clock: FixedClock) -> None:
    """While one hangs or fails the other is told, once; the first is told when it can be."""
    gate = asyncio.Event()
    bad, good = Scripted([down()], gate=gate), Scripted()
    desk = Desk(store, clock, bad=bad, good=good)
    desk.dispatcher.start()
    desk.record(event())
    try:
        for _ in range(300):
            if good.said:
                break
            await asyncio.sleep(0.01)
        assert [("firing", 1)] == good.told()
        assert [] == bad.said
        gate.set()
        for _ in range(300):
            if bad.said:
                break
            clock.advance(1)
            await asyncio.sleep(0.01)
    finally:
        await desk.dispatcher.stop()

    assert [("firing", 1)] == good.told() == bad.told()
    assert bad.closed
    assert good.closed


async def test_attempts_at_one_integration_are_few_at_a_time(
    store: Store, clock: FixedClock
) -> None:
    """A hundred groups are told four at a time."""
    ops = Scripted()
    desk = Desk(store, clock, routing(group_by=("job",)), ops=ops)
    desk.record(*(event(str(n)) for n in range(100)))
    await desk.after(0)

    assert 100 == len(ops.said)
    assert 4 == ops.together


async def test_a_thread_is_kept_until_the_group_is_resolved(
    store: Store, clock: FixedClock
) -> None:
    """What a delivery gives back comes with the next one, over a restart, and then no more."""
    ops = Scripted(thread={"ts": "1.2"})
    desk = Desk(store, clock, ops=ops)
    desk.record(event("a"))
    await desk.after(0)
    desk = Desk(store, clock, ops=ops)
    desk.record(event("b"))
    await desk.run(301)
    desk.record(event("a", firing=False), event("b", firing=False))
    await desk.run(301)
    desk.record(event("a", at_ms=clock.now_ns() // 1_000_000))
    await desk.run(301)

    assert [("firing", 1), ("firing", 2), ("resolved", 2), ("firing", 1)] == ops.told()
    assert [{}, {"ts": "1.2"}, {"ts": "1.2"}, {}] == ops.threads


async def test_an_event_that_is_recorded_twice_is_told_once(
    store: Store, clock: FixedClock
) -> None:
    """As after a crash between two commits."""
    ops = Scripted()
    desk = Desk(store, clock, ops=ops)
    desk.record(event())
    desk.record(event())
    await desk.run(1000)

    assert [("firing", 1)] == ops.told()


async def test_a_restart_loses_nothing_and_tells_nobody_twice(
    store: Store, clock: FixedClock
) -> None:
    """What was recorded and not told is told; what was told is not; resolution is told once."""
    ops = Scripted()
    first = Desk(store, clock, ops=ops)
    first.record(event("a"))
    await first.after(0)
    first.record(event("a", firing=False))
    for _ in range(3):
        desk = Desk(store, clock, ops=ops)
        await desk.run(400)

    assert [("firing", 1), ("resolved", 1)] == ops.told()
    with store.state_read() as cursor:
        assert 0 == cursor.execute("SELECT count(*) FROM alerts").fetchall()[0][0]
        assert 0 == cursor.execute("SELECT count(*) FROM alert_inbox").fetchall()[0][0]


async def test_what_was_sent_but_not_recorded_is_sent_again_under_the_same_key(
    store: Store, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between both may tell somebody twice, and never nobody; receivers can tell by key."""
    ops = Scripted()
    desk = Desk(store, clock, ops=ops)
    desk.record(event())

    def full(*_: object) -> NoReturn:
        raise StoreError("disk full")

    await desk.dispatcher.push([])
    with monkeypatch.context() as patch:
        patch.setattr("watchkeeper.server.alerts.journal.save_log", full)
        await desk.after(0)
    assert [("firing", 1)] == ops.told()
    await desk.run(100)
    assert [("firing", 1)] == ops.told()
    clock.advance(1)
    await Desk(store, clock, ops=ops).run(1)

    assert [("firing", 1), ("firing", 1)] == ops.told()
    assert ops.said[0].key == ops.said[1].key != ""


async def test_a_reload_takes_new_routes_and_tells_nobody_again(
    store: Store, clock: FixedClock
) -> None:
    """Old senders are closed; a receiver that is new is told, one that was told is not."""
    old, ops, dev = Scripted(), Scripted(), Scripted()
    desk = Desk(store, clock, routing("ops"), ops=old)
    desk.record(event())
    await desk.after(0)
    desk.senders = {"ops": ops, "dev": dev}
    await desk.dispatcher.reload(routing("ops", "dev"))
    await desk.run(1000)

    assert [("firing", 1)] == old.told() == dev.told()
    assert [] == ops.said
    assert (True, False) == (old.closed, ops.closed)


async def test_a_reload_ends_retries_and_decides_anew(store: Store, clock: FixedClock) -> None:
    """What an old sender could not deliver goes over the new one at once."""
    desk = Desk(store, clock, ops=Scripted([down(3600)] * 9))
    desk.record(event())
    await desk.after(0)
    mended = desk.senders["ops"] = Scripted()
    await desk.dispatcher.reload(routing("ops"))
    await desk.run(3)

    assert [("firing", 1)] == mended.told()


async def test_a_clock_that_is_set_back_holds_nobody_up(store: Store, clock: FixedClock) -> None:
    """Timers go on as if it had not been."""
    ops = Scripted()
    desk = Desk(store, clock, ops=ops)
    desk.record(event("a"))
    await desk.after(0)
    desk.record(event("b"))
    await desk.after(100)
    clock.jump(-86_400)
    await desk.run(201)

    assert [("firing", 1), ("firing", 2)] == ops.told()


async def test_a_defect_of_a_sender_is_recorded_without_its_text(
    store: Store, clock: FixedClock
) -> None:
    """The text of an unexpected error may hold a secret; its kind is enough."""
    ops = Scripted([ValueError("https://hooks/secret")])
    desk = Desk(store, clock, ops=ops)
    desk.record(event())
    await desk.after(0)

    assert [("failed", "failed: ValueError", 1)] == desk.outcomes()


async def test_silences_survive_a_restart(store: Store, clock: FixedClock) -> None:
    """A silence made before mutes after, and can be ended by its id."""
    now_ms = clock.now_ns() // 1_000_000
    wanted = Silence(
        "", (Matcher("job", "=~", "a|b"),), now_ms, now_ms + 3_600_000, "me", 'why "so"'
    )
    identity = await Desk(store, clock, ops=Scripted()).dispatcher.set_silence(wanted)
    ops = Scripted()
    desk = Desk(store, clock, ops=ops)
    desk.record(event("a"))
    await desk.run(301)
    assert [] == ops.said
    (kept,) = desk.dispatcher.engine.silences
    assert (wanted.matchers, "me", 'why "so"') == (kept.matchers, kept.created_by, kept.comment)
    await desk.dispatcher.expire_silence(identity)
    await desk.run(301)

    assert [("firing", 1)] == ops.told()
    with pytest.raises(SilenceError):
        await desk.dispatcher.expire_silence("?")


async def test_a_state_file_of_an_earlier_version_is_taken_up(
    tmp_path: Path, clock: FixedClock
) -> None:
    """Tables and columns that it lacks are added; its notifications are still listed."""
    with Store.open(tmp_path / "d", clock=clock) as store, store.state_write() as cursor:
        for column in ("group_key", "integration", "reason", "alerts"):
            cursor.execute(f"ALTER TABLE notifications DROP COLUMN {column}")
        for table in ("alerts", "alert_inbox", "silences", "notification_log"):
            cursor.execute(f"DROP TABLE {table}")
        cursor.execute(
            "INSERT INTO notifications VALUES ('i', 'k', 'Old', '{}', '{}', 'firing', 'slack',"
            " 1, 1, NULL, 1, 'pending', 'x')"
        )
    for _ in range(2):
        with Store.open(tmp_path / "d", clock=clock) as store:
            ops = Scripted()
            desk = Desk(store, clock, ops=ops)
            desk.record(event("a"))
            await desk.after(0)
            rows = desk.rows()

    assert ["A", "Old"] == [row["rule"] for row in rows]
    assert "failed" == rows[1]["outcome"]


async def test_an_alert_that_flaps_does_not_page_every_time(
    store: Store, clock: FixedClock
) -> None:
    """Two hundred changes in an hour and a half make at most one message per group_interval."""
    ops = Scripted()
    desk = Desk(store, clock, routing(group_wait_ms=30_000), ops=ops)
    for turn in range(200):
        at_ms = desk.dispatcher.now_ms()
        desk.record(event(firing=turn % 2 == 0, at_ms=at_ms))
        await desk.run(27)

    assert 1 <= len(ops.said) <= 200 * 27 / 300 + 1


@pytest.mark.timeout(480)
@pytest.mark.parametrize(("group_by", "most"), [("alertname", 1), ("job", 2_001)])
async def test_a_flood_is_told_in_bounded_messages_memory_and_time(
    store: Store, clock: FixedClock, group_by: str, most: int
) -> None:
    """10,000 alerts: one message that says how many, or at most one per group that there may be."""
    ops = Scripted()
    desk = Desk(store, clock, routing(group_by=(group_by,)), ops=ops)
    desk.record(*(event(str(n)) for n in range(10_000)))
    process, began_s = psutil.Process(), time.monotonic()
    before = process.memory_info().rss
    await desk.after(0)
    took_s, grown = time.monotonic() - began_s, process.memory_info().rss - before

    assert most == len(ops.said)
    assert 10_000 == sum(count for _, count in ops.told())
    assert all(len(said.alerts) <= 1_000 for said in ops.said)
    assert took_s < 60
    assert grown < 200_000_000
