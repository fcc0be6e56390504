"""What becomes of a rule's alerts when its expression has been evaluated: a pure core.

Behaviour as Prometheus documents it ("Alerting rules") and its alert generator specification
pins it (prometheus/compliance, alert_generator).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from watchkeeper.errors import QueryError
from watchkeeper.server.rules.model import (
    Alert,
    AlertEvent,
    AlertState,
    LoadedRule,
    ResultSample,
    Texts,
)
from watchkeeper.server.series import STALE_NAN, Labels, sorted_labels
from watchkeeper.server.store.rows import Sample
from watchkeeper.vocabulary.limits import limit

__all__ = ["RESOLVED_KEPT_MS", "Step", "restored", "series_of", "step_alert", "step_record"]

RESOLVED_KEPT_MS = 15 * 60_000
"""How long a resolved alert is remembered."""

OUTAGE_TOLERANCE_MS = 60 * 60_000
"""A pending alert is taken up again only if the outage was not longer than this."""

GRACE_MS = 10 * 60_000
"""After an outage, an alert with a ``for`` of at least this waits this long before it fires."""

Expand = Callable[[str, Mapping[str, str], float], str]
"""Expands a template for the labels and the value of one result."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one evaluation of one rule led to."""

    alerts: Mapping[Labels, Alert]
    events: tuple[AlertEvent, ...]
    samples: tuple[Sample, ...]
    """Samples to write, staleness markers for series that ended included."""
    series: frozenset[Labels]
    """The series that are alive now."""


def step_alert(
    rule: LoadedRule,
    alerts: Mapping[Labels, Alert],
    results: Sequence[ResultSample],
    now_ms: int,
    expand: Expand,
    *,
    alerts_max: int = 0,
    offset_ms: int = 0,
) -> Step:
    """Return what follows when an alerting rule's expression gave *results*.

    Args:
        rule: The rule.
        alerts: Its alerts so far, by labels.
        results: The expression's result; one alert for each element.
        now_ms: Time of the evaluation, Unix milliseconds.
        expand: Expands templates.
        alerts_max: Most active alerts, 0 for ``rule_alerts_max`` only.
        offset_ms: How long ago what was asked lies; samples are written at that time.

    Raises:
        QueryError: Two results have the same labels once the rule's own are added, or there are
            more alerts than allowed. The caller keeps the old state.
    """
    most = min(alerts_max or limit("rule_alerts_max"), limit("rule_alerts_max"))
    if len(results) > most:
        raise QueryError(f"exceeded limit of {most} with {len(results)} alerts")
    current = _current(rule, results, now_ms, expand)
    after: dict[Labels, Alert] = {}
    events: list[AlertEvent] = []
    for labels in (*alerts, *(new for new in current if new not in alerts)):
        before, now = alerts.get(labels), current.get(labels)
        moved = _advance(rule, before, now, now_ms)
        if moved is None:
            continue
        after[labels] = moved
        was_firing = before is not None and before.state is AlertState.FIRING
        if (moved.state is AlertState.FIRING) != was_firing:
            events.append(AlertEvent(rule.name, not was_firing, moved))
    alive = tuple(_samples(after.values(), now_ms - offset_ms))
    series = frozenset(sample.labels for sample in alive)
    ended = _ended(series_of(alerts.values()) - series, now_ms - offset_ms)
    return Step(after, tuple(events), (*alive, *ended), series)


def _current(
    rule: LoadedRule, results: Sequence[ResultSample], now_ms: int, expand: Expand
) -> dict[Labels, Alert]:
    found: dict[Labels, Alert] = {}
    for result in results:
        seen = dict(result.labels)
        labels = {name: value for name, value in seen.items() if name != "__name__"}
        labels |= {name: expand(text, seen, result.value) for name, text in rule.labels}
        labels["alertname"] = rule.name
        key = sorted_labels(labels)
        if key in found:
            raise QueryError(
                "two results have the same labels once the alert's labels are added: "
                f"{dict(key)}. Accepted: results that differ. Next: aggregate the expression."
            )
        annotations: Texts = tuple(
            (name, expand(text, seen, result.value)) for name, text in rule.annotations
        )
        found[key] = Alert(key, annotations, AlertState.PENDING, result.value, now_ms)
    return found


def _advance(
    rule: LoadedRule, before: Alert | None, now: Alert | None, now_ms: int
) -> Alert | None:
    """Return the alert after this evaluation, or None if it is forgotten."""
    if now is None:
        return None if before is None else _unmet(rule, before, now_ms)
    alert = now
    if before is not None and before.state is not AlertState.INACTIVE:
        alert = replace(
            before, value=now.value, annotations=now.annotations, keep_firing_since_ms=None
        )
    if alert.state is AlertState.PENDING and now_ms - alert.active_at_ms >= rule.for_ms:
        alert = replace(alert, state=AlertState.FIRING, fired_at_ms=now_ms)
    return alert


