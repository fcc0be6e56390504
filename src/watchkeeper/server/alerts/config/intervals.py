"""Time intervals: when a route is muted or active.

Source: Alertmanager's documentation, "Configuration", section "<time_interval>", and its package
timeinterval. Every given part must hold; of one part's ranges, one must. The end minute of a time
is excluded, all other ends are included. Without a location, times are UTC.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

__all__ = [
    "DAYS",
    "MONTHS",
    "Range",
    "TimeInterval",
    "contains",
    "muted_by",
    "parse_days_of_month",
    "parse_location",
    "parse_months",
    "parse_time",
    "parse_weekdays",
    "parse_years",
]

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_TIME = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9]))|24:00", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)

Range = tuple[int, int]
"""First and last, the last included, except for minutes of a day."""


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """One set of conditions on a moment; None is no condition, and an empty one never holds."""

    times: tuple[Range, ...] | None = None
    """Minutes of the day, the last excluded."""
    weekdays: tuple[Range, ...] | None = None
    """0 is Sunday."""
    days_of_month: tuple[Range, ...] | None = None
    """Negative ones count from the end: -1 is the last day."""
    months: tuple[Range, ...] | None = None
    years: tuple[Range, ...] | None = None
    location: tzinfo | None = UTC
    """None is the machine's own."""

    def holds(self, now_ms: int) -> bool:
        """Tell whether *now_ms*, Unix milliseconds, lies within."""
        now = datetime.fromtimestamp(now_ms // 1000, self.location)
        weekday = now.isoweekday() % 7
        minute = now.hour * 60 + now.minute
        return (
            (self.times is None or any(first <= minute < end for first, end in self.times))
            and _within(self.weekdays, weekday)
            and self._on_day(now)
            and _within(self.months, now.month)
            and _within(self.years, now.year)
        )

    def _on_day(self, now: datetime) -> bool:
        if self.days_of_month is None:
            return True
        length = calendar.monthrange(now.year, now.month)[1]
        for first, last in self.days_of_month:
            begin = first if first > 0 else length + first + 1
            end = last if last > 0 else length + last + 1
            # A first day that the month has not: the range is empty, not moved to the month's end.
            if begin <= length and begin <= now.day <= end:
                return True
        return False


def contains(intervals: Iterable[TimeInterval], now_ms: int) -> bool:
    """Tell whether *now_ms*, Unix milliseconds, lies within one of *intervals*."""
    return any(interval.holds(now_ms) for interval in intervals)


def muted_by(
    names: Sequence[str], intervals: Mapping[str, Sequence[TimeInterval]], now_ms: int
) -> list[str]:
    """Return those of *names* whose intervals hold at *now_ms*.

    Args:
        names: A route's ``mute_time_intervals`` or ``active_time_intervals``.
        intervals: `Config.time_intervals`.
        now_ms: Unix milliseconds.

    Raises:
        KeyError: A name is not in *intervals*; a loaded `Config` has no such name.
    """
    return [name for name in names if contains(intervals[name], now_ms)]


def parse_time(text: str) -> int:
    """Return ``HH:MM``, up to ``24:00``, in minutes of the day.

    Raises:
        ValueError: The text is no such time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a time from 00:00 to 24:00")
    return 24 * 60 if match[1] is None else int(match[1]) * 60 + int(match[2])


def parse_weekdays(text: str) -> Range:
    """Return ``monday`` or ``monday:friday`` as numbers, Sunday being 0.

    Raises:
        ValueError: A day is unknown, or the last comes before the first in a week that begins
            with Sunday.
    """
    first, last = _range(text, _weekday)
    if first > last:
        raise ValueError(f"{text[:40]!r} ends before it begins; weeks begin with sunday")
    return first, last


def parse_days_of_month(text: str) -> Range:
    """Return ``1``, ``1:15`` or ``-3:-1`` as numbers.

    Raises:
        ValueError: A day is not from 1 to 31 or -31 to -1, the first counts from the end and the
            last does not, or the last lies before the first in every month.
    """
    first, last = _range(text, _number)
    for day in (first, last):
        if day == 0 or abs(day) > 31:
            raise ValueError(f"{text[:40]!r} has a day that is not from 1 to 31 or -31 to -1")
    if first < 0 < last:
        raise ValueError(f"{text[:40]!r} begins from the month's end but ends from its start")
    # 28 days is the shortest month: what is empty there may not be empty in a longer one.
    if (first if first > 0 else 28 + first) > (last if last > 0 else 28 + last):
        raise ValueError(f"{text[:40]!r} ends before it begins")
    return first, last


def parse_months(text: str) -> Range:
    """Return ``may``, ``5`` or ``may:august`` as numbers from 1.

    Raises:
        ValueError: A month is unknown, or the last comes before the first.
    """
    first, last = _range(text, _month)
    if first > last:
        raise ValueError(f"{text[:40]!r} ends before it begins")
    return first, last


def parse_years(text: str) -> Range:
    """Return ``2026`` or ``2026:2028`` as numbers.

    Raises:
        ValueError: A year is no number, or the last comes before the first.
    """
    first, last = _range(text, _number)
    if first > last:
        raise ValueError(f"{text[:40]!r} ends before it begins")
    return first, last


def parse_location(text: str) -> tzinfo | None:
    """Return the time zone of that IANA name; empty is UTC, and ``Local`` None, the machine's.

    Raises:
        ValueError: No such zone is known here.
    """
    if text == "Local":
        return None
    if text in {"", "UTC"}:
        return UTC
    try:
        return ZoneInfo(text)
    except (OSError, LookupError, ValueError):
        raise ValueError(f"{text[:80]!r} is not a known time zone") from None


def _within(ranges: tuple[Range, ...] | None, value: int) -> bool:
    return ranges is None or any(first <= value <= last for first, last in ranges)


def _range(text: str, read: Callable[[str], int]) -> Range:
    parts = text.lower().split(":")
    if len(parts) > 2:
        raise ValueError(f"{text[:40]!r} is not one value or two with a colon between")
    first = read(parts[0])
    return first, read(parts[-1])


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _weekday(text: str) -> int:
    if text not in DAYS:
        raise ValueError(f"{text[:40]!r} is not a day of the week")
    return DAYS.index(text)


def _month(text: str) -> int:
    if text in MONTHS:
        return MONTHS.index(text) + 1
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a month")
    return int(text)
