"""Who is on call, over handoffs, layers, overrides, gaps and changes of the clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.alerting.escalation.samples import at, book

from watchkeeper.server.alerts.escalation.model import Schedule
from watchkeeper.server.alerts.escalation.oncall import on_call, reach, shifts

USERS = "users: {a: {contacts: [x]}, b: {contacts: [y]}, c: {contacts: [z]}}\n"


def schedule(layers: str, zone: str = "Europe/Berlin", overrides: str = "[]") -> Schedule:
    """Return a schedule of these layers."""
    text = f"schedules: {{s: {{time_zone: {zone}, layers: [{layers}], overrides: {overrides}}}}}"
    return book(USERS + text).schedules["s"]


WEEKLY = "{users: [a, b], start: 2026-03-23T09:00, turn: weekly}"


def test_a_weekly_handoff_stays_at_its_hour_over_the_change_of_the_clock() -> None:
    """Berlin's clock goes forward on 29 March; the handoff of the 30th is at 09:00 all the same."""
    found = schedule(WEEKLY)

    assert on_call(found, at("2026-03-30T08:59:59+02:00")) == "a"
    assert on_call(found, at("2026-03-30T09:00:00+02:00")) == "b"


def test_nobody_is_on_call_before_the_first_handoff() -> None:
    """A layer begins with its start."""
    found = schedule(WEEKLY)

    assert on_call(found, at("2026-03-23T08:59:59+01:00")) is None
    assert on_call(found, at("2026-03-23T09:00:00+01:00")) == "a"


def test_a_skipped_handoff_happens_later_by_what_was_skipped() -> None:
    """02:30 does not exist on 29 March 2026 in Berlin; it is 03:30 then."""
    found = schedule("{users: [a, b], start: 2026-03-28T02:30, turn: daily}")

    assert on_call(found, at("2026-03-29T03:29:59+02:00")) == "a"
    assert on_call(found, at("2026-03-29T03:30:00+02:00")) == "b"
    assert on_call(found, at("2026-03-30T02:30:00+02:00")) == "a"


def test_a_repeated_handoff_happens_once_the_first_time() -> None:
    """02:30 comes twice on 25 October 2026 in Berlin; nobody is on call again after a handoff."""
    found = schedule("{users: [a, b], start: 2026-10-24T02:30, turn: daily}")
    times = ("02:29:59+02:00", "02:30:00+02:00", "02:10:00+01:00", "02:31:00+01:00")

    assert [on_call(found, at(f"2026-10-25T{time}")) for time in times] == ["a", "b", "b", "b"]


def test_turns_of_some_hours_follow_the_clock_on_the_wall() -> None:
    """Shifts of twelve hours begin at 08:00 and 20:00 in winter and in summer."""
    found = schedule("{users: [a, b], start: 2026-03-28T08:00, turn: 12h}")

    for day in ("2026-03-28T{}+01:00", "2026-03-30T{}+02:00"):
        assert on_call(found, at(day.format("08:00:00"))) == "a"
        assert on_call(found, at(day.format("19:59:59"))) == "a"
        assert on_call(found, at(day.format("20:00:00"))) == "b"


def test_later_layers_count_before_earlier_ones_inside_their_hours() -> None:
    """A layer that is restricted to hours and days leaves the rest to the one below."""
    found = schedule(
        "{users: [a], start: 2026-01-05T00:00, turn: weekly},"
        "{users: [b], start: 2026-01-05T00:00, turn: weekly,"
        ' only: [{from: "09:00", until: "17:00", days: [monday:friday]}]}'
    )

    assert on_call(found, at("2026-01-09T16:59:00+01:00")) == "b"
    assert on_call(found, at("2026-01-09T17:00:00+01:00")) == "a"
    assert on_call(found, at("2026-01-10T12:00:00+01:00")) == "a"


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Friday 22:00 to 06:00 holds on Saturday morning and not on Friday morning."""
    found = schedule(
        "{users: [a], start: 2026-01-05T00:00, turn: weekly,"
        ' only: [{from: "22:00", until: "06:00", days: [friday]}]}'
    )

    assert on_call(found, at("2026-01-10T05:59:00+01:00")) == "a"
    assert on_call(found, at("2026-01-10T06:00:00+01:00")) is None
    assert on_call(found, at("2026-01-09T05:00:00+01:00")) is None


def test_an_override_stands_in_and_the_last_one_counts() -> None:
    """An override counts before every layer, from its start until before its end."""
    found = schedule(
        WEEKLY,
        overrides="[{user: b, from: 2026-03-25T00:00, until: 2026-03-26T00:00},"
        "{user: c, from: 2026-03-25T12:00, until: 2026-03-25T17:00:00Z}]",
    )

    times = ("25T11:59:59", "25T12:00:00", "25T17:59:59", "25T18:00:00", "26T00:00:00")
    assert [on_call(found, at(f"2026-03-{time}+01:00")) for time in times] == list("bccba")


def test_shifts_tell_gaps_and_who_stands_in() -> None:
    """A list of shifts covers its range without holes, neighbours that are equal joined."""
    found = schedule(
        '{users: [a], start: 2026-01-05T00:00, turn: daily, only: [{from: "08:00", until: "20:00"}]}',
        zone="UTC",
        overrides="[{user: c, from: 2026-01-06T10:00, until: 2026-01-06T12:00}]",
    )
    start = at("2026-01-06T00:00:00+00:00")

    listed = shifts(found, start, start + 86_400_000)
    hours = [((s.start_ms - start) // 3_600_000, s.user, s.origin) for s in listed]
    assert hours == [
        (0, None, ""), (8, "a", "layer 1"), (10, "c", "override"), (12, "a", "layer 1"), (20, None, "")
    ]  # fmt: skip


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


@given(
    zone=st.sampled_from(ZONES),
    turn=st.sampled_from(("1h", "5h", "12h", "daily", "weekly")),
    minute=st.integers(0, 59),
    start=st.integers(1_740_000_000, 1_800_000_000),
    offsets=st.lists(st.integers(0, 3 * 86_400 - 1), max_size=8),
)
def test_shifts_agree_with_who_is_on_call(
    zone: str, turn: str, minute: int, start: int, offsets: list[int]
) -> None:
    """The list covers the range in order, and says of each instant what `on_call` says."""
    found = schedule(
        f"{{users: [a, b, c], start: 2025-01-06T01:{minute:02}, turn: {turn}}},"
        f'{{users: [b], start: 2025-01-01T00:00, turn: daily, only: [{{from: "01:30", until: "02:45"}}]}}',
        zone=zone,
    )
    begin_ms, end_ms = start * 1000, (start + 3 * 86_400) * 1000
    listed = shifts(found, begin_ms, end_ms)

    edges = [shift.start_ms for shift in listed] + [listed[-1].end_ms]
    assert edges == sorted(set(edges))
    assert (edges[0], edges[-1]) == (begin_ms, end_ms)
    for offset in offsets:
        moment = begin_ms + offset * 1000
        holder = next(s.user for s in listed if s.start_ms <= moment < s.end_ms)
        assert holder == on_call(found, moment)


def test_a_receiver_is_reached_once_however_many_targets_lead_to_it() -> None:
    """A person who is on call and named besides is told once; a gap is told about."""
    team = book()
    targets = team.policies[0].steps[0].targets + team.policies[0].steps[1].targets
    monday = at("2026-07-21T12:00:00+02:00")

    found, missed = reach(team, targets, monday)
    assert [(one.receiver, one.user) for one in found] == [("bob-phone", "bob"), ("team-mail", "")]
    assert missed == []