def _unmet(rule: LoadedRule, alert: Alert, now_ms: int) -> Alert | None:
    """Return what becomes of an alert whose condition no longer holds."""
    if alert.state is AlertState.PENDING:
        return None
    if alert.state is AlertState.INACTIVE:
        age_ms = now_ms - (alert.resolved_at_ms or 0)
        return None if age_ms > RESOLVED_KEPT_MS else alert
    since = alert.keep_firing_since_ms
    since = now_ms if since is None else since
    if rule.keep_firing_for_ms > 0 and now_ms - since < rule.keep_firing_for_ms:
        return replace(alert, keep_firing_since_ms=since)
    return replace(
        alert, state=AlertState.INACTIVE, resolved_at_ms=now_ms, keep_firing_since_ms=None
    )


def _samples(alerts: Iterable[Alert], t_ms: int) -> Iterable[Sample]:
    for alert in alerts:
        if alert.state is not AlertState.INACTIVE:
            shown, since = _series(alert)
            yield Sample(shown, t_ms, 1.0)
            yield Sample(since, t_ms, float(alert.active_at_ms // 1000))


def _series(alert: Alert) -> tuple[Labels, Labels]:
    labels = dict(alert.labels)
    shown = labels | {"__name__": "ALERTS", "alertstate": alert.state.value}
    return sorted_labels(shown), sorted_labels(labels | {"__name__": "ALERTS_FOR_STATE"})


def series_of(alerts: Iterable[Alert]) -> frozenset[Labels]:
    """Return the series that show *alerts*: ``ALERTS`` and ``ALERTS_FOR_STATE`` of active ones."""
    active = (alert for alert in alerts if alert.state is not AlertState.INACTIVE)
    return frozenset(labels for alert in active for labels in _series(alert))


def _ended(series: Iterable[Labels], t_ms: int) -> tuple[Sample, ...]:
    return tuple(Sample(labels, t_ms, STALE_NAN) for labels in sorted(series))


def step_record(
    rule: LoadedRule,
    series: frozenset[Labels],
    results: Sequence[ResultSample],
    at_ms: int,
    *,
    series_max: int = 0,
) -> Step:
    """Return what a recording rule writes when its expression gave *results*.

    Args:
        rule: The rule.
        series: The series that its last evaluation wrote.
        results: The expression's result.
        at_ms: The moment that was asked about, Unix milliseconds; samples are written at it.
        series_max: Most series, 0 for no limit.

    Raises:
        QueryError: Two results have the same labels, or there are more than *series_max*.
    """
    if series_max and len(results) > series_max:
        raise QueryError(f"exceeded limit of {series_max} with {len(results)} series")
    written: dict[Labels, Sample] = {}
    for result in results:
        labels = sorted_labels(dict(result.labels) | dict(rule.labels) | {"__name__": rule.name})
        if labels in written:
            raise QueryError(
                f"two results have the same labels once the rule's labels are added: {dict(labels)}. "
                "Accepted: results that differ. Next: aggregate the expression."
            )
        written[labels] = Sample(labels, at_ms, result.value)
    alive = frozenset(written)
    return Step({}, (), (*written.values(), *_ended(series - alive, at_ms)), alive)


def restored(rule: LoadedRule, alert: Alert, down_at_ms: int, now_ms: int) -> Alert | None:
    """Return *alert* as it is taken up after an outage, or None if it is dropped.

    The time that the server was down does not count towards ``for``. An alert whose ``for`` is
    at least ten minutes fires at the earliest ten minutes after the start, since the first
    results after an outage mislead. Firing and resolved alerts come back as they were, so nobody
    is told again; pending ones are dropped after an outage of more than an hour.

    Args:
        rule: The alert's rule.
        alert: The alert as it was stored.
        down_at_ms: Its last evaluation before the outage, Unix milliseconds.
        now_ms: Now.
    """
    if alert.state is not AlertState.PENDING:
        return alert
    down_ms = max(0, now_ms - down_at_ms)
    if down_ms > OUTAGE_TOLERANCE_MS:
        return None
    left_ms = rule.for_ms - (down_at_ms - alert.active_at_ms)
    if left_ms <= 0:
        return alert
    if rule.for_ms >= GRACE_MS and left_ms < GRACE_MS:
        return replace(alert, active_at_ms=now_ms + GRACE_MS - rule.for_ms)
    return replace(alert, active_at_ms=alert.active_at_ms + down_ms)
