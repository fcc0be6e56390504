"""The alerts that somebody may be told about, one for each label set.

Merging follows Alertmanager (its acceptance tests ``TestMergeAlerts``), and so does what an alert
means that is sent without a start or an end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from watchkeeper.vocabulary.limits import limit

__all__ = ["REFUSED", "ActiveAlert", "AlertTable", "LabelsOrder", "fingerprint", "pushed"]

REFUSED = "alerts_full"
"""The reason under which alerts beyond `alerts_max` are counted."""

_OFFSET, _PRIME, _MASK = 14695981039346656037, 1099511628211, (1 << 64) - 1
_FOREVER = 1 << 62


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return what identifies *labels* in the API: 16 hexadecimal digits.

    It is Prometheus' own: FNV-1a over names and values in the order of names, each followed by
    the byte 255, which UTF-8 does not contain.
    """
    hashed = _OFFSET
    text = b"".join(
        part.encode("utf-8", "surrogatepass") + b"\xff"
        for pair in sorted(labels.items())
        for part in pair
    )
    for byte in text:
        hashed = ((hashed ^ byte) * _PRIME) & _MASK
    return f"{hashed:016x}"


class LabelsOrder:
    """Sorts label sets as Prometheus' ``LabelSet.Before`` does.

    Fewer labels come first; then, at the first name in which two differ, the one without it, or
    the one with the smaller value.
    """

    __slots__ = ("_names", "_values")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._names = tuple(sorted(labels))
        self._values = tuple(labels[name] for name in self._names)

    def __eq__(self, other: object) -> bool:
        """Compare the labels."""
        return isinstance(other, LabelsOrder) and (self._names, self._values) == (
            other._names,
            other._values,
        )

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self._names, self._values))

    def __lt__(self, other: LabelsOrder) -> bool:
        """Tell whether these come first."""
        if self._names == other._names:
            return self._values < other._values
        if len(self._names) != len(other._names):
            return len(self._names) < len(other._names)
        for name, value, theirs, their_value in zip(
            self._names, self._values, other._names, other._values, strict=True
        ):
            if name != theirs:
                return name > theirs
            if value != their_value:
                return value < their_value
        return False


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """One alert as it was last told to us."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int
    """When it began, Unix milliseconds."""
    ends_ms: int | None
    """When it ended or will end; None until we are told."""
    updated_ms: int
    lapses: bool = False
    """The sender gave no end: `ends_ms` is when it counts as resolved unless it is sent again."""
    value: float | None = None
    """Value of the rule's expression, where it is known."""
    generator_url: str = ""
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        """Fill in the fingerprint."""
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self.labels))

    def resolved(self, now_ms: int) -> bool:
        """Tell whether it has ended by *now_ms*."""
        return self.ends_ms is not None and self.ends_ms <= now_ms

    def merged(self, newer: ActiveAlert, now_ms: int) -> ActiveAlert:
        """Return what is known once *newer*, of the same labels, has arrived.

        If their times overlap, the earliest start stays, and of two ends the latest that was
        given; the rest is the newer one's. Otherwise the newer one is a new alert.
        """
        starts, ends = self.starts_ms, _end(self)
        if not (starts < _end(newer) < ends or starts < newer.starts_ms < ends):
            return newer
        result = replace(newer, starts_ms=min(starts, newer.starts_ms))
        if ends <= _end(newer):
            return result
        if newer.resolved(now_ms):
            return replace(result, ends_ms=self.ends_ms) if self.resolved(now_ms) else result
        return result if self.lapses else replace(result, ends_ms=self.ends_ms)


def _end(alert: ActiveAlert) -> int:
    return _FOREVER if alert.ends_ms is None else alert.ends_ms


def pushed(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    *,
    starts_ms: int | None,
    ends_ms: int | None,
    now_ms: int,
    resolve_timeout_ms: int,
    generator_url: str = "",
) -> ActiveAlert:
    """Return an alert that somebody sent, with what was left out filled in.

    Labels without a value are dropped. The start is now, or the end if that is given alone. An
    alert without an end lapses after *resolve_timeout_ms*.
    """
    if starts_ms is None:
        starts_ms = now_ms if ends_ms is None else ends_ms
    return ActiveAlert(
        labels={name: value for name, value in sorted(labels.items()) if value},
        annotations=dict(annotations),
        starts_ms=starts_ms,
        ends_ms=now_ms + resolve_timeout_ms if ends_ms is None else ends_ms,
        updated_ms=now_ms,
        lapses=ends_ms is None,
        generator_url=generator_url,
    )


class AlertTable:
    """The alerts by fingerprint.

    Args:
        most: How many are kept; further ones are refused.

    Attributes:
        refused: How many alerts were refused since the start.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = limit("alerts_max") if most is None else most
        self.refused = 0
        self._alerts: dict[str, ActiveAlert] = {}

    def __len__(self) -> int:
        return len(self._alerts)

    def __iter__(self) -> Iterator[ActiveAlert]:
        return iter(self._alerts.values())

    def get(self, key: str) -> ActiveAlert | None:
        """Return the alert of fingerprint *key*."""
        return self._alerts.get(key)

    def put(self, alert: ActiveAlert, now_ms: int) -> ActiveAlert | None:
        """Take in *alert*; return it merged with what was known, or None if there is no room."""
        known = self._alerts.get(alert.fingerprint)
        if known is not None:
            alert = known.merged(alert, now_ms)
        elif len(self._alerts) >= self.most:
            self.refused += 1
            return None
        self._alerts[alert.fingerprint] = alert
        return alert

    def remove(self, key: str) -> None:
        """Forget the alert of fingerprint *key*."""
        self._alerts.pop(key, None)
