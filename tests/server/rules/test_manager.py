"""Rules over a real store and a real engine: evaluation, restart, reload, faults."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.server.rules.world import Told, world

from watchkeeper.errors import StoreError
from watchkeeper.server.rules.manager import RuleText
from watchkeeper.server.store.rows import Batch
from watchkeeper.testing.clock import FixedClock

HOT = RuleText(
    "hot.yml",
    """
groups:
- name: g
  rules:
  - record: heat
    expr: m * 2
  - alert: Hot
    expr: heat > 10
    for: 30s
    labels: {severity: page}
    annotations: {summary: "{{ $labels.job }} is at {{ $value }}"}
""",
)


async def test_an_alert_goes_pending_firing_resolved(tmp_path: Path, clock: FixedClock) -> None:
    """A later rule sees what an earlier one records at once; each change is told once."""
    async with world(tmp_path / "d", clock, [HOT]) as here:
        states = []
        for value in (9, 9, 9, 9, 1, 1):
            await here.turn(m=value)
            states.append(here.rule("Hot")["state"])
        assert ["pending", "pending", "firing", "firing", "inactive", "inactive"] == states
        assert ["Hot firing", "Hot resolved"] == here.said()
        assert {"summary": "api is at 18"} == dict(here.told.messages[0].alerts[0].annotations)
        assert [({"__name__": "heat", "job": "api"}, 2.0)] == here.latest("heat")
        assert [] == here.latest("ALERTS")


async def test_alerts_are_shown_as_prometheus_shows_them(tmp_path: Path, clock: FixedClock) -> None:
    """Groups, rules and alerts carry the fields of ``/api/v1/rules``, and series exist."""
    async with world(tmp_path / "d", clock, [HOT]) as here:
        await here.turn(m=9)
        shown = here.rule("Hot")
        assert ("ok", "alerting", 30.0) == (shown["health"], shown["type"], shown["duration"])
        assert [{"alertname": "Hot", "job": "api", "severity": "page"}] == [
            alert["labels"] for alert in shown["alerts"]
        ]
        assert shown["alerts"][0]["activeAt"].endswith("Z")
        (series, value) = here.latest("ALERTS")[0]
        assert ("pending", 1.0) == (series["alertstate"], value)
        (_, since) = here.latest("ALERTS_FOR_STATE")[0]
        assert here.now_ms() // 1000 == since


async def test_a_restart_loses_nothing_and_tells_nobody_again(
    tmp_path: Path, clock: FixedClock
) -> None:
    """Pending time survives, a firing alert is not told twice, a resolved one exactly once."""
    told = Told()
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        await here.turn(m=9)
        await here.turn(m=9)
        assert "pending" == here.rule("Hot")["state"]
    clock.advance(300)
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        await here.turn(m=9)
        assert "firing" == here.rule("Hot")["state"]
        assert ["Hot firing"] == here.said()
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        await here.turn(m=9)
        await here.turn(m=9)
        assert ["Hot firing"] == here.said()
        await here.turn(m=1)
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        await here.turn(m=1)
        assert ["Hot firing", "Hot resolved"] == here.said()


async def test_what_was_not_delivered_is_delivered_after_a_restart(
    tmp_path: Path, clock: FixedClock
) -> None:
    """The alert is a committed row before anything is sent."""
    told = Told()
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        await here.turn(m=9)
        for _ in range(2):
            clock.advance(15)
            await here.manager.evaluate(here.now_ms())
        assert [] == told.messages
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        await here.notifier.deliver()
        assert ["Hot firing"] == here.said()
        assert ["delivered"] == [row["outcome"] for row in here.rows()]


async def test_a_rule_that_was_removed_while_down_is_resolved(
    tmp_path: Path, clock: FixedClock
) -> None:
    """Its firing alert is resolved once; if only its file is unreadable, it is left alone."""
    told = Told()
    async with world(tmp_path / "d", clock, [HOT], told) as here:
        for _ in range(4):
            await here.turn(m=9)
    broken = RuleText("hot.yml", "groups: [")
    async with world(tmp_path / "d", clock, [broken], told) as here:
        await here.notifier.deliver()
        assert ["Hot firing"] == here.said()
    for _ in range(2):
        async with world(tmp_path / "d", clock, [], told) as here:
            await here.notifier.deliver()
            assert ["Hot firing", "Hot resolved"] == here.said()


async def test_a_failing_query_keeps_the_state(tmp_path: Path, clock: FixedClock) -> None:
    """An error is no all-clear: the alert keeps firing, the rule's health says why."""
    file = tmp_path / "r.yml"
    file.write_text(
        "groups:\n- name: g\n  rules:\n  - alert: Join\n    expr: (m and on() vector(1)) + on() n\n"
    )
    async with world(tmp_path / "d", clock, [file]) as here:
        await here.turn(m=1, n=1)
        assert "firing" == here.rule("Join")["state"]
        extra = RuleText(
            "x",
            "groups:\n- name: x\n  rules:\n  - {record: n, expr: m * 1, labels: {job: b}}\n",
        )
        await here.manager.reload([extra, file])
        await here.turn(m=1, n=1)
        shown = here.rule("Join")
        assert ("err", "firing") == (shown["health"], shown["state"])
        assert shown["lastError"] != ""
        assert b'outcome="error"' in here.metrics.render()


