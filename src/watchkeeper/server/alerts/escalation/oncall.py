"""Who is on call: rotations by the clock on the wall, over changes of daylight saving time.

A time that a change of the clock skips happens later by what was skipped; one that comes twice
counts when it comes first. These are the rules of `datetime` with ``fold=0`` (PEP 495).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from watchkeeper.server.alerts.escalation.model import (
    Escalation,
    Layer,
    Schedule,
    Target,
    Window,
)

__all__ = ["Reached", "Shift", "on_call", "reach", "shifts", "wall", "wall_ms", "window_end_ms"]

_HOUR_MS = 3_600_000
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shift:
    """A stretch of time in which one person is on call, or nobody."""

    start_ms: int
    end_ms: int
    """Exclusive."""
    user: str | None
    """None: a gap."""
    origin: str
    """``override``, the layer's name, or empty in a gap."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A receiver that a step tells, and why."""

    receiver: str
    user: str
    """The person behind it; empty if the step names the receiver itself."""
    target: Target


def wall_ms(moment: datetime, zone: ZoneInfo) -> int:
    """Return Unix milliseconds of a time by the clock of *zone*; *moment* has no zone of its own."""
    return (moment.replace(tzinfo=zone, fold=0).astimezone(UTC) - _EPOCH) // timedelta(
        milliseconds=1
    )


def wall(moment_ms: int, zone: ZoneInfo) -> datetime:
    """Return what the clock of *zone* shows, without a zone."""
    moment = _EPOCH + timedelta(milliseconds=moment_ms)
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def on_call(schedule: Schedule, now_ms: int) -> str | None:
    """Return who is on call at an instant, or None in a gap."""
    return _holder(schedule, now_ms)[0]


def shifts(schedule: Schedule, start_ms: int, end_ms: int) -> list[Shift]:
    """Return the shifts that overlap the range, cut to it, gaps included, oldest first."""
    edges = {start_ms}
    for layer in schedule.layers:
        edges.update(_handoffs(layer, schedule.zone, start_ms, end_ms))
        for window in layer.only:
            for opens, closes in _openings(window, schedule.zone, start_ms, end_ms):
                edges.update((opens, closes))
    for override in schedule.overrides:
        edges.update((override.start_ms, override.end_ms))
    inside = sorted(edge for edge in edges if start_ms <= edge < end_ms)
    found: list[Shift] = []
    for begins, ends in zip(inside, [*inside[1:], end_ms], strict=True):
        user, origin = _holder(schedule, begins)
        if found and (found[-1].user, found[-1].origin) == (user, origin):
            begins = found.pop().start_ms  # noqa: PLW2901 - the stretch before goes on
        found.append(Shift(begins, ends, user, origin))
    return found


def window_end_ms(window: Window, zone: ZoneInfo, now_ms: int) -> int | None:
    """Return when the window that holds at an instant ends, or None if none does."""
    ends = [
        closes
        for opens, closes in _openings(window, zone, now_ms, now_ms + 1)
        if opens <= now_ms < closes
    ]
    return max(ends, default=None)


def reach(
    book: Escalation, targets: tuple[Target, ...], now_ms: int
) -> tuple[list[Reached], list[str]]:
    """Return whom *targets* reach at an instant, each receiver once, and what reaches nobody.

    Returns:
        The receivers in the order of the targets, and a sentence for each target that reaches
        nobody, for example a schedule in a gap.
    """
    found: dict[str, Reached] = {}
    missed = []
    for target in targets:
        name: str | None = target.name
        if target.kind == "receiver":
            found.setdefault(target.name, Reached(target.name, "", target))
            continue
        if target.kind == "schedule":
            schedule = book.schedules.get(target.name)
            name = None if schedule is None else on_call(schedule, now_ms)
        user = None if name is None else book.users.get(name)
        if user is None or not user.contacts:
            missed.append(f"{target} reaches nobody")
            continue
        for receiver in user.contacts:
            found.setdefault(receiver, Reached(receiver, user.name, target))
    return list(found.values()), missed


def _holder(schedule: Schedule, now_ms: int) -> tuple[str | None, str]:
    for override in reversed(schedule.overrides):
        if override.start_ms <= now_ms < override.end_ms:
            return override.user, "override"
    for layer in reversed(schedule.layers):
        user = _layer_user(layer, schedule.zone, now_ms)
        if user is not None:
            return user, layer.name
    return None, ""


def _layer_user(layer: Layer, zone: ZoneInfo, now_ms: int) -> str | None:
    if layer.only and not any(window_end_ms(w, zone, now_ms) is not None for w in layer.only):
        return None
    turn = _turn(layer, zone, now_ms)
    return None if turn < 0 else layer.users[turn % len(layer.users)]


def _turn(layer: Layer, zone: ZoneInfo, now_ms: int) -> int:
    """Return the number of the turn at an instant, negative before the first handoff."""
    guess = (wall(now_ms, zone) - layer.start) // timedelta(hours=layer.turn_hours)
    # The wall's clock may have jumped between the handoff and now; the instants decide.
    turn = guess + 1 + 24 // layer.turn_hours
    while _handoff_ms(layer, zone, turn) > now_ms:
        turn -= 1
    return turn


def _handoff_ms(layer: Layer, zone: ZoneInfo, turn: int) -> int:
    return wall_ms(layer.start + turn * timedelta(hours=layer.turn_hours), zone)


def _handoffs(layer: Layer, zone: ZoneInfo, start_ms: int, end_ms: int) -> Iterator[int]:
    turn = max(0, _turn(layer, zone, start_ms))
    while (moment := _handoff_ms(layer, zone, turn)) < end_ms:
        yield moment
        turn += 1


def _openings(
    window: Window, zone: ZoneInfo, start_ms: int, end_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each opening that may touch the range."""
    day: date = wall(start_ms, zone).date() - 2 * _DAY
    last: date = wall(end_ms, zone).date() + _DAY
    while day <= last:
        if day.weekday() in window.days:
            begins = datetime.combine(day, time()) + timedelta(minutes=window.start_min)
            ends = begins + timedelta(minutes=window.length_min)
            yield wall_ms(begins, zone), wall_ms(ends, zone)
        day += _DAY
