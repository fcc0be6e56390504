"""What becomes of alerts from one evaluation to the next, with time as an argument."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from watchkeeper.errors import QueryError
from watchkeeper.server.rules.model import Alert, AlertState, LoadedRule, ResultSample
from watchkeeper.server.rules.state import RESOLVED_KEPT_MS, Step, restored, step_alert, step_record
from watchkeeper.server.rules.template import TemplateData, expand
from watchkeeper.server.series import Labels, is_stale, sorted_labels

MINUTE = 60_000
A = sorted_labels({"alertname": "A", "job": "api"})
BAD = (ResultSample(sorted_labels({"__name__": "m", "job": "api"}), 2.0),)
GOOD: tuple[ResultSample, ...] = ()


def filled(text: str, labels: Mapping[str, str], value: float) -> str:
    """Expand a template."""
    return expand(text, TemplateData(labels, value))


def rule(for_ms: int = 0, keep_ms: int = 0) -> LoadedRule:
    """Return an alerting rule."""
    return LoadedRule("A", "m > 1", alerting=True, for_ms=for_ms, keep_firing_for_ms=keep_ms)


def walk(given: LoadedRule, story: str) -> str:
    """Evaluate once a minute, ``x`` meaning that the condition holds; return the states.

    ``p`` is pending, ``F`` firing, ``r`` resolved, ``.`` nothing; ``!`` precedes a notification.
    """
    alerts: Mapping[Labels, Alert] = {}
    shown = ""
    for minute, letter in enumerate(story):
        step = step_alert(given, alerts, BAD if letter == "x" else GOOD, minute * MINUTE, filled)
        alerts = step.alerts
        letters = {AlertState.PENDING: "p", AlertState.FIRING: "F", AlertState.INACTIVE: "r"}
        shown += "!" * len(step.events) + (letters[alerts[A].state] if A in alerts else ".")
    return shown


@pytest.mark.parametrize(
    ("given", "story", "states"),
    [
        (rule(), "x-", "!F!r"),
        (rule(), "xxx--x", "!FFF!rr!F"),
        (rule(2 * MINUTE), "xxxx", "pp!FF"),
        (rule(2 * MINUTE), "xx-xxx", "pp.pp!F"),
        (rule(2 * MINUTE), "x-x-x-", "p.p.p."),
        (rule(1), "xx", "p!F"),
        (rule(2 * MINUTE), "xxx-xxx", "pp!F!rpp!F"),
        (rule(0, 2 * MINUTE), "x---", "!FFF!r"),
        (rule(0, 2 * MINUTE), "x-x--x--", "!FFFFFFFF"),
        (rule(2 * MINUTE, 2 * MINUTE), "x-xxx---", "p.pp!FFF!r"),
        (rule(), "x" + "-" * 18, "!F!r" + "r" * 15 + ".."),
    ],
)
def test_states_follow_the_condition(given: LoadedRule, story: str, states: str) -> None:
    """``for`` delays, ``keep_firing_for`` bridges gaps, a resolved alert is kept 15 minutes."""
    assert states == walk(given, story)


def test_an_alert_keeps_its_start_and_takes_newer_texts() -> None:
    """While it lasts, the time it began stays and value and annotations follow the result."""
    given = LoadedRule(
        "A", "m", alerting=True, annotations=(("s", "{{ $value }} {{ $labels.job }}"),)
    )
    first = step_alert(given, {}, BAD, 0, filled)
    later = (ResultSample(BAD[0].labels, 7.5),)
    alert = step_alert(given, first.alerts, later, MINUTE, filled).alerts[A]

    assert (0, 7.5, (("s", "7.5 api"),)) == (alert.active_at_ms, alert.value, alert.annotations)


def test_labels_are_templates_too() -> None:
    """A label of the rule replaces one of the result; an empty one is left out."""
    given = LoadedRule(
        "A", "m", alerting=True, labels=(("job", "x-{{ $labels.job }}"), ("none", ""))
    )
    step = step_alert(given, {}, BAD, 0, filled)

    assert [sorted_labels({"alertname": "A", "job": "x-api"})] == list(step.alerts)


def test_two_alerts_with_the_same_labels_are_an_error() -> None:
    """Results that differ only in what the rule's labels hide cannot be told apart."""
    given = LoadedRule("A", "m", alerting=True, labels=(("job", "same"),))
    results = (ResultSample((("job", "a"),), 1.0), ResultSample((("job", "b"),), 1.0))

    with pytest.raises(QueryError, match="same labels"):
        step_alert(given, {}, results, 0, filled)


