"""The route tree and the inhibition rules."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

import re2

from watchkeeper.define.yamltree import Node, ScalarNode
from watchkeeper.errors import MatcherError
from watchkeeper.server.alerts.config.matchers import parse_matchers
from watchkeeper.server.alerts.config.model import InhibitRule, Matcher, Op, Route, matchers_text
from watchkeeper.server.alerts.config.tables import Block, Field, Reader, Table

__all__ = ["RouteReader", "read_inhibit_rules"]

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_NAMES = Field("texts", ())
_TEXTS = Field("labels", {})
_PATTERNS = Field("label_patterns", {})
_PAUSE = Field("duration")

_ROUTE = Table(
    "a route",
    {
        "receiver": Field("text", ""), "group_by": Field("texts"), "match": _TEXTS,
        "match_re": _PATTERNS, "matchers": _NAMES, "mute_time_intervals": _NAMES,
        "active_time_intervals": _NAMES, "continue": Field("bool", default=False),
        "routes": Field("nodes", ()), "group_wait": _PAUSE, "group_interval": _PAUSE,
        "repeat_interval": _PAUSE, "labels": _TEXTS,
    },
)  # fmt: skip

_INHIBIT_RULE = Table(
    "an inhibition rule",
    {
        "name": Field("text", ""), "equal": _NAMES,
        "source_match": _TEXTS, "source_match_re": _PATTERNS, "source_matchers": _NAMES,
        "target_match": _TEXTS, "target_match_re": _PATTERNS, "target_matchers": _NAMES,
    },
)  # fmt: skip


@dataclass(slots=True)
class RouteReader:
    """Reads the route tree of one file.

    Args:
        reader: Of the file.
        receivers: Names of the receivers that it defines.
        intervals: Names of its time intervals.
    """

    reader: Reader
    receivers: Collection[str]
    intervals: Collection[str]
    unsupported: list[tuple[int, str]] = field(default_factory=list)
    """Lines and what this server does not do there."""

    def root(self, node: Node) -> Route:
        """Return the tree below *node*.

        Raises:
            ConfigFileError: It is not what Alertmanager accepts.
        """
        block = self.reader.table(node, _ROUTE)
        for name in (
            "match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals",
        ):  # fmt: skip
            if block[name]:
                self.reader.refuse(
                    block.line(name), f"the root route has {name}",
                    "it in routes below, since every alert must find a receiver",
                )  # fmt: skip
        if block["continue"]:
            self.reader.refuse(
                block.line("continue"), "the root route says continue", "it in routes below"
            )
        if not block["receiver"]:
            self.reader.refuse(block.line(), "the root route has no receiver", "a receiver")
        return self._route(block, None)

    def _route(self, block: Block, parent: Route | None) -> Route:
        reader = self.reader
        if block["receiver"] and block["receiver"] not in self.receivers:
            reader.refuse(
                block.line("receiver"),
                f"the receiver {block['receiver'][:80]!r} is not defined",
                "one of " + ", ".join(sorted(self.receivers)[:20]),
            )  # fmt: skip
        for name in ("group_interval", "repeat_interval"):
            if block[name] == 0:
                reader.refuse(block.line(name), f"{name} is zero", "a duration above zero")
        for name in ("mute_time_intervals", "active_time_intervals"):
            for interval in block[name]:
                if interval not in self.intervals:
                    reader.refuse(
                        block.line(name), f"the time interval {interval[:80]!r} is not defined",
                        "one of " + ", ".join(sorted(self.intervals)[:20]),
                    )  # fmt: skip
        for name in block["labels"]:
            if not name:
                reader.refuse(block.line("labels"), "labels have an empty name", "label names")
        if block["labels"]:
            self.unsupported.append((block.line("labels"), "labels of a route"))
        matchers = _matchers(reader, block, "match", "match_re", "matchers")
        before = parent or Route(receiver="")
        group_by, group_by_all = self._group_by(block, before)
        route = Route(
            receiver=block["receiver"] or before.receiver,
            matchers=matchers,
            group_by=group_by,
            group_by_all=group_by_all,
            group_wait_ms=_or(block["group_wait"], before.group_wait_ms),
            group_interval_ms=_or(block["group_interval"], before.group_interval_ms),
            repeat_interval_ms=_or(block["repeat_interval"], before.repeat_interval_ms),
            continue_=block["continue"],
            mute_time_intervals=block["mute_time_intervals"],
            active_time_intervals=block["active_time_intervals"],
            key=matchers_text(matchers) if parent is None else _key(parent, matchers),
        )
        children = tuple(self._route(self._child(node), route) for node in block["routes"])
        object.__setattr__(route, "routes", children)
        return route

    def _child(self, node: Node) -> Block:
        if isinstance(node, ScalarNode) and node.null:
            self.reader.refuse(node.line, "a route is empty", "a mapping of its fields")
        return self.reader.table(node, _ROUTE)

    def _group_by(self, block: Block, before: Route) -> tuple[tuple[str, ...], bool]:
        given = block["group_by"]
        if given is None:
            return before.group_by, before.group_by_all
        names = tuple(name for name in given if name != "...")
        if "" in names:
            self.reader.refuse(block.line("group_by"), "group_by has an empty name", "labels")
        if len(set(names)) < len(names):
            self.reader.refuse(
                block.line("group_by"), "group_by has a label twice", "distinct labels"
            )
        if names and len(names) < len(given):
            self.reader.refuse(
                block.line("group_by"), "group_by has '...' and labels", "'...' alone, or labels"
            )
        return names, "..." in given


def read_inhibit_rules(reader: Reader, nodes: tuple[Node, ...]) -> tuple[InhibitRule, ...]:
    """Return the inhibition rules in *nodes*.

    Raises:
        ConfigFileError: One is not what Alertmanager accepts.
    """
    rules = []
    for node in nodes:
        block = reader.table(node, _INHIBIT_RULE)
        if "" in block["equal"]:
            reader.refuse(block.line("equal"), "equal has an empty name", "label names")
        sides = [
            _matchers(reader, block, f"{side}_match", f"{side}_match_re", f"{side}_matchers")
            for side in ("source", "target")
        ]
        rules.append(InhibitRule(sides[0], sides[1], block["equal"]))
    return tuple(rules)


def _matchers(
    reader: Reader, block: Block, equal: str, pattern: str, new: str
) -> tuple[Matcher, ...]:
    found = []
    old: tuple[tuple[str, Op], ...] = ((equal, "="), (pattern, "=~"))
    for source, op in old:
        for name, value in block[source].items():
            if not _LABEL.fullmatch(name):
                reader.refuse(
                    block.line(source), f"{source} has the name {name[:80]!r}",
                    "letters, digits and underscores; matchers take others",
                )  # fmt: skip
            try:
                found.append(Matcher(name, op, value))
            except re2.error:
                reader.refuse(
                    block.line(source), f"{source}.{name} is not RE2: {value[:80]!r}",
                    "a pattern in RE2's syntax",
                )  # fmt: skip
    for text in block[new]:
        try:
            found += parse_matchers(text)
        except MatcherError as error:
            reader.refuse(block.line(new), str(error).partition(". Accepted:")[0], "matchers "
                          'such as name="value", with =, !=, =~ or !~')  # fmt: skip
    return tuple(sorted(found, key=lambda matcher: matcher.order))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _key(parent: Route, matchers: tuple[Matcher, ...]) -> str:
    return f"{parent.key}/{matchers_text(matchers)}"
