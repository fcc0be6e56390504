"""Where alerts go, how groups are called, and when they are due."""

from __future__ import annotations

from typing import Any

import pytest
from tests.alerting.play import Play, config, hook, ms, root

from watchkeeper.server.alerts.config.model import Matcher, Route
from watchkeeper.server.alerts.config.route import matching_routes
from watchkeeper.server.alerts.dispatch.alerts import (
    ActiveAlert,
    AlertTable,
    LabelsOrder,
    fingerprint,
)
from watchkeeper.server.alerts.dispatch.groups import GroupTable, labels_text


def route(receiver: str, *routes: Route, team: str = "", **more: Any) -> Route:
    """Return a route that takes alerts of *team*."""
    matchers = (Matcher("team", "=", team),) if team else ()
    return Route(receiver, matchers, routes=routes, **more)


TREE = route(
    "root",
    route("audit", team="a", continue_=True),
    route("first", Route("deep", (Matcher("x", "=~", "1.*"),)), team="a"),
    route("second", team="a"),
)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, ["root"]),
        ({"team": "b"}, ["root"]),
        ({"team": "a"}, ["audit", "first"]),
        ({"team": "a", "x": "12"}, ["audit", "deep"]),
    ],
)
def test_an_alert_goes_down_the_tree(labels: dict[str, str], expected: list[str]) -> None:
    """The deepest match of the first child that matches takes it, and of more after continue."""
    assert expected == [node.receiver for node in matching_routes(TREE, labels)]


def test_a_group_is_called_as_alertmanager_calls_it() -> None:
    """The route's key, a colon, and the group's labels in order, quoted."""
    node = Route("r", key='{}/{a="b"}', group_by=("z", "alertname", "missing"))
    table = GroupTable(node)
    table.put(ActiveAlert({"alertname": 'X "y"\\', "z": "1", "q": "2"}, {}, 0, None, 0), 0)
    (group,) = table

    assert '{}/{a="b"}:{alertname="X \\"y\\"\\\\", z="1"}' == group.key
    assert "{}" == labels_text({})


def test_every_alert_can_be_a_group_of_its_own() -> None:
    """``group_by: [...]`` groups by all labels."""
    play = Play(config(root(1, 1, 60, group_by_all=True)))
    play.push(1, "a", x="1").push(1, "a", x="2").until(2)

    assert [(2, ("a/1 1",)), (2, ("a/2 1",))] == play.told()


def test_an_old_alert_does_not_wait() -> None:
    """An alert that is older than group_wait makes its new group due at once."""
    play = Play(config(root(30, 60, 600)))
    play.push(100, "young", 90).push(105, "old", 50).until(105)

    assert [(105, ("old 50", "young 90"))] == play.told()


def test_what_is_over_before_group_wait_is_not_told() -> None:
    """An alert that ends before anybody was told of it is told to nobody."""
    play = Play(config(root(30, 60, 600)))
    play.push(1).push(20, starts=1, ends=20).until(600)

    assert [] == play.told()
    assert 0 == len(play.engine.alerts)


def test_a_group_that_is_empty_is_forgotten() -> None:
    """After the resolution was told nothing is left, and a new alert waits for group_wait anew."""
    play = Play(config(root(10, 20, 600)))
    play.push(1).push(12, starts=1, ends=12).until(61)
    assert 0 == len(play.engine.groups) == len(play.engine.alerts)
    play.push(70).until(90)

    assert [(11, ("test 1",)), (31, ("test 1-12",)), (80, ("test 70",))] == play.told()


def test_an_alert_that_returns_while_it_is_told_stays() -> None:
    """Only what is the same as was told leaves the group."""
    play = Play(config(root(1, 5, 600)))
    play.push(1).push(3, starts=1, ends=3).until(6.9)
    (flush,) = play.engine.due(ms(7))
    play.push(8, starts=8)
    play.engine.told(flush.tasks[0], ms(8), {})
    play.engine.done(flush, ok=True)
    play.until(12)

    assert (12, ("test 8",)) == play.told()[-1]