def test_too_many_alerts_are_an_error() -> None:
    """A group's limit refuses the whole result, so that the state stays as it was."""
    results = tuple(ResultSample((("job", str(n)),), 1.0) for n in range(3))

    with pytest.raises(QueryError, match="exceeded limit of 2 with 3 alerts"):
        step_alert(rule(), {}, results, 0, filled, alerts_max=2)


def values(step: Step) -> dict[str, str]:
    """Return what a step writes: metric and state to value, ``stale`` for the marker."""
    shown = {}
    for sample in step.samples:
        labels = dict(sample.labels)
        name = labels["__name__"] + (f"/{labels['alertstate']}" if "alertstate" in labels else "")
        shown[name] = "stale" if is_stale_value(sample.value) else f"{sample.value:g}"
    return shown


def is_stale_value(value: float) -> bool:
    """Return whether *value* is the staleness marker."""
    return bool(is_stale(np.array([value]))[0])


def test_alerts_are_written_as_series_that_end_with_them() -> None:
    """``ALERTS`` shows the state, ``ALERTS_FOR_STATE`` the start; markers end what is over."""
    given = rule(MINUTE)
    first = step_alert(given, {}, BAD, 60_000, filled)
    second = step_alert(given, first.alerts, BAD, 120_000, filled)
    third = step_alert(given, second.alerts, GOOD, 180_000, filled)
    fourth = step_alert(given, third.alerts, GOOD, 240_000, filled)

    assert {"ALERTS/pending": "1", "ALERTS_FOR_STATE": "60"} == values(first)
    assert {"ALERTS/firing": "1", "ALERTS_FOR_STATE": "60", "ALERTS/pending": "stale"} == values(
        second
    )
    assert {"ALERTS/firing": "stale", "ALERTS_FOR_STATE": "stale"} == values(third)
    assert {} == values(fourth)


def test_a_recording_rule_writes_its_result() -> None:
    """The name and the rule's labels replace the result's; a series that is gone ends."""
    given = LoadedRule("job:m", "m", alerting=False, labels=(("team", "a"),))
    first = step_record(given, frozenset(), BAD, 0)
    second = step_record(given, first.series, GOOD, MINUTE)
    labels = sorted_labels({"__name__": "job:m", "job": "api", "team": "a"})

    assert [(labels, 0, 2.0)] == [tuple(sample) for sample in first.samples]
    assert {"job:m": "stale"} == values(second)


@pytest.mark.parametrize(
    ("for_min", "pending_min", "down_min", "fires_after_min"),
    [
        (5, 2, 1, 3),
        (5, 2, 59, 3),
        (30, 5, 10, 25),
        (30, 25, 10, 10),
        (30, 29, 59, 10),
    ],
)
def test_a_pending_alert_is_taken_up_after_an_outage(
    for_min: int, pending_min: int, down_min: int, fires_after_min: int
) -> None:
    """Downtime does not count towards ``for``; long ``for`` get ten minutes of grace."""
    down_at, now = pending_min * MINUTE, (pending_min + down_min) * MINUTE
    alert = restored(rule(for_min * MINUTE), Alert(A, (), AlertState.PENDING, 1.0, 0), down_at, now)

    assert alert is not None
    assert fires_after_min * MINUTE == alert.active_at_ms + for_min * MINUTE - now


def test_after_a_long_outage_pending_alerts_start_over() -> None:
    """More than an hour later a pending alert is dropped; a firing one comes back as it was."""
    pending = Alert(A, (), AlertState.PENDING, 1.0, 0)
    firing = Alert(A, (), AlertState.FIRING, 1.0, 0, fired_at_ms=0)

    assert restored(rule(MINUTE), pending, 0, 61 * MINUTE) is None
    assert restored(rule(MINUTE), firing, 0, 24 * 60 * MINUTE) == firing


def test_a_clock_that_is_set_back_resolves_nothing() -> None:
    """States depend on results; an earlier time neither resolves nor fires an alert."""
    firing = step_alert(rule(), {}, BAD, RESOLVED_KEPT_MS, filled)
    pending = step_alert(rule(MINUTE), {}, BAD, RESOLVED_KEPT_MS, filled)

    assert step_alert(rule(), firing.alerts, BAD, 0, filled).events == ()
    assert step_alert(rule(MINUTE), pending.alerts, BAD, 0, filled).events == ()
