"""Rules that are evaluated on a Prometheus elsewhere: what they may not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watchkeeper.server.promql.ast import names
from watchkeeper.server.promql.parser import parse
from watchkeeper.server.rules.model import Group

__all__ = ["unreadable"]

_OURS = ("ALERTS", "ALERTS_FOR_STATE")


def unreadable(files: Mapping[str, Sequence[Group]]) -> dict[str, str]:
    """Return by file why its rules cannot be evaluated elsewhere; empty if they can.

    What rules record is kept in our own store, where the other server does not look: a rule that
    reads it would never see a sample, and so an alert would never fire.
    """
    made = dict.fromkeys(_OURS, "alerts")
    for groups in files.values():
        for group in groups:
            made |= {rule.name: group.name for rule in group.rules if not rule.alerting}
    found: dict[str, str] = {}
    for file, groups in files.items():
        for group in groups:
            for rule in group.rules:
                for use in sorted(use.name for use in names(parse(rule.expr))):
                    if use in made and file not in found:
                        found[file] = (
                            f"{file}:{rule.line}: {rule.name} reads {use}, which rules write: got "
                            "an expression that would be asked of another server, while recorded "
                            "series and ALERTS are kept here. Accepted: rules over what that server "
                            f"scrapes. Next: put the expression of {use} in its place, or let that "
                            "server evaluate both."
                        )
    return found
