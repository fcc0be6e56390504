"""Rule groups in the JSON shape of Prometheus' ``/api/v1/rules``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.server.rules.model import Alert, AlertState, Group, LoadedRule, RuleStatus
from watchkeeper.server.rules.template_functions import go_float

__all__ = ["group_json"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER = (AlertState.FIRING, AlertState.PENDING, AlertState.INACTIVE)


def group_json(
    group: Group, statuses: tuple[RuleStatus, ...], *, interval_s: float, evaluated_s: float
) -> dict[str, Any]:
    """Return *group* with the status of each rule.

    Args:
        group: The group.
        statuses: One for each rule, in order.
        interval_s: The interval in force, seconds.
        evaluated_s: How long its last evaluation took, seconds.
    """
    return {
        "name": group.name,
        "file": group.file,
        "interval": interval_s,
        "limit": group.limit,
        "evaluationTime": evaluated_s,
        "lastEvaluation": moment(max((s.last_evaluation_ms for s in statuses), default=0)),
        "rules": [_rule(rule, status) for rule, status in zip(group.rules, statuses, strict=True)],
    }


def _rule(rule: LoadedRule, status: RuleStatus) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "name": rule.name,
        "query": rule.expr,
        "labels": dict(rule.labels),
        "health": status.health,
        "evaluationTime": status.duration_s,
        "lastEvaluation": moment(status.last_evaluation_ms),
    }
    if status.last_error:
        shared["lastError"] = status.last_error
    if not rule.alerting:
        return shared | {"type": "recording"}
    return shared | {
        "type": "alerting",
        "state": _worst(status.alerts).value,
        "duration": rule.for_ms / 1000,
        "keepFiringFor": rule.keep_firing_for_ms / 1000,
        "annotations": dict(rule.annotations),
        "alerts": [
            _alert(alert)
            for alert in status.alerts.values()
            if alert.state is not AlertState.INACTIVE
        ],
    }


def _worst(alerts: Mapping[Any, Alert]) -> AlertState:
    states = {alert.state for alert in alerts.values()}
    return next((state for state in _ORDER if state in states), AlertState.INACTIVE)


def _alert(alert: Alert) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "activeAt": moment(alert.active_at_ms),
        "value": go_float(alert.value),
    }
    if alert.keep_firing_since_ms is not None:
        shown["keepFiringSince"] = moment(alert.keep_firing_since_ms)
    return shown


def moment(t_ms: int) -> str:
    """Return Unix milliseconds as RFC 3339; Go's zero time for 0, as Prometheus shows "never"."""
    if t_ms == 0:
        return "0001-01-01T00:00:00Z"
    text = (_EPOCH + timedelta(milliseconds=t_ms)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
