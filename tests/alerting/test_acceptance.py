"""Alertmanager's acceptance tests, told anew on a clock that is passed in.

Each story and its times are those of the test that it names (prometheus/alertmanager,
test/with_api_v2/acceptance); the answers are exact, where the originals have tolerances.
"""

from __future__ import annotations

import pytest
from tests.alerting.play import Play, config, hook, ms, mute, root

from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.dispatch.silences import Silence

FIRST, SECOND = "default/0", "default/1"


@pytest.mark.parametrize("length", [None, 3.0], ids=["TestMergeAlerts", "TestMergeAlertsEndsAt"])
def test_alerts_that_overlap_are_merged(length: float | None) -> None:
    """The earliest start, the newest annotations, the latest end; a later alert is a new one."""

    def end(start: float) -> float | None:
        return None if length is None else start + length

    play = Play(config(root(1, 1, 0.001, "alertname")))
    play.push(1, starts=1.1, ends=end(1.1)).push(1.2, starts=1)
    play.push(2.1, starts=2, ends=end(2), annotations={"ann": "v1"})
    play.push(3.6, starts=1.5, ends=end(1.5), annotations={"ann": "v2"})
    play.push(4.6, starts=3, ends=4.5, annotations={"ann": "v2"})
    play.push(4.8, starts=2.9, ends=4.8, annotations={"ann": "v3"})
    play.push(4.8, starts=2.9, ends=4.1, annotations={"ann": "v3"})
    play.push(5.3, starts=5, ends=end(5)).until(6.1)

    assert [
        (2, ("test 1",)), (3, ("test 1",)), (4, ("test 1",)), (5, ("test 1-4.8",)), (6, ("test 5",)),
    ] == play.told()  # fmt: skip
    assert [{}, {"ann": "v1"}, {"ann": "v2"}, {"ann": "v3"}, {}] == [
        sent.annotations[0] for sent in play.sent
    ]


def test_repeat() -> None:
    """TestRepeat: unchanged alerts are told again after the repeat interval, then the resolution."""
    play = Play(config(root(1, 1, 0.001, "alertname")))
    play.push(1, starts=1).push(3.5, starts=1, ends=3).until(6)

    assert [(2, ("test 1",)), (3, ("test 1",)), (4, ("test 1-3",))] == play.told()


def test_batching() -> None:
    """TestBatching: the whole group is told when it grows, and else after the repeat interval."""
    play = Play(config(root(1, 1, 4.9)))
    play.push(1.1, "test1", 1).push(1.7, "test5", 1)
    play.push(3.3, "test2", 1.5).push(3.3, "test3", 1.5).push(3.3, "test4", 1.6).until(9.9)
    everything = ("test1 1", "test2 1.5", "test3 1.5", "test4 1.6", "test5 1")

    assert [(2.1, ("test1 1", "test5 1")), (4.1, everything), (9.1, everything)] == play.told()


def test_retry() -> None:
    """TestRetry: an integration that failed is told until it takes it; the other one is not."""
    play = Play(config(root(1, 2, 3, "alertname"), hook(0), hook(1)))
    play.refuses = lambda key, now: key.index == 1 and now < 4.5
    play.push(1, "test1").until(6.5)

    assert [(2, ("test1 1",)), (6, ("test1 1",))] == play.told(FIRST)
    assert [(6, ("test1 1",))] == play.told(SECOND)


def test_resolved() -> None:
    """TestResolved: alerts that are not pushed again are resolved after resolve_timeout."""
    play = Play(config(root(1, 5, 60, "alertname"), resolve_timeout_ms=10_000))
    for label in ("v1", "v2", "v3"):
        play.push(1, lbl=label)
    play.until(30)

    assert [
        (2, ("test/v1 1", "test/v2 1", "test/v3 1")),
        (12, ("test/v1 1-11", "test/v2 1-11", "test/v3 1-11")),
    ] == play.told()


