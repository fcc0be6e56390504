"""The redactor: texts and values in, the same without secrets out."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.redaction import custom, pairs
from watchkeeper.instrument.redaction.hints import may_hold_secret, shape
from watchkeeper.instrument.redaction.names import Names
from watchkeeper.instrument.redaction.rules import PERSONAL, RULES, TAIL, TAIL_CHARS, Rule
from watchkeeper.instrument.redaction.urls import query
from watchkeeper.vocabulary.limits import limit

__all__ = ["HARMLESS_CHARS", "MARGIN", "MASK", "Off", "Redactor"]

MASK = "[redacted]"
MARGIN = limit("redaction_margin_chars_max")
"""Characters beyond a cut that are scanned too."""
_TAIL = 256
"""Characters at the end of a scanned piece that may be the first half of a secret."""
HARMLESS_CHARS = 128
"""Length of the texts that are remembered as harmless."""
_HARMLESS_MAX = 4_096
"""Texts that are remembered as harmless; the memory starts anew past it."""
_ROUNDS = 4
_DEPTH_MAX = 20
_CARD_MIN, _CARD_MAX = 10**13, 10**19
_STATEMENTS_MAX = limit("sql_statements_max")
_SQL_SYSTEMS = frozenset(
    {
        "postgresql", "mysql", "mariadb", "sqlite", "mssql", "microsoft.sql_server", "oracle",
        "oracle.db", "cockroachdb", "db2", "ibm.db2", "clickhouse", "duckdb", "snowflake", "trino",
        "redshift", "aws.redshift", "bigquery", "gcp.spanner", "spanner", "hive", "other_sql",
    }
)  # fmt: skip
"""Values of ``db.system`` and ``db.system.name`` of those that speak SQL."""
_UNNAMED = frozenset({"key", "pair"})
"""Kinds whose marker names no kind: the name beside it does."""


class Redactor:
    """Masks secrets in texts and values; safe to use from any thread.

    Args:
        names: Which names make their values secret.
        patterns: Patterns of the user's own by kind, as `custom.compiled` returns them.
        off: Kinds that are left alone.
        mode: ``mask``, ``partial`` (shows the end of a card and the domain of an address) or ``hash``.
        hash_key: Key of the mode ``hash``.
        sql: Returns an SQL statement without literals: takes the statement and ``db.system.name``.
    """

    enabled = True

    def __init__(
        self,
        *,
        names: Names | None = None,
        patterns: Mapping[str, custom.Custom] | None = None,
        off: Sequence[str] = (),
        mode: str = "mask",
        hash_key: bytes = b"",
        sql: Callable[[str, str], str] | None = None,
    ) -> None:
        self.names = names or Names()
        self.is_secret = self.names.is_secret
        self.counts: Counter[str] = Counter()
        self.sql = sql
        self._statements: dict[str, str] = {}
        self.harmless_texts: set[str] = set()
        """Short texts that hold no secret: the latest that `harmless` was asked about."""
        self._before = tuple(rule for rule in RULES if rule.kind not in off)
        self._after = tuple(rule for rule in PERSONAL if rule.kind not in off)
        self._has_pairs = "pair" not in off
        self._has_cuts = "cut" not in off
        self._custom = dict(patterns or {})
        hints = [own.hint for own in self._custom.values()]
        self._hints = (*self.names.hints, *(hint for hint in hints if hint))
        self._mode = mode
        self._key = hash_key
        self._always = not all(hints)
        """Whether a pattern of the user's own may match anything."""

    def may_hold_secret(self, text: str) -> bool:
        """Tell whether `text` could change anything; a cheap test for many texts at once."""
        if self._always or may_hold_secret(text):
            return True
        if not self._hints:
            return False
        low = shape(text)
        return any(hint in low for hint in self._hints)

    def harmless(self, text: str) -> bool:
        """Tell whether `text` could change nothing, and remember a short text of which that holds."""
        if text in self.harmless_texts:
            return True
        if self.may_hold_secret(text):
            return False
        if len(text) <= HARMLESS_CHARS:
            if len(self.harmless_texts) >= _HARMLESS_MAX:
                self.harmless_texts.clear()
            self.harmless_texts.add(text)
        return True

    def text(self, text: str) -> str:
        """Return *text* with every secret replaced by its marker; the same object if it has none."""
        found = text if len(text) < 255 or not _looks_cut(len(text)) else self._without_half(text)
        if not self.may_hold_secret(found):
            return found
        for _ in range(_ROUNDS):
            # What one rule masks may uncover the shape of another; so until nothing changes.
            before, found = found, self._scanned(found)
            if before == found:
                break
        return text if found == text else found

    def cut(self, text: str, chars: int) -> str:
        """Return the first *chars* characters of *text* as `text` leaves them, however long it is.

        A little more than that is scanned, so that no first half of a secret is left at the cut.
        """
        seen = chars + MARGIN
        if len(text) <= seen:
            return self.text(text)[:chars]
        found = self.text(text[:seen])
        return found[: min(chars, max(len(found) - _TAIL, 0))]

    def number(self, value: int) -> int | str:
        """Return *value*, or the marker if it is the number of a payment card."""
        if not _CARD_MIN <= value < _CARD_MAX:
            return value
        found = self.text(str(value))
        return found if found.startswith(pairs.MARK_START) else value

    def value(self, value: Any, chars: int, depth: int = 0) -> Any:
        """Return a value of any nesting without secrets, its texts cut to *chars*.

        Values under secret names become markers, but for booleans and None.
        """
        if isinstance(value, str):
            # One that is as long as the margin allows was cut, and counted, when it was recorded.
            if chars < len(value) != chars + MARGIN:
                count_cut("attribute_length")
            return self.cut(value, chars)
        if isinstance(value, bool) or value is None or isinstance(value, float):
            return value
        if isinstance(value, int):
            return self.number(value)
        if isinstance(value, bytes):
            return self._bytes(value[: chars + MARGIN], chars)
        if depth >= _DEPTH_MAX:
            return MASK
        if isinstance(value, Mapping):
            return {
                self.text(key): self.named(key, item, chars, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, Sequence):
            return tuple(self.value(item, chars, depth + 1) for item in value)
        return value

    def named(self, name: str, value: Any, chars: int, depth: int = 0) -> Any:
        """Return *value*, which stands under *name*, without secrets."""
        if self.is_secret(name) and value is not None and not isinstance(value, bool):
            return self.masked(value)
        return self.value(value, chars, depth)

    def attributes(self, attributes: Mapping[str, Any], chars: int) -> dict[str, Any]:
        """Return a copy of *attributes* without secrets."""
        return {name: self.named(name, value, chars) for name, value in attributes.items()}

    def masked(self, value: object, kind: str = "key") -> str:
        """Return the marker that stands for the whole of *value*."""
        return self._hide(kind, _shown(value) if self._mode == "hash" else "")

    def query(self, text: str) -> str:
        """Return a URL's query string with the values of secret names masked."""
        return query(text, self.is_secret, self._query_value, self.text) if "=" in text else text

    def statement(self, text: str, system: str) -> str:
        """Return an SQL statement without literals; what other systems take stays as it is.

        Args:
            text: The statement, ours or of another instrumentation.
            system: ``db.system.name``, or "" if it is not known.
        """
        if self.sql is None or (system and system not in _SQL_SYSTEMS):
            return text
        known = self._statements.get(text)
        if known is None:
            if len(self._statements) >= _STATEMENTS_MAX:
                self._statements.clear()
            known = self.sql(text, system)
            self._statements[text] = text if known == text else known
        return known

    def totals(self) -> dict[tuple[str, ...], float]:
        """Return how many secrets were masked, by kind: the metric ``watchkeeper.redactions``."""
        return {(kind,): float(count) for kind, count in list(self.counts.items())}

    def _query_value(self, value: str) -> str:
        return value if value.startswith(pairs.MARK_START) else self._hide("key", value)

    def _bytes(self, value: bytes, chars: int) -> bytes:
        text = value.decode("latin-1")
        found = self.text(text)
        return value[:chars] if found is text else found[:chars].encode("utf-8")

    def _without_half(self, text: str) -> str:
        """Mask what may be half a secret at the end of a text that others have cut."""
        start = max(len(text) - TAIL_CHARS, 0)
        match = TAIL.search(text, start) if self._has_cuts else None
        if match is None or match[0].startswith(pairs.MARK_START):
            return text
        return text[: match.start()] + self._hide("cut", match[0])

    def _scanned(self, text: str) -> str:
        low = shape(text)
        for rule in self._before:
            if not rule.hints or _has(rule.hints, low):
                text = self._applied(rule, text)
        if self._has_pairs and ("=" in low or ":" in low or "--" in low):
            text = pairs.pairs(text, self.names, self._hide)
        for rule in self._after:
            if _has(rule.hints, low):
                text = self._applied(rule, text)
        for kind, own in self._custom.items():
            if own.hint in low:
                text = custom.replace(own.pattern, text, partial(self._custom_mark, kind))
        return text

    def _custom_mark(self, kind: str, secret: str) -> str:
        return secret if pairs.MARK_START in secret else self._hide(kind, secret)

    def _applied(self, rule: Rule, text: str) -> str:
        check, groups = rule.check, rule.pattern.groupindex
        secret_group = "secret" in groups

        def replaced(match: Any) -> str:
            if check is not None and not check(match):
                return str(match[0])
            if not secret_group:
                return self._hide(rule.kind, match[0], rule.part)
            name = "secret" if match["secret"] is not None else "alone"
            start, end = match.start(name) - match.start(), match.end(name) - match.start()
            whole = match[0]
            return f"{whole[:start]}{self._hide(rule.kind, match[name])}{whole[end:]}"

        return rule.pattern.sub(replaced, text)

    def _hide(self, kind: str, secret: str, part: Callable[[str], str] | None = None) -> str:
        # No lock: the worst that threads can do to each other here is to lose a count.
        self.counts[kind] += 1
        head = MASK[:-1] if kind in _UNNAMED else f"{MASK[:-1]}:{kind}"
        if self._mode == "hash":
            digest = hmac.digest(self._key, secret.encode("utf-8", "surrogatepass"), "sha256")
            return f"{head}:#{digest.hex()[:16]}]"
        if self._mode == "partial" and part is not None:
            return f"{head}:*{part(secret)}]"
        return f"{head}]"


class Off(Redactor):
    """Leaves everything as it is."""

    enabled = False

    def __init__(self) -> None:
        super().__init__()
        self.is_secret = _never

    def may_hold_secret(self, text: str) -> bool:  # noqa: ARG002 - the base class's signature
        """Return False."""
        return False

    def text(self, text: str) -> str:
        """Return *text*."""
        return text

    def cut(self, text: str, chars: int) -> str:
        """Return the first *chars* characters of *text*."""
        return text[:chars]

    def number(self, value: int) -> int | str:
        """Return *value*."""
        return value

    def value(self, value: Any, chars: int, depth: int = 0) -> Any:  # noqa: ARG002 - as above
        """Return *value*."""
        return value

    def query(self, text: str) -> str:
        """Return *text*."""
        return text

    def statement(self, text: str, system: str) -> str:  # noqa: ARG002 - as above
        """Return *text*."""
        return text


def _has(hints: tuple[str, ...], low: str) -> bool:
    for hint in hints:  # noqa: SIM110 - a generator would cost more than the search
        if hint in low:
            return True
    return False


def _looks_cut(size: int) -> bool:
    """Tell whether a text is as long as limits are: 255, 256, 1,000, 2,048, 16,384 characters."""
    return size % 128 == 0 or size % 250 == 0 or size == 255


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return ""


def _never(name: str) -> bool:  # noqa: ARG001 - stands in for `Names.is_secret`
    return False
