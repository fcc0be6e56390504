"""Time intervals hold and do not hold as Alertmanager's do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.server.alerts.config.files import whole

from watchkeeper.errors import ConfigFileError
from watchkeeper.server.alerts.config.intervals import TimeInterval, contains, muted_by
from watchkeeper.server.alerts.config.loader import load_config_text


def ms(text: str) -> int:
    """Return an ISO time, UTC unless it says otherwise, in Unix milliseconds."""
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def read(interval: str) -> tuple[TimeInterval, ...]:
    """Return the intervals of a file with one named interval that consists of *interval*."""
    rest = f"time_intervals:\n- name: t\n  time_intervals: {interval}\n"
    found: tuple[TimeInterval, ...] = load_config_text(whole(rest=rest), "am.yml").time_intervals[
        "t"
    ]
    return found


NIGHT = (
    "{times: [{start_time: '22:00', end_time: '24:00'}, {start_time: '00:00', end_time: '06:00'}]}"
)


@pytest.mark.parametrize(
    ("interval", "now", "inside"),
    [
        ("[]", "2026-03-01T00:00", False),
        ("[{}]", "2026-03-01T00:00", True),
        ("[null]", "2026-03-01T00:00", True),
        ("[{times: []}]", "2026-03-01T00:00", False),
        (f"[{NIGHT}]", "2026-03-01T21:59:59", False),
        (f"[{NIGHT}]", "2026-03-01T22:00", True),
        (f"[{NIGHT}]", "2026-03-01T23:59:59", True),
        (f"[{NIGHT}]", "2026-03-01T05:59:59", True),
        (f"[{NIGHT}]", "2026-03-01T06:00", False),
        # 2026-03-01 is a Sunday.
        ("[{weekdays: ['monday:friday']}]", "2026-03-01T12:00", False),
        ("[{weekdays: ['monday:friday']}]", "2026-03-02T12:00", True),
        ("[{weekdays: ['monday:friday']}]", "2026-03-06T23:59:59", True),
        ("[{weekdays: [Saturday, SUNDAY]}]", "2026-03-07T00:00", True),
        ("[{weekdays: ['sunday:monday']}]", "2026-03-01T00:00", True),
        ("[{days_of_month: ['1:5']}]", "2026-03-05T23:59", True),
        ("[{days_of_month: ['1:5']}]", "2026-03-06T00:00", False),
        ("[{days_of_month: ['-3:-1']}]", "2026-02-26T00:00", True),
        ("[{days_of_month: ['-3:-1']}]", "2026-02-25T23:59", False),
        ("[{days_of_month: ['-1']}]", "2028-02-28T12:00", False),
        ("[{days_of_month: ['-1']}]", "2028-02-29T12:00", True),
        ("[{days_of_month: ['31']}]", "2026-04-30T12:00", False),
        ("[{days_of_month: ['25:31']}]", "2026-02-28T12:00", True),
        ("[{days_of_month: ['-31:-30']}]", "2026-02-01T12:00", False),
        ("[{days_of_month: ['-31:-20']}]", "2026-02-01T12:00", True),
        ("[{days_of_month: ['10:-10']}]", "2026-02-19T12:00", True),
        ("[{days_of_month: ['10:-10']}]", "2026-02-20T12:00", False),
        ("[{months: ['december']}]", "2026-12-31T23:59", True),
        ("[{months: ['december']}]", "2027-01-01T00:00", False),
        ("[{months: ['1:march', July]}]", "2026-07-15T00:00", True),
        ("[{months: ['1:march', July]}]", "2026-04-01T00:00", False),
        ("[{years: ['2026:2027']}]", "2027-12-31T23:59", True),
        ("[{years: [2026]}]", "2027-01-01T00:00", False),
        # Every part must hold; of several intervals, one.
        ("[{weekdays: [sunday], months: [march]}]", "2026-03-01T12:00", True),
        ("[{weekdays: [sunday], months: [april]}]", "2026-03-01T12:00", False),
        ("[{months: [april]}, {weekdays: [sunday]}]", "2026-03-01T12:00", True),
        # In a zone, the day and the hour are the zone's, summer time included.
        (f"[{{location: Asia/Tokyo, {NIGHT[1:]}]", "2026-03-01T13:00", True),
        (f"[{{location: Asia/Tokyo, {NIGHT[1:]}]", "2026-03-01T12:59", False),
        ("[{location: Australia/Sydney, weekdays: [monday]}]", "2026-03-01T13:00", True),
        ("[{location: Europe/Berlin, times: [{start_time: '09:00', end_time: '17:00'}]}]",
         "2026-03-27T08:00", True),
        ("[{location: Europe/Berlin, times: [{start_time: '09:00', end_time: '17:00'}]}]",
         "2026-03-30T07:00", True),
        ("[{location: Europe/Berlin, times: [{start_time: '02:00', end_time: '03:00'}]}]",
         "2026-03-29T01:00", False),
        ("[{location: Europe/Berlin, times: [{start_time: '02:00', end_time: '03:00'}]}]",
         "2026-10-25T01:30", True),
        ("[{location: Europe/Berlin, days_of_month: ['-1']}]", "2026-03-30T22:30", True),
        ("[{location: '', weekdays: [sunday]}]", "2026-03-01T12:00", True),
    ],
)  # fmt: skip
def test_what_an_interval_contains(interval: str, now: str, *, inside: bool) -> None:
    """A moment lies within an interval when every part that is given holds."""
    assert contains(read(interval), ms(now)) == inside


@pytest.mark.parametrize(
    "interval",
    [
        "{times: [{start_time: '24:00', end_time: '24:00'}]}",
        "{times: [{start_time: '10:00', end_time: '09:00'}]}",
        "{times: [{start_time: '9:00', end_time: '10:00'}]}",
        "{times: [{start_time: '09:00', end_time: '24:01'}]}",
        "{times: [{start_time: '09:60', end_time: '11:00'}]}",
        "{times: [{start_time: '09:00'}]}",
        "{times: [{start_time: '09:00', end_time: '10:00', zone: x}]}",
        "{weekdays: [funday]}",
        "{weekdays: ['friday:monday']}",
        "{weekdays: ['a:b:c']}",
        "{weekdays: [1]}",
        "{days_of_month: [0]}",
        "{days_of_month: [32]}",
        "{days_of_month: ['-32:-1']}",
        "{days_of_month: ['-5:5']}",
        "{days_of_month: ['5:1']}",
        "{days_of_month: ['-1:-5']}",
        "{days_of_month: [first]}",
        "{months: [smarch]}",
        "{months: ['may:april']}",
        "{years: ['2027:2026']}",
        "{years: [next]}",
        "{location: Middle/Earth}",
        "{location: ../../etc/passwd}",
        "{moons: [full]}",
    ],
)
def test_what_is_no_interval(interval: str) -> None:
    """An interval that Alertmanager refuses is refused, with its line."""
    with pytest.raises(ConfigFileError, match=r"^am\.yml:\d+: .* Accepted: .* Next: "):
        read(f"[{interval}]")


def test_the_names_that_hold_are_told() -> None:
    """Of a route's intervals, those that hold at a moment are returned by name."""
    intervals = {"weekend": read("[{weekdays: ['saturday', 'sunday']}]"), "never": read("[]")}

    assert muted_by(["never", "weekend"], intervals, ms("2026-03-01T00:00")) == ["weekend"]
    assert muted_by(["never", "weekend"], intervals, ms("2026-03-02T00:00")) == []


def test_local_time_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The location ``Local`` follows the machine's zone, summer time included."""
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        morning = read("[{location: Local, times: [{start_time: '09:00', end_time: '10:00'}]}]")

        assert contains(morning, ms("2026-01-05T14:30"))
        assert contains(morning, ms("2026-07-06T13:30"))
        assert not contains(morning, ms("2026-07-06T14:30"))
    finally:
        monkeypatch.undo()
        time.tzset()
