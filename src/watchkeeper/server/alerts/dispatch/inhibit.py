"""Alerts that other alerts keep quiet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watchkeeper.server.alerts.config.model import InhibitRule, Matcher
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert

__all__ = ["Inhibitor", "matched"]


def matched(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Tell whether *labels* fulfil every one of *matchers*; none at all are fulfilled."""
    return all(matcher.matches(labels) for matcher in matchers)


class _Rule:
    """One rule, and the alerts that are its sources by the labels that have to be equal."""

    def __init__(self, rule: InhibitRule) -> None:
        self.rule = rule
        self._sources: dict[tuple[str, ...], dict[str, tuple[ActiveAlert, bool]]] = {}

    def _equal(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in self.rule.equal)

    def put(self, alert: ActiveAlert) -> None:
        if matched(self.rule.source, alert.labels):
            both = matched(self.rule.target, alert.labels)
            bucket = self._sources.setdefault(self._equal(alert.labels), {})
            bucket[alert.fingerprint] = (alert, both)

    def remove(self, alert: ActiveAlert) -> None:
        key = self._equal(alert.labels)
        bucket = self._sources.get(key, {})
        bucket.pop(alert.fingerprint, None)
        if not bucket:
            self._sources.pop(key, None)

    def source(self, labels: Mapping[str, str], now_ms: int) -> str:
        if not matched(self.rule.target, labels):
            return ""
        # An alert on both sides is not muted by one that is on both sides as well, itself first.
        both = matched(self.rule.source, labels)
        for alert, also_target in self._sources.get(self._equal(labels), {}).values():
            if not alert.resolved(now_ms) and not (both and also_target):
                return alert.fingerprint
        return ""


class Inhibitor:
    """Tells which alert is kept quiet by which other.

    Args:
        rules: The rules; an alert that fires and is on the source side mutes those on the target
            side whose ``equal`` labels have the same values.
    """

    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = [_Rule(rule) for rule in rules]

    def put(self, alert: ActiveAlert) -> None:
        """Take in a new or changed alert."""
        for rule in self._rules:
            rule.put(alert)

    def remove(self, alert: ActiveAlert) -> None:
        """Forget an alert."""
        for rule in self._rules:
            rule.remove(alert)

    def source(self, labels: Mapping[str, str], now_ms: int) -> str:
        """Return the fingerprint of an alert that mutes alerts with *labels*, or ""."""
        for rule in self._rules:
            found = rule.source(labels, now_ms)
            if found:
                return found
        return ""