async def test_a_bad_file_keeps_the_rules_that_it_had(tmp_path: Path, clock: FixedClock) -> None:
    """Reloading a broken file changes nothing of its rules; other files load."""
    file = tmp_path / "hot.yml"
    file.write_text(HOT.text)
    async with world(tmp_path / "d", clock, [file]) as here:
        for _ in range(3):
            await here.turn(m=9)
        file.write_text("groups:\n- name: g\n  rulez: []\n")
        other = RuleText("o", "groups:\n- name: o\n  rules:\n  - {record: r, expr: vector(1)}\n")
        errors = await here.manager.reload([file, other])
        await here.turn(m=9)
        assert [str(file)] == list(errors)
        assert "unknown field 'rulez'" in here.manager.errors[str(file)]
        assert "firing" == here.rule("Hot")["state"]
        assert "ok" == here.rule("r")["health"]
        assert ["Hot firing"] == here.said()
        assert b'reason="rule_file"' in here.metrics.render()


async def test_a_reload_resolves_what_is_gone_and_keeps_the_rest(
    tmp_path: Path, clock: FixedClock
) -> None:
    """A rule that stays keeps its alerts; one that is removed is resolved, once."""
    both = HOT.text + "  - {alert: Warm, expr: m > 2}\n"
    async with world(tmp_path / "d", clock, [RuleText("hot.yml", both)]) as here:
        for _ in range(3):
            await here.turn(m=9)
        assert ["Warm firing", "Hot firing"] == here.said()
        await here.manager.reload([HOT])
        for _ in range(2):
            await here.turn(m=9)
        assert ["Warm firing", "Hot firing", "Warm resolved"] == here.said()
        assert "firing" == here.rule("Hot")["state"]


