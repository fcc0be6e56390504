"""The configuration of routing and notification, as frozen values.

Meaning and defaults are those of Alertmanager's documentation, "Configuration".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import re2

__all__ = [
    "Config",
    "InhibitRule",
    "Integration",
    "Matcher",
    "Receiver",
    "Route",
    "Secret",
    "matchers_text",
]

Op = Literal["=", "!=", "=~", "!~"]

_MINUTE_MS = 60_000
_OPS: tuple[Op, ...] = ("=", "!=", "=~", "!~")
_QUOTED_NAME = re.compile("[\\s{}!=~,\\\\\"'`]")
_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


class Secret:
    """A text that shows itself only to who asks for it with `reveal`.

    Args:
        text: What is kept.
        source: File that holds it instead; read anew at each `reveal`, so that it can be rotated.
    """

    __slots__ = ("_source", "_text")

    def __init__(self, text: str = "", *, source: str = "") -> None:
        self._text = text
        self._source = source

    def reveal(self) -> str:
        """Return the text.

        Raises:
            OSError: Its file cannot be read.
        """
        if not self._source:
            return self._text
        with open(self._source, encoding="utf-8") as file:  # noqa: PTH123 - a path as the file gave it
            return file.read().strip()

    @property
    def inline(self) -> str:
        """The text that the configuration itself holds; empty if a file does."""
        return self._text

    def __bool__(self) -> bool:
        """Tell whether there is one."""
        return bool(self._text or self._source)

    def __eq__(self, other: object) -> bool:
        """Compare what is kept."""
        return isinstance(other, Secret) and (self._text, self._source) == (
            other._text,
            other._source,
        )

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self._text, self._source))

    def __repr__(self) -> str:
        """Show nothing."""
        return "<secret>"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is missing counts as empty.

    Patterns are RE2, anchored at both ends.
    """

    name: str
    op: Op
    value: str
    _pattern: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Compile the pattern.

        Raises:
            re2.error: It is none.
        """
        if self.op in {"=~", "!~"}:
            options = re2.Options()
            options.log_errors = False
            object.__setattr__(self, "_pattern", re2.compile(f"^(?:{self.value})$", options))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether *labels* fulfil the condition."""
        value = labels.get(self.name, "")
        if self._pattern is None:
            return (value == self.value) is (self.op == "=")
        return (self._pattern.search(value) is not None) is (self.op == "=~")

    def __str__(self) -> str:
        """Return it as Alertmanager writes matchers: ``name="value"``.

        Only a name that the classic form cannot hold is quoted, and then both sides are written as
        Go quotes text.
        """
        if _QUOTED_NAME.search(self.name):
            return f"{_quote(self.name)}{self.op}{_quote(self.value)}"
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.op}"{escaped}"'

    @property
    def order(self) -> tuple[bytes, bytes, int]:
        """Key of the order in which Alertmanager sorts matchers: name, value, kind."""
        return self.name.encode(), self.value.encode(), _OPS.index(self.op)


def matchers_text(matchers: Iterable[Matcher]) -> str:
    """Return *matchers* as Alertmanager writes a list of them: ``{a="b",c=~"d"}``."""
    return "{" + ",".join(map(str, matchers)) + "}"


def _quote(text: str) -> str:
    return '"' + "".join(_quoted(char) for char in text) + '"'


def _quoted(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the route tree, with what it inherits from its parent filled in."""

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    group_by: tuple[str, ...] = ()
    group_by_all: bool = False
    """``group_by: [...]``: every alert is a group of its own."""
    group_wait_ms: int = 30_000
    group_interval_ms: int = 5 * _MINUTE_MS
    repeat_interval_ms: int = 240 * _MINUTE_MS
    continue_: bool = False
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    key: str = "{}"
    """Identifies the node among all, stable over reloads: Alertmanager's ``{}/{a="b"}``."""


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """A firing alert that matches *source* mutes those that match *target* with equal labels."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Integration:
    """One way to tell a receiver: one element of one of its ``…_configs`` lists."""

    kind: str
    """``slack``, ``email``, ``pagerduty``, ``webhook``, ``apprise``, or one that we do not send to."""
    index: int
    """Its place in its list, from 0."""
    send_resolved: bool
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The fields by Alertmanager's names, defaults and globals filled in; secrets as `Secret`,
    durations as whole milliseconds under ``…_ms`` names. A text whose default is one of
    Alertmanager's own templates is None if the file does not give it: the sender's own then. A
    secret's ``…_file`` twin is not a field: the `Secret` reads the file."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A named receiver."""

    name: str
    integrations: tuple[Integration, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole file.

    ``time_intervals`` maps names to what `watchkeeper.server.alerts.config.intervals` reads.
    """

    route: Route
    receivers: Mapping[str, Receiver]
    inhibit_rules: tuple[InhibitRule, ...] = ()
    time_intervals: Mapping[str, Any] = field(default_factory=dict)
    resolve_timeout_ms: int = 5 * _MINUTE_MS
    templates: tuple[str, ...] = ()
    """Paths or patterns of template files; relative ones are joined with the file's directory."""
    original: str = field(default="", repr=False)
    """The file as it may be shown: secrets replaced by ``<secret>``."""
