"""Alerts in groups, one for each route and its group labels, and when each group is due."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from watchkeeper.server.alerts.config.model import Route
from watchkeeper.server.alerts.config.route import matching_routes
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert
from watchkeeper.vocabulary.limits import limit

__all__ = ["REFUSED", "Group", "GroupTable", "group_labels", "labels_text"]

REFUSED = "groups_full"
"""The reason under which alerts that found no room for their group are counted."""


def group_labels(route: Route, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the part of *labels* that *route* groups by."""
    if route.group_by_all:
        return dict(sorted(labels.items()))
    return {name: labels[name] for name in sorted(set(route.group_by)) if name in labels}


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels as Alertmanager writes them in group keys: ``{a="b", c="d"}``."""
    parts = sorted(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()
    )
    return "{" + ", ".join(parts) + "}"


@dataclass(slots=True)
class Group:
    """One group."""

    route: Route
    labels: Mapping[str, str]
    key: str
    """Identifies it: ``{}/{a="b"}:{alertname="X"}``."""
    text: str
    """The labels as the key has them."""
    next_ms: int
    """When it is due."""
    flushed: bool = False
    """It has been due once: `group_wait` is over."""
    busy: bool = False
    """Somebody is being told about it."""
    failing_ms: int = 0
    """Since when not every integration could be told; 0 if all were."""
    alerts: dict[str, ActiveAlert] = field(default_factory=dict)


class GroupTable:
    """The groups of one route tree.

    Args:
        root: The tree.
        not_before_ms: No group is due before; Unix milliseconds.
        most: How many groups there may be. Alerts beyond go into one group for each route, which
            has no labels, so that they are told all the same.

    Attributes:
        overflowed: How many alerts went into such a group.
    """

    def __init__(self, root: Route, *, not_before_ms: int = 0, most: int | None = None) -> None:
        self.root = root
        self.overflowed = 0
        self._not_before_ms = not_before_ms
        self._most = limit("alert_groups_max") if most is None else most
        # A route's key need not be unique, so the node itself takes its part. The tree is kept
        # as long as this table, so ids are not used again.
        self._groups: dict[tuple[int, str], Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def put(self, alert: ActiveAlert, now_ms: int) -> None:
        """Put *alert* into the groups that it belongs to.

        A new group is due after ``group_wait``, at once if the alert is older than that.
        """
        for route in matching_routes(self.root, alert.labels):
            group = self._group(route, alert, now_ms)
            group.alerts[alert.fingerprint] = alert
            if not group.flushed and alert.starts_ms + route.group_wait_ms < now_ms:
                group.next_ms = min(group.next_ms, max(now_ms, self._not_before_ms))

    def _group(self, route: Route, alert: ActiveAlert, now_ms: int) -> Group:
        labels = group_labels(route, alert.labels)
        text = labels_text(labels)
        found = self._groups.get((id(route), text))
        if found is None and len(self._groups) >= self._most:
            self.overflowed += 1
            labels, text = {}, "{}"
            found = self._groups.get((id(route), text))
        if found is None:
            due_ms = max(now_ms + route.group_wait_ms, self._not_before_ms)
            found = Group(route, labels, f"{route.key}:{text}", text, due_ms)
            self._groups[id(route), text] = found
        return found

    def holds(self, group: Group) -> bool:
        """Tell whether *group* is one of these."""
        return self._groups.get((id(group.route), group.text)) is group

    def next_ms(self) -> int | None:
        """Return when the next group is due, or None if none is."""
        return min((group.next_ms for group in self if not group.busy), default=None)

    def due(self, now_ms: int) -> list[Group]:
        """Return the groups that are due, the one that waits longest first."""
        found = [group for group in self if group.next_ms <= now_ms and not group.busy]
        return sorted(found, key=lambda group: group.next_ms)

    def collect(self) -> None:
        """Forget the groups that are empty."""
        self._groups = {
            key: group for key, group in self._groups.items() if group.alerts or group.busy
        }
