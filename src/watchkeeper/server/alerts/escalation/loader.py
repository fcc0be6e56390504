"""Reads ``escalation.yml`` strictly: what it does not know is an error with file and line."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Literal, NoReturn, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from watchkeeper.define.yamltree import Node, ScalarNode
from watchkeeper.errors import MatcherError
from watchkeeper.server.alerts.config.matchers import parse_matcher
from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.escalation.fields import Fields, opened, refuse, tree
from watchkeeper.server.alerts.escalation.model import (
    PAGE_SEVERITIES,
    Bridge,
    Escalation,
    Layer,
    Override,
    Policy,
    QuietHours,
    Reference,
    Schedule,
    Step,
    Target,
    User,
    Window,
)
from watchkeeper.server.alerts.escalation.oncall import wall_ms

__all__ = ["load_file", "load_text", "unknown_receivers"]

_HOUR_MS, _MINUTE_MS, _DAY_MS = 3_600_000, 60_000, 86_400_000
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_REPEAT_MAX = 100
_UTC = ZoneInfo("UTC")
_TURNS = {"daily": 24, "weekly": 168}
_TURN = "daily, weekly, or whole hours such as 12h"
_TARGETS = "a list of {user: NAME}, {schedule: NAME} or {receiver: NAME}"
_DAYS_ACCEPTED = "days such as monday, or spans such as monday:friday"
_MATCHER_ACCEPTED = 'matchers such as severity="critical" or team=~"a|b", each in quotes of its own'
_WINDOW = {"from", "until", "days"}

_Kind = Literal["user", "schedule", "receiver"]

_FILE = {"users", "schedules", "policies", "page_severities", "alertmanager"}
_LAYER = {"name", "users", "start", "turn", "only"}
_POLICY = {
    "name", "matchers", "steps", "repeat", "repeat_every", "ack_timeout", "fallback", "quiet_hours",
}  # fmt: skip


def load_file(path: Path) -> Escalation:
    """Return what the file at *path* says.

    Raises:
        EscalationFileError: It cannot be read, is larger than ``escalation_file_bytes_max``, or
            is not valid; names the line where there is one.
    """
    return load_text(opened(path), str(path))


def load_text(text: str, path: str) -> Escalation:
    """Return what *text* says; *path* is shown in errors.

    Raises:
        EscalationFileError: As `load_file`.
    """
    return _Loader(path).escalation(tree(text, path))


def unknown_receivers(book: Escalation, known: Collection[str], path: str) -> list[str]:
    """Return an error for each place of the file that names a receiver which is not in *known*."""
    accepted = ", ".join(sorted(known)[:20]) or "none: alertmanager.yml has no receivers"
    return [
        f"{path}:{reference.line}: no receiver is called {reference.receiver[:100]!r}. "
        f"Accepted: the receivers of alertmanager.yml ({accepted}). "
        "Next: correct the name, or add the receiver there."
        for reference in book.references
        if reference.receiver not in known
    ]


class _Loader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._references: list[Reference] = []
        self._users: dict[str, User] = {}
        self._schedules: dict[str, Schedule] = {}
        self._pages = PAGE_SEVERITIES

    def escalation(self, root: Node | None) -> Escalation:
        if root is None or (isinstance(root, ScalarNode) and root.null):
            return Escalation()
        fields = Fields.of(root, self._path, "the file", _FILE)
        if fields.get("page_severities") is not None:
            self._pages = frozenset(text for text, _ in fields.texts("page_severities"))
        for name, node in self._entries(fields, "users"):
            self._users[name] = self._user(name, node)
        for name, node in self._entries(fields, "schedules"):
            self._schedules[name] = self._schedule(name, node)
        policies = self._policies(fields)
        return Escalation(
            users=self._users,
            schedules=self._schedules,
            policies=policies,
            page_severities=self._pages,
            bridge=self._bridge(fields),
            references=tuple(self._references),
        )

    def _entries(self, fields: Fields, name: str) -> list[tuple[str, Node]]:
        """Return names and nodes of a mapping; empty if it is missing."""
        node = fields.get(name)
        if node is None:
            return []
        entries = Fields.of(node, self._path, name, None).node.entries
        for key, value in entries:
            if not key.strip() or len(key) > 200 or not key.isprintable():
                self._refuse(value, f"a name among {name} is {key[:60]!r}", "1 to 200 characters")
        return list(entries)

    def _refuse(self, node: Node, what: str, accepted: str) -> NoReturn:
        refuse(self._path, node.line, what, accepted)

    def _receiver(self, name: str, line: int) -> str:
        self._references.append(Reference(name, line))
        return name

    def _user(self, name: str, node: Node) -> User:
        fields = Fields.of(node, self._path, f"user {name}", {"contacts", "time_zone"})
        accepted = "a list with at least one receiver"
        fields.need("contacts", accepted)
        contacts = tuple(self._receiver(*entry) for entry in fields.texts("contacts", accepted))
        if not contacts:
            fields.refuse("contacts", f"user {name} has no contacts", accepted)
        return User(name, contacts, fields.zone("time_zone", _UTC))

    def _known_user(self, name: str, line: int) -> str:
        if name not in self._users:
            accepted = ", ".join(sorted(self._users)[:20]) or "none: the file has no users"
            refuse(self._path, line, f"no user is called {name[:100]!r}", accepted)
        return name

    def _schedule(self, name: str, node: Node) -> Schedule:
        what = f"schedule {name}"
        fields = Fields.of(node, self._path, what, {"time_zone", "layers", "overrides"})
        zone = fields.zone("time_zone", None)
        accepted = "a list with at least one layer"
        layers = tuple(
            self._layer(item, f"layer {number} of {what}")
            for number, item in enumerate(fields.items("layers", accepted), 1)
        )
        if not layers:
            fields.refuse("layers", f"{what} has no layers", accepted)
        overrides = tuple(
            self._override(item, f"an override of {what}", zone)
            for item in fields.items("overrides", "a list of overrides")
        )
        return Schedule(name, zone, layers, overrides)

    def _layer(self, node: Node, what: str) -> Layer:
        fields = Fields.of(node, self._path, what, _LAYER)
        accepted = "a list with at least one user"
        users = tuple(self._known_user(*entry) for entry in fields.texts("users", accepted))
        if not users:
            fields.refuse("users", f"{what} has no users", accepted)
        accepted = "a local date and time without a zone, for example 2026-01-05T09:00"
        start = self._moment(fields, "start", accepted)
        if start.tzinfo is not None:
            fields.refuse("start", f"start of {what} has a zone of its own", accepted)
        windows = tuple(
            self._window(Fields.of(item, self._path, f"only of {what}", _WINDOW))
            for item in fields.items("only", "a list of windows")
        )
        return Layer(
            fields.text("name", "a text", what.partition(" of ")[0]),
            users,
            start,
            self._turn(fields),
            windows,
        )

    def _turn(self, fields: Fields) -> int:
        text = fields.text("turn", _TURN)
        if text in _TURNS:
            return _TURNS[text]
        value = fields.duration_ms("turn", 0, _HOUR_MS, 8_760 * _HOUR_MS)
        if value % _HOUR_MS:
            fields.refuse("turn", f"turn of {fields.what} is {text!r}", _TURN)
        return value // _HOUR_MS

    def _moment(self, fields: Fields, name: str, accepted: str) -> datetime:
        text = fields.text(name, accepted)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            fields.refuse(name, f"{name} of {fields.what} is {text[:60]!r}", accepted)
        if not 1990 <= moment.year <= 2200:
            fields.refuse(name, f"{name} of {fields.what} is {text[:60]!r}", "years 1990 to 2200")
        return moment

    def _override(self, node: Node, what: str, zone: ZoneInfo) -> Override:
        fields = Fields.of(node, self._path, what, {"user", "from", "until"})
        accepted = "a date and time, for example 2026-08-01T00:00 (in the schedule's zone)"
        edges = []
        for name in ("from", "until"):
            moment = self._moment(fields, name, accepted)
            edges.append(
                wall_ms(moment, zone) if moment.tzinfo is None else round(moment.timestamp() * 1000)
            )
        if edges[0] >= edges[1]:
            fields.refuse("until", f"until of {what} is not after its from", "a later time")
        user = self._known_user(fields.text("user", "a user"), fields.need("user", "a user").line)
        return Override(user, edges[0], edges[1])

    def _window(self, fields: Fields) -> Window:
        start, end = self._clock(fields, "from"), self._clock(fields, "until")
        end = end or 1_440
        if start in {1_440, end}:
            fields.refuse("until", f"{fields.what} has no length", "from before until")
        days: set[int] = set()
        for text, line in fields.texts("days", _DAYS_ACCEPTED):
            first, colon, last = text.lower().partition(":")
            if first not in _DAYS or (colon and last not in _DAYS):
                refuse(self._path, line, f"a day is {text[:60]!r}", _DAYS_ACCEPTED)
            begin, end_day = _DAYS.index(first), _DAYS.index(last or first)
            days.update((begin + n) % 7 for n in range((end_day - begin) % 7 + 1))
        return Window(start, end, frozenset(days or range(7)))

    def _clock(self, fields: Fields, name: str) -> int:
        accepted = 'a time in quotes, from "00:00" to "24:00"'
        match = _CLOCK.fullmatch(fields.text(name, accepted))
        minutes = int(match[1]) * 60 + int(match[2]) if match else 1_441
        if minutes > 1_440:
            fields.refuse(name, f"{name} of {fields.what} is not a time of the day", accepted)
        return minutes

    def _policies(self, fields: Fields) -> tuple[Policy, ...]:
        found: dict[str, Policy] = {}
        for item in fields.items("policies", "a list of policies"):
            policy = self._policy(item)
            if policy.name in found:
                self._refuse(item, f"policy {policy.name!r} is given twice", "distinct names")
            before = next((p.name for p in found.values() if not p.matchers), None)
            if before is not None:
                self._refuse(
                    item,
                    f"policy {policy.name!r} is never reached: {before!r} before it matches all",
                    "a policy without matchers only as the last one",
                )
            found[policy.name] = policy
        return tuple(found.values())

    def _policy(self, node: Node) -> Policy:
        name = Fields.of(node, self._path, "a policy", _POLICY).text("name", "a text")
        fields = Fields.of(node, self._path, f"policy {name}", _POLICY)
        matchers = tuple(self._matcher(*e) for e in fields.texts("matchers", _MATCHER_ACCEPTED))
        accepted = "a list with at least one step"
        steps = tuple(self._step(item, name) for item in fields.items("steps", accepted))
        if not steps:
            fields.refuse("steps", f"policy {name} has no steps", accepted)
        repeat = fields.text("repeat", "a whole number", "0")
        if not re.fullmatch(r"[0-9]{1,3}", repeat, re.ASCII) or int(repeat) > _REPEAT_MAX:
            fields.refuse("repeat", f"repeat of policy {name} is {repeat[:20]!r}", "0 to 100")
        return Policy(
            name,
            steps,
            matchers,
            int(repeat),
            fields.duration_ms("repeat_every", 0, _MINUTE_MS, 7 * _DAY_MS),
            fields.duration_ms("ack_timeout", 0, _MINUTE_MS, 30 * _DAY_MS),
            self._targets(fields, "fallback"),
            tuple(self._quiet(item, name) for item in fields.items("quiet_hours", "a list")),
        )

    def _matcher(self, text: str, line: int) -> Matcher:
        try:
            return parse_matcher(text)
        except MatcherError as error:
            refuse(self._path, line, f"a matcher is {text[:100]!r}: {error}", _MATCHER_ACCEPTED)

    def _step(self, node: Node, policy: str) -> Step:
        fields = Fields.of(node, self._path, f"a step of policy {policy}", {"notify", "wait"})
        targets = self._targets(fields, "notify")
        if not targets:
            fields.refuse("notify", f"{fields.what} notifies nobody", _TARGETS)
        return Step(targets, fields.duration_ms("wait", 5 * _MINUTE_MS, 1_000, 7 * _DAY_MS))

    def _targets(self, fields: Fields, name: str) -> tuple[Target, ...]:
        found = []
        for item in fields.items(name, _TARGETS):
            what = f"{name} of {fields.what}"
            target = Fields.of(item, self._path, what, {"user", "schedule", "receiver"})
            if len(target.node.entries) != 1:
                self._refuse(item, f"an entry of {what} names not just one", _TARGETS)
            kind = target.node.entries[0][0]
            text = target.text(kind, _TARGETS)
            if kind == "user":
                self._known_user(text, item.line)
            elif kind == "schedule" and text not in self._schedules:
                known = ", ".join(sorted(self._schedules)[:20]) or "none: the file has no schedules"
                self._refuse(item, f"no schedule is called {text[:100]!r}", known)
            elif kind == "receiver":
                self._receiver(text, item.line)
            found.append(Target(cast("_Kind", kind), text))
        return tuple(found)

    def _quiet(self, node: Node, policy: str) -> QuietHours:
        what = f"quiet_hours of policy {policy}"
        fields = Fields.of(node, self._path, what, {"severities", "time_zone", *_WINDOW})
        accepted = "a list with at least one severity"
        severities = fields.texts("severities", accepted)
        if not severities:
            fields.refuse("severities", f"{what} name no severities", accepted)
        for text, line in severities:
            if text in self._pages:
                refuse(
                    self._path, line, f"{what} hold back the severity {text!r}, which always pages",
                    f"severities other than {', '.join(sorted(self._pages))} (page_severities)",
                )  # fmt: skip
        return QuietHours(
            frozenset(text for text, _ in severities),
            self._window(fields),
            fields.zone("time_zone", None),
        )

    def _bridge(self, fields: Fields) -> Bridge | None:
        node = fields.get("alertmanager")
        if node is None:
            return None
        inner = Fields.of(node, self._path, "alertmanager", {"url", "silence"})
        accepted = "an http or https address without user and password"
        url = inner.text("url", accepted).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            inner.refuse("url", "url of alertmanager is no address", accepted)
        return Bridge(url, inner.duration_ms("silence", _HOUR_MS, 5 * _MINUTE_MS, 7 * _DAY_MS))
