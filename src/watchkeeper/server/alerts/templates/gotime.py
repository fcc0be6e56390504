"""Times and lengths of time as Go's templates print them.

Source: Go's package time, ``Time.Format`` and ``Duration.String``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["Moment", "Span", "parsed_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z07:00|Z0700|-07:00|-0700|-07|01|02|03|04|05|06|15|PM|pm"
    r"|_2|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time."""

    seconds: float

    def __str__(self) -> str:
        """Return it as ``1h2m3.5s``."""
        left = abs(self.seconds)
        if left == 0:
            return "0s"
        if left < 1:
            return f"{'-' if self.seconds < 0 else ''}{_digits(left * 1000)}ms"
        hours, left = divmod(left, 3_600)
        minutes, left = divmod(left, 60)
        text = f"{_digits(left)}s"
        if hours or minutes:
            text = f"{minutes:.0f}m{text}"
        if hours:
            text = f"{hours:.0f}h{text}"
        return f"-{text}" if self.seconds < 0 else text


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time."""

    at: datetime

    @classmethod
    def of(cls, t_ms: int | None) -> Moment:
        """Return the point *t_ms* Unix milliseconds; Go's zero time for None."""
        return cls(_ZERO if t_ms is None else _EPOCH + timedelta(milliseconds=t_ms))

    def within(self, zone: tzinfo) -> Moment:
        """Return the same point in another time zone."""
        return replace(self, at=self.at.astimezone(zone))

    def zone(self, name: str) -> Moment:
        """Return the same point in the time zone called *name*.

        Raises:
            ValueError: There is none.
        """
        try:
            return self.within(ZoneInfo(name) if name not in {"", "UTC"} else UTC)
        except (OSError, KeyError, ValueError):
            raise ValueError(f"unknown time zone {name}") from None

    def format(self, layout: str) -> str:
        """Return it as Go's *layout* shows it, for example ``2006-01-02 15:04:05 MST``."""
        return _LAYOUT.sub(lambda match: self._part(match[0]), layout)

    def seconds(self) -> int:
        """Return Unix seconds."""
        return int((self.at - _EPOCH).total_seconds())

    def __str__(self) -> str:
        """Return it as Go prints a time."""
        return self.format("2006-01-02 15:04:05.999999 -0700 MST")

    def _part(self, word: str) -> str:
        at = self.at
        if word[0] in ".,":
            digits = f"{at.microsecond:06d}".ljust(len(word) - 1, "0")[: len(word) - 1]
            if word[1] == "9":
                digits = digits.rstrip("0")
            return word[0] + digits if digits else ""
        return _PARTS[word](at)


def parsed_time(layout: str, text: str) -> Moment | None:
    """Return the point that *text* names in Go's *layout*, in UTC; None if it does not fit."""
    formats: dict[str, str] = {
        "January": "%B", "Jan": "%b", "Monday": "%A", "Mon": "%a", "MST": "%Z", "2006": "%Y",
        "Z07:00": "%z", "Z0700": "%z", "-07:00": "%z", "-0700": "%z", "01": "%m", "1": "%m",
        "02": "%d", "2": "%d", "_2": "%d", "03": "%I", "3": "%I", "15": "%H", "04": "%M",
        "4": "%M", "05": "%S", "5": "%S", "06": "%y", "PM": "%p", "pm": "%p",
    }  # fmt: skip
    form = _LAYOUT.sub(lambda match: formats.get(match[0], ".%f"), layout.replace("%", "%%"))
    try:
        at = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is put below
    except ValueError:
        return None
    return Moment(at if at.tzinfo else at.replace(tzinfo=UTC))


def _digits(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _offset(at: datetime, colon: str) -> str:
    minutes = int((at.utcoffset() or timedelta()).total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}{colon}{abs(minutes) % 60:02d}"


def _hour(at: datetime) -> int:
    return at.hour % 12 or 12


_PARTS: dict[str, Callable[[datetime], str]] = {
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "Monday": lambda at: _DAYS[at.weekday()],
    "Mon": lambda at: _DAYS[at.weekday()][:3],
    "MST": lambda at: at.tzname() or "UTC",
    "2006": lambda at: f"{at.year:04d}",
    "06": lambda at: f"{at.year % 100:02d}",
    "01": lambda at: f"{at.month:02d}",
    "1": lambda at: str(at.month),
    "02": lambda at: f"{at.day:02d}",
    "_2": lambda at: f"{at.day:2d}",
    "2": lambda at: str(at.day),
    "15": lambda at: f"{at.hour:02d}",
    "03": lambda at: f"{_hour(at):02d}",
    "3": lambda at: str(_hour(at)),
    "04": lambda at: f"{at.minute:02d}",
    "4": lambda at: str(at.minute),
    "05": lambda at: f"{at.second:02d}",
    "5": lambda at: str(at.second),
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
    "Z07:00": lambda at: _offset(at, ":") if at.utcoffset() else "Z",
    "Z0700": lambda at: _offset(at, "") if at.utcoffset() else "Z",
    "-07:00": lambda at: _offset(at, ":"),
    "-0700": lambda at: _offset(at, ""),
    "-07": lambda at: _offset(at, "")[:3],
}
