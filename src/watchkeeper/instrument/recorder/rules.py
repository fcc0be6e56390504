"""Sampling ratios by route, span name or kind: ``GET /orders/{id}=0.1, job nightly=1, *=0.05``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AnyValue

from watchkeeper.errors import SettingError

__all__ = ["Rules", "bound"]

_CACHE_MAX = 2_048
"""Names and paths whose ratio is kept at hand; then the store starts again."""
_PARTS = re.compile(r"(\*)|\{[^{}:]*:path\}|(\{[^{}]*\})")


def bound(ratio: float) -> int:
    """Return the number below which the lower 64 bits of a kept trace's id are."""
    return round(ratio * (1 << 64))


class Rules:
    """Patterns with ratios; the first pattern that matches counts.

    A pattern is compared with the whole of: the span's name; for a request also ``METHOD path``,
    the path, ``METHOD route`` and the route; and ``kind:server`` (client, internal, producer,
    consumer). In it ``*`` stands for anything, ``{name}`` for one segment of a path and
    ``{name:path}`` for the rest, so a route's template matches the paths that lead to it.

    Args:
        rules: Patterns and ratios, the first first.

    Raises:
        SettingError: A ratio is outside 0.0 to 1.0.
    """

    def __init__(self, rules: Sequence[tuple[str, float]]) -> None:
        for pattern, ratio in rules:
            if not 0.0 <= ratio <= 1.0:
                raise SettingError.explain(
                    "the ratio of a sampling rule is out of range",
                    got=f"{pattern}={ratio}",
                    accepted="a number from 0.0 to 1.0",
                    next_step="correct the setting `sample_rules`",
                )
        self._rules = [(_compiled(pattern), bound(ratio)) for pattern, ratio in rules]
        self._known: dict[tuple[object, ...], int | None] = {}

    def bound(
        self, name: str, kind: SpanKind, attributes: Mapping[str, AnyValue], route: object = None
    ) -> int | None:
        """Return the bound of the ids to keep, by the first rule that matches, or None.

        Args:
            name: Name of the span.
            kind: Its kind.
            attributes: Its attributes; method and path are read.
            route: Template of the route, once it is known; then the path does not count.
        """
        path = attributes.get("url.path") if route is None else route
        key = (name, kind, path)
        try:
            return self._known[key]
        except KeyError:
            found = self._find(name, kind, attributes.get("http.request.method"), path)
        if len(self._known) >= _CACHE_MAX:
            self._known.clear()
        self._known[key] = found
        return found

    def _find(self, name: str, kind: SpanKind, method: object, path: object) -> int | None:
        texts = [name, f"kind:{kind.name.lower()}"]
        if isinstance(path, str):
            texts += [path, f"{method} {path}"]
        for pattern, kept in self._rules:
            if any(pattern.fullmatch(text) for text in texts):
                return kept
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    last = 0
    for found in _PARTS.finditer(pattern):
        parts += [re.escape(pattern[last : found.start()]), _wild(found)]
        last = found.end()
    return re.compile("".join([*parts, re.escape(pattern[last:])]), re.DOTALL)


def _wild(found: re.Match[str]) -> str:
    if found[1]:
        return ".*"
    return "[^/]+" if found[2] else ".+"
