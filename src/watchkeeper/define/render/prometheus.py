"""Rules as a Prometheus rule file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from watchkeeper.define.model import AlertRule, Rule, RuleGroup

__all__ = ["Links", "rule_file"]


@dataclass(frozen=True, slots=True)
class Links:
    """Where alerts point to."""

    runbooks: str = "docs/runbooks/"
    """Put before a runbook's file name; give the address of your repository in production."""
    dashboards: str = "/#/d/"
    """Put before a dashboard's uid; the default is our own UI's address."""
    panel: str = "?panel="
    """Put between the uid and a panel's id; empty leaves the panel out."""

    @classmethod
    def to_grafana(cls) -> Links:
        """Return links to the dashboards as `watchkeeper.define.render.grafana` names them."""
        return cls(dashboards="/d/watchkeeper-", panel="")

    def dashboard_url(self, place: str) -> str:
        """Return the address of ``uid`` or ``uid#panel``."""
        uid, _, panel = place.partition("#")
        return f"{self.dashboards}{uid}" + (f"{self.panel}{panel}" if panel and self.panel else "")


def rule_file(
    groups: Sequence[RuleGroup], *, links: Links | None = None, keep_firing_for: bool = True
) -> str:
    """Return *groups* as the YAML text of a Prometheus rule file.

    Args:
        groups: The rules.
        links: Where annotations point to; default `Links`.
        keep_firing_for: Whether the field of that name may be written; Prometheus knows it since
            2.43, so files for older ones leave it out.
    """
    target = links or Links()
    document = {"groups": [_group(group, target, keep_firing_for) for group in groups]}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as such, so that a long expression can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _group(group: RuleGroup, links: Links, keep_firing_for: bool) -> dict[str, Any]:  # noqa: FBT001 - private
    return {
        "name": group.name,
        "interval": group.interval,
        "rules": [_rule(rule, links, keep_firing_for) for rule in group.rules],
    }


def _rule(rule: Rule, links: Links, keep_firing_for: bool) -> dict[str, Any]:  # noqa: FBT001 - private
    if not isinstance(rule, AlertRule):
        fields: dict[str, Any] = {"record": rule.record, "expr": rule.expr}
        return fields | ({"labels": dict(rule.labels)} if rule.labels else {})
    fields = {"alert": rule.name, "expr": rule.expr}
    if rule.for_ != "0s":
        fields["for"] = rule.for_
    if keep_firing_for and rule.keep_firing_for:
        fields["keep_firing_for"] = rule.keep_firing_for
    fields["labels"] = {"severity": rule.severity, **rule.labels}
    annotations = {"summary": rule.summary, "description": rule.description}
    if rule.runbook:
        annotations["runbook_url"] = links.runbooks + rule.runbook
    if rule.dashboard:
        annotations["dashboard_url"] = links.dashboard_url(rule.dashboard)
    return fields | {"annotations": annotations}