def test_flapping_does_not_tell_every_time() -> None:
    """An alert that toggles every 15 s for an hour is told at most once per group_interval."""
    play = Play(config(root(30, 300, 4 * 3600)))
    for turn in range(120):
        at = 30.0 * turn
        play.push(at, starts=at, ends=at + 14_400)
        play.push(at + 15, starts=at, ends=at + 15)
    play.until(3600)

    assert len(play.sent) <= 3600 / 300 + 1


def test_repeats_fall_on_group_intervals() -> None:
    """repeat_interval is rounded up to the next multiple of group_interval."""
    play = Play(config(root(0, 40, 100)))
    play.push(0).until(300)

    assert [0, 120, 240] == [at for at, _ in play.told()]


def test_groups_are_bounded_and_nothing_is_lost() -> None:
    """Alerts beyond the limit go into one group without labels."""
    table = GroupTable(root(1, 1, 60, group_by_all=True), most=3)
    for n in range(10):
        table.put(ActiveAlert({"n": str(n)}, {}, 0, None, 0), 0)

    assert 4 == len(table)
    assert 7 == table.overflowed
    assert 10 == sum(len(group.alerts) for group in table)


def test_alerts_are_bounded() -> None:
    """A new alert beyond the limit is refused and counted; known ones are kept up to date."""
    table = AlertTable(most=1)
    kept = table.put(ActiveAlert({"n": "1"}, {}, 0, None, 0), 0)
    refused = table.put(ActiveAlert({"n": "2"}, {}, 0, None, 0), 0)
    ended = table.put(ActiveAlert({"n": "1"}, {}, 0, 5, 5), 5)

    assert kept is not None
    assert (None, 1, 1) == (refused, table.refused, len(table))
    assert ended is not None
    assert ended.resolved(5)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "cbf29ce484222325"),
        ({"alertname": "test"}, "1f56cb8f931d1bd4"),
        ({"b": "ü", "a": "1"}, "ec6dc93018bba49a"),
    ],
)
def test_fingerprints_are_prometheus_own(labels: dict[str, str], expected: str) -> None:
    """The hash of no labels is FNV's offset; the others are those that Alertmanager shows."""
    assert expected == fingerprint(labels)


def test_time_intervals_mute_a_route() -> None:
    """Nobody is told inside a mute interval, nor outside of the active ones."""
    at_night = {"night": (10.0, 20.0), "day": (30.0, 99.0)}

    def inside(interval: tuple[float, float], now_ms: int) -> bool:
        return ms(interval[0]) <= now_ms < ms(interval[1])

    muted = root(1, 5, 600, mute_time_intervals=("night",))
    active = root(1, 5, 600, active_time_intervals=("day",))
    found = [
        Play(config(node, time_intervals=at_night), inside).push(11).until(60).told()[0][0]
        for node in (muted, active)
    ]

    assert [22, 32] == found


def test_a_permanent_failure_does_not_keep_alerts_for_ever() -> None:
    """What ended a day ago leaves its group although a receiver never took it."""
    play = Play(config(root(1, 300, 600), hook(0)))
    play.refuses = lambda _key, _now: True
    play.push(1).push(500, starts=1, ends=500).until(500 + 86_400 + 60)

    assert 0 == len(play.engine.alerts)


def test_an_alert_whose_sender_could_not_reach_us_is_not_resolved_at_once() -> None:
    """After an outage it counts as resolved only when resolve_timeout is over again."""
    first = Play(config(root(1, 5, 7200), resolve_timeout_ms=60_000))
    first.push(1).until(10)
    second = Play(first.config)
    second.engine.restore(first.engine.alerts, (), first.engine.log, ms(3600))
    second.now = 3600
    second.until(3650)
    assert [] == second.told()
    second.until(3700)

    assert [("test 1-3660",)] == [alerts for _, alerts in second.told()]


def test_labels_are_in_prometheus_order() -> None:
    """Fewer first; then who lacks the first name that differs; then by value."""
    wanted = [{}, {"b": "1"}, {"a": "1"}, {"a": "2"}, {"b": "1", "c": "1"}, {"a": "0", "b": "9"}]
    wanted_last_first = wanted[::-1]
    found = sorted(wanted_last_first, key=LabelsOrder)

    assert wanted == found
