"""Silences: alerts that somebody asked not to be told about for a while.

What editing and ending one means follows Alertmanager: the history of what was silenced when is
never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from watchkeeper.errors import SilenceError
from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.dispatch.inhibit import matched
from watchkeeper.vocabulary.limits import limit

__all__ = ["RETENTION_MS", "Silence", "Silences"]

RETENTION_MS = 120 * 3_600_000
"""How long a silence is remembered after its end: five days."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence."""

    id: str
    """A UUID; empty for one that is new."""
    matchers: tuple[Matcher, ...]
    """An alert that fulfils all of them is muted."""
    starts_ms: int
    ends_ms: int
    created_by: str
    comment: str
    updated_ms: int = 0

    def state(self, now_ms: int) -> str:
        """Return ``pending``, ``active`` or ``expired``."""
        if now_ms >= self.ends_ms:
            return "expired"
        return "pending" if now_ms < self.starts_ms else "active"


class Silences:
    """The silences by id.

    `plan` and `ending` tell what would change; the caller stores that and then calls `take`.

    Args:
        most: How many that are pending or active there may be.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = limit("silences_max") if most is None else most
        self._silences: dict[str, Silence] = {}

    def __iter__(self) -> Iterator[Silence]:
        return iter(self._silences.values())

    def get(self, key: str) -> Silence | None:
        """Return the silence of id *key*."""
        return self._silences.get(key)

    def take(self, changed: Iterable[Silence]) -> None:
        """Take in new or changed silences."""
        for silence in changed:
            self._silences[silence.id] = silence

    def plan(self, wanted: Silence, now_ms: int, new_id: str) -> tuple[str, tuple[Silence, ...]]:
        """Return the id under which *wanted* will be kept, and the silences that change.

        A silence that is active keeps its id as long as its matchers and its start (to the
        second) stay; a pending one as long as its matchers stay and its start lies ahead.
        Otherwise it ends now, and a new one begins.

        Args:
            wanted: The silence; with an id it is an edit of that one.
            now_ms: Now.
            new_id: The id for a new one.

        Raises:
            SilenceError: It cannot be accepted; `missing` says that its id is unknown.
        """
        self._check(wanted, now_ms)
        known = self._silences.get(wanted.id)
        if wanted.id and known is None:
            raise SilenceError(
                f"silence not found: got id {wanted.id[:100]!r}. Accepted: the id of a silence that "
                "is kept, or none for a new one. Next: list the silences.",
                missing=True,
            )
        if known is not None and _editable(known, wanted, now_ms):
            return wanted.id, (replace(wanted, updated_ms=now_ms),)
        ended = () if known is None else self.ending(known.id, now_ms)
        alive = sum(silence.state(now_ms) != "expired" for silence in self) - len(ended)
        if alive >= self._most:
            raise SilenceError(
                f"too many silences: got {alive + 1}. Accepted: {self._most} that are pending or "
                "active (silences_max). Next: expire those that are not needed."
            )
        starts_ms = max(wanted.starts_ms, now_ms)
        return new_id, (
            *ended,
            replace(wanted, id=new_id, starts_ms=starts_ms, updated_ms=now_ms),
        )

    def ending(self, key: str, now_ms: int) -> tuple[Silence, ...]:
        """Return how the silence of id *key* looks once it ends now; nothing if it has ended.

        Raises:
            SilenceError: There is none; `missing` is set.
        """
        known = self._silences.get(key)
        if known is None:
            raise SilenceError(
                f"silence not found: got id {key[:100]!r}. Accepted: the id of a silence that is "
                "kept. Next: list the silences.",
                missing=True,
            )
        if known.state(now_ms) == "expired":
            return ()
        starts_ms = min(known.starts_ms, now_ms)
        return (replace(known, starts_ms=starts_ms, ends_ms=now_ms, updated_ms=now_ms),)

    def muting(self, labels: Mapping[str, str], now_ms: int) -> tuple[str, ...]:
        """Return the ids of the active silences that mute alerts with *labels*, sorted."""
        return tuple(
            sorted(
                silence.id
                for silence in self
                if silence.state(now_ms) == "active" and matched(silence.matchers, labels)
            )
        )

    def collect(self, now_ms: int) -> tuple[str, ...]:
        """Forget the silences that ended long ago; return their ids."""
        gone = tuple(s.id for s in self if s.ends_ms + RETENTION_MS <= now_ms)
        for key in gone:
            del self._silences[key]
        return gone

    def _check(self, wanted: Silence, now_ms: int) -> None:
        problem = _problem(wanted.matchers)
        if wanted.starts_ms >= wanted.ends_ms:
            problem = "start time must be before end time"
        elif wanted.ends_ms < now_ms:
            problem = "end time can't be in the past"
        if problem:
            raise SilenceError(
                f"silence refused, {problem}: got {', '.join(map(str, wanted.matchers))[:200]!r}. "
                "Accepted: an end that lies ahead and after the start, and at least one matcher "
                "that does not match the empty string. Next: correct the silence."
            )


def _problem(matchers: Sequence[Matcher]) -> str:
    if not matchers:
        return "at least one matcher is required"
    if any(not matcher.name for matcher in matchers):
        return "a matcher has no label name"
    # Negative matchers always narrow to labels that are there in practice: Alertmanager lets them.
    if all(m.op in {"=", "=~"} and m.matches({}) for m in matchers):
        return "at least one matcher must not match the empty string"
    return ""


def _editable(known: Silence, wanted: Silence, now_ms: int) -> bool:
    if known.matchers != wanted.matchers:
        return False
    match known.state(now_ms):
        case "active":
            return wanted.starts_ms // 1000 == known.starts_ms // 1000
        case "pending":
            return wanted.starts_ms >= now_ms
        case _:
            return False