async def test_state_counts_only_once_it_is_committed(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the commit fails, the next evaluation comes to the same event again."""
    async with world(tmp_path / "d", clock, [HOT]) as here:
        await here.turn(m=9)
        await here.turn(m=9)

        def full() -> None:
            raise StoreError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(here.store, "state_write", full)
            with pytest.raises(StoreError):
                await here.turn(m=9)
        assert "pending" == here.rule("Hot")["state"]
        await here.turn(m=9)
        assert ["Hot firing"] == here.said()


async def test_the_watchdog_tells_nobody(tmp_path: Path, clock: FixedClock) -> None:
    """Alerts of severity ``none`` fire and are shown, without notifications."""
    dog = RuleText(
        "w",
        "groups:\n- name: w\n  rules:\n  - {alert: W, expr: vector(1), labels: {severity: none}}\n",
    )
    async with world(tmp_path / "d", clock, [dog]) as here:
        await here.turn()
        assert "firing" == here.rule("W")["state"]
        assert [] == here.said()


async def test_a_flood_of_alerts_is_one_message(tmp_path: Path, clock: FixedClock) -> None:
    """Alerts of one name that fire together are told together, which is one row."""
    flood = RuleText(
        "f", "groups:\n- name: f\n  rules:\n  - {alert: F, expr: '{__name__=~\"m.+\"}'}\n"
    )
    async with world(tmp_path / "d", clock, [flood]) as here:
        rules = "\n".join(
            f"  - {{record: m{n}, expr: vector(1), labels: {{n: '{n}'}}}}" for n in range(50)
        )
        record = RuleText("r", f"groups:\n- name: r\n  rules:\n{rules}\n")
        await here.manager.reload([record, flood])
        await here.turn()
        assert ["F firing"] == here.said()
        assert [50] == [row["alerts"] for row in here.rows()]
        assert 50 == len(here.told.messages[0].alerts)


async def test_groups_run_on_their_interval(tmp_path: Path, clock: FixedClock) -> None:
    """Scheduled groups evaluate by themselves until they are stopped."""
    quick = RuleText(
        "q", "groups:\n- name: q\n  interval: 20ms\n  rules:\n  - {record: r, expr: vector(1)}\n"
    )
    async with world(tmp_path / "d", clock, [quick]) as here:
        await here.manager.start()
        for _ in range(200):
            if here.rule("r")["health"] == "ok":
                break
            await asyncio.sleep(0.01)
        assert "ok" == here.rule("r")["health"]


async def test_series_of_rules_that_are_gone_end_at_once(tmp_path: Path, clock: FixedClock) -> None:
    """A reload ends what a removed rule recorded, and the series of its alerts."""
    other = "groups:\n- name: g\n  rules:\n  - {record: warmth, expr: m}\n"
    async with world(tmp_path / "d", clock, [HOT]) as here:
        for _ in range(3):
            await here.turn(m=9)
        assert [[18.0], [1.0]] == [
            [value for _, value in here.latest(query)] for query in ("heat", "ALERTS")
        ]
        clock.advance(1)
        await here.manager.reload([RuleText("hot.yml", other)])
        here.store.ingest(Batch()).result(timeout=10)
        assert [[], []] == [here.latest("heat"), here.latest("ALERTS")]


async def test_a_group_that_did_not_change_goes_on(tmp_path: Path, clock: FixedClock) -> None:
    """Its last evaluation is still shown after a reload; a changed group starts anew."""
    async with world(tmp_path / "d", clock, [HOT]) as here:
        await here.turn(m=9)
        await here.manager.reload([HOT])
        assert ("ok", "pending") == (here.rule("Hot")["health"], here.rule("Hot")["state"])
        await here.manager.reload([RuleText("hot.yml", HOT.text.replace("30s", "45s"))])
        assert ("unknown", "pending") == (here.rule("Hot")["health"], here.rule("Hot")["state"])


async def test_a_good_load_clears_the_errors(tmp_path: Path, clock: FixedClock) -> None:
    """While a file is bad its error stays; the time of the last good load stands still."""
    async with world(tmp_path / "d", clock, [HOT]) as here:
        good_ms = here.manager.good_ms
        clock.advance(60)
        await here.manager.reload([RuleText("hot.yml", "groups: 5")])
        assert (["hot.yml"], good_ms) == (list(here.manager.errors), here.manager.good_ms)
        await here.manager.reload([HOT])
        assert ({}, good_ms + 60_000) == (dict(here.manager.errors), here.manager.good_ms)


async def test_reloads_at_once_follow_each_other(tmp_path: Path, clock: FixedClock) -> None:
    """Two requests at the same time leave one loop for each group, and the later rules."""
    changed = RuleText("hot.yml", HOT.text.replace("name: g", "name: h"))
    async with world(tmp_path / "d", clock, [HOT]) as here:
        await here.manager.start()
        await asyncio.gather(*(here.manager.reload([one]) for one in (HOT, changed, HOT, changed)))
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("rules ")]
        assert ["rules hot.yml;h"] == [task.get_name() for task in tasks if not task.done()]


async def test_samples_lie_where_the_query_offset_puts_them(
    tmp_path: Path, clock: FixedClock
) -> None:
    """With ``query_offset`` the past is asked, and results are written at that past."""
    late = HOT.text.replace("- name: g", "- name: g\n  query_offset: 15s")
    async with world(tmp_path / "d", clock, [RuleText("hot.yml", late)]) as here:
        await here.turn(m=1)
        await here.turn(m=9)
        assert [2.0] == [value for _, value in here.latest("heat")]
        assert [here.now_ms() / 1000 - 15] == [v for _, v in here.latest("timestamp(heat)")]
        await here.turn(m=9)
        assert [18.0] == [value for _, value in here.latest("heat")]
        assert [here.now_ms() / 1000 - 15] == [v for _, v in here.latest("timestamp(ALERTS)")]