def test_resolved_filter() -> None:
    """TestResolvedFilter: who is not told of resolutions is told of an alert that fires again."""
    told = (hook(0), hook(1, send_resolved=False))
    play = Play(config(root(1, 5, 600, "alertname"), *told, resolve_timeout_ms=10_000))
    play.push(1, lbl="v1").push(1, lbl="v2")
    play.push(3, lbl="v1", starts=1, ends=4).push(3, lbl="v3")
    play.push(8, lbl="v3", starts=3).until(12.9)
    assert [
        (2, ("test/v1 1", "test/v2 1")),
        (7, ("test/v1 1-4", "test/v2 1", "test/v3 3")),
        (12, ("test/v2 1-11", "test/v3 3")),
    ] == play.told(FIRST)
    assert [(2, ("test/v1 1", "test/v2 1")), (7, ("test/v2 1", "test/v3 3"))] == play.told(SECOND)
    play.push(13, lbl="v3", starts=3, ends=13).until(17)
    play.push(18, lbl="v3", starts=18).until(22)

    assert (22, ("test/v3 18",)) == play.told(SECOND)[-1]


def test_cold_start() -> None:
    """TestColdStart: nobody is told before the start delay is over; a reload tells nobody twice."""
    play = Play(config(root(1, 6, 600)), start_delay=4)
    play.push(1, "test1", -100).push(2, "test2").until(5)
    play.engine.reload(play.config, ms(5))
    play.push(6, "test3", -100).push(7, "test4").until(11.5)

    assert [
        (4, ("test1 -100", "test2 2")),
        (11, ("test1 -100", "test2 2", "test3 -100", "test4 7")),
    ] == play.told()


def test_reload() -> None:
    """TestReload: after a reload timers begin again, and nobody is told what is known."""
    play = Play(config(root(1, 6, 600)))
    play.push(1, "test1").until(3)
    play.engine.reload(play.config, ms(3))
    play.push(4, "test2").until(20)

    assert [(2, ("test1 1",)), (9, ("test1 1", "test2 4"))] == play.told()


def test_inhibiting() -> None:
    """TestInhibiting: an alert is muted while another fires, and told with the next batch after."""
    rule = mute({"alertname": "JobDown"}, {"alertname": "InstanceDown"}, "job", "zone")
    play = Play(config(root(1, 1, 1), inhibit_rules=(rule,)))
    play.push(1, "test1").push(1, "InstanceDown", job="testjob", zone="aa")
    play.push(1, "InstanceDown", job="testjob", zone="ab")
    play.push(2.2, "JobDown", job="testjob", zone="aa").until(3.1)
    assert "suppressed" == play.state(alertname="InstanceDown", job="testjob", zone="aa")
    play.push(3.6, "JobDown", 2.2, 3.6, job="testjob", zone="aa").until(4.2)

    first, rest = "InstanceDown/testjob/aa 1", ("InstanceDown/testjob/ab 1",)
    assert [
        (2, {"test1 1", first, *rest}),
        (3, {"test1 1", "JobDown/testjob/aa 2.2", *rest}),
        (4, {"test1 1", first, *rest, "JobDown/testjob/aa 2.2-3.6"}),
    ] == [(at, set(alerts)) for at, alerts in play.told()]


def test_always_inhibiting() -> None:
    """TestAlwaysInhibiting: source and target that end together are both told as resolved."""
    rule = mute({"alertname": "JobDown"}, {"alertname": "InstanceDown"}, "job", "zone")
    play = Play(config(root(1, 1, 1), inhibit_rules=(rule,)))
    play.push(1, "InstanceDown", job="j", zone="aa").push(1, "JobDown", job="j", zone="aa")
    play.push(2.6, "JobDown", 1, 2.6, job="j", zone="aa")
    play.push(2.6, "InstanceDown", 1, 2.6, job="j", zone="aa").until(5)

    assert [
        (2, ("JobDown/j/aa 1",)),
        (3, ("InstanceDown/j/aa 1-2.6", "JobDown/j/aa 1-2.6")),
    ] == play.told()


def test_an_empty_inhibition_rule_mutes_nothing() -> None:
    """TestEmptyInhibitionRule: all alerts are on both of its sides, and so mute each other not."""
    play = Play(config(root(1, 1, 600), inhibit_rules=(mute({}, {}),)))
    play.push(1, "a").push(1, "b").until(2.5)

    assert [(2, ("a 1", "b 1"))] == play.told()


def silence(starts: float, ends: float, **labels: str) -> Silence:
    """Return a silence of equality matchers."""
    matchers = tuple(Matcher(name, "=", value) for name, value in labels.items())
    return Silence("", matchers, ms(starts), ms(ends), "me", "why")


def test_silencing() -> None:
    """TestSilencing: only what matches is muted, and it is told again after the silence."""
    play = Play(config(root(1, 1, 0.001)))
    play.push(1, "test1").push(1, "test2").until(2.3)
    identity, changed = play.engine.silences.plan(
        silence(2.5, 4.5, alertname="test1"), ms(2.3), "i"
    )
    play.engine.silences.take(changed)
    play.until(3)
    assert "i" == identity
    assert "suppressed" == play.state(alertname="test1")
    play.until(5.5)
    both, one = ("test1 1", "test2 1"), ("test2 1",)

    assert [(2, both), (3, one), (4, one), (5, both)] == play.told()


def test_silence_delete() -> None:
    """TestSilenceDelete: once a silence is ended, the alert is told with the next batch."""
    play = Play(config(root(1, 1, 1)))
    _, changed = play.engine.silences.plan(silence(0.5, 100, alertname="test1"), ms(0.5), "i")
    play.engine.silences.take(changed)
    play.push(1, "test1").until(2.5)
    assert [] == play.told()
    play.engine.silences.take(play.engine.silences.ending("i", ms(2.5)))
    play.until(3.5)

    assert [(3, ("test1 1",))] == play.told()


def test_status_is_current() -> None:
    """TestAlertGetReturnsCurrentAlertStatus: silences and inhibition show before any batch."""
    rule = mute({"severity": "critical"}, {"severity": "warning"}, "alertname")
    play = Play(config(root(600, 600, 600), inhibit_rules=(rule,)))
    play.push(1, severity="warning")
    assert "active" == play.state(alertname="test", severity="warning")
    play.push(2, severity="critical")
    status = play.engine.status({"alertname": "test", "severity": "warning"}, ms(2))
    assert ("suppressed", (), 1) == (status.state, status.silenced_by, len(status.inhibited_by))
    _, changed = play.engine.silences.plan(silence(2, 9, severity="critical"), ms(2), "i")
    play.engine.silences.take(changed)

    assert ("i",) == play.engine.status({"severity": "critical"}, ms(2)).silenced_by
    assert () == play.engine.status({"severity": "critical"}, ms(9)).silenced_by


def test_one_that_takes_over_tells_nobody_twice() -> None:
    """TestClusterDeduplication: who knows what was told, as after a restart, tells it not again."""
    play = Play(config(root(1, 5, 600)))
    play.push(1, "test1").until(2)
    other = Play(play.config)
    other.engine.restore(play.engine.alerts, (), play.engine.log, ms(3))
    other.until(20)
    play.until(20)

    assert [(2, ("test1 1",))] == play.told()
    assert [] == other.told()


def test_names_may_be_any_text() -> None:
    """TestAddUTF8Alerts, …Silences, …Route: labels are grouped, silenced and matched as any."""
    names = {"a🙂": "ñ", "alertname": "x"}
    play = Play(config(root(1, 5, 600, "a🙂")))
    play.take(1, {"alertname": "x", "a🙂": "ñ"})
    (group,) = play.engine.groups
    _, changed = play.engine.silences.plan(silence(1, 9, **{"a🙂": "ñ"}), ms(1), "i")
    play.engine.silences.take(changed)

    assert '{}:{a🙂="ñ"}' == group.key
    assert ("i",) == play.engine.status(names, ms(1)).silenced_by
