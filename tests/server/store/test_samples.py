"""Samples by matcher, from memory and from disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.sample_rows import NOON_NS

from watchkeeper.errors import QueryParseError
from watchkeeper.server.series import (
    STALE_NAN,
    STALE_NAN_BITS,
    Exemplar,
    Labels,
    Matcher,
    MatchOp,
    sorted_labels,
)
from watchkeeper.server.store import Store, StoreSettings
from watchkeeper.server.store.rows import Batch, Family, Sample
from watchkeeper.testing.clock import FixedClock

NOON_MS = NOON_NS // 1_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def named(name: str, **labels: str) -> Labels:
    """Return the labels of a series."""
    return sorted_labels({"__name__": name, **labels})


def keep(store: Store, *samples: tuple[Labels, int, float]) -> None:
    """Store samples; times are milliseconds from noon."""
    rows = [Sample(labels, NOON_MS + t, value) for labels, t, value in samples]
    store.ingest(Batch(samples=rows)).result(10)


def found(
    store: Store, matchers: list[Matcher], start: int = -DAY_MS, end: int = DAY_MS
) -> dict[Labels, list[tuple[int, float]]]:
    """Return samples by series; times are milliseconds from noon."""
    result = store.select(matchers, NOON_MS + start, NOON_MS + end)
    return {
        series.labels: [
            (int(t) - NOON_MS, float(v)) for t, v in zip(series.t_ms, series.values, strict=True)
        ]
        for series in result
    }


def name_is(name: str) -> list[Matcher]:
    """Return the matcher of a metric name."""
    return [Matcher("__name__", MatchOp.EQUAL, name)]


def test_a_series_comes_from_memory_and_disk_alike(store: Store) -> None:
    """Samples before and after the memory's floor are one series, in order, both ends included."""
    times = [-3 * HOUR_MS, -HOUR_MS - 1, -HOUR_MS, -1, 0]
    keep(store, *((named("m", a="1"), t, float(t)) for t in times))

    assert {named("m", a="1"): [(t, float(t)) for t in times]} == found(store, name_is("m"))
    assert {named("m", a="1"): [(t, float(t)) for t in times[1:4]]} == found(
        store, name_is("m"), times[1], times[3]
    )


def test_a_restart_changes_no_answer(tmp_path: Path, clock: FixedClock) -> None:
    """What was answered before a restart is answered after it, from yesterday on."""
    answers = []
    with Store.open(tmp_path / "data", clock=clock) as opened:
        for t in range(-20 * HOUR_MS, 1, HOUR_MS // 4):
            keep(opened, (named("m", a="1"), t, float(t)), (named("n"), t, 1.0))
        answers.append(found(opened, []))
    with Store.open(tmp_path / "data", clock=clock) as opened:
        answers.append(found(opened, []))

    assert len(answers[0]) == 2
    assert answers[0] == answers[1]


def test_a_staleness_marker_keeps_its_bits(tmp_path: Path, clock: FixedClock) -> None:
    """The payload of the marker survives memory, disk and a restart."""
    bits = []
    for _ in range(2):
        with Store.open(tmp_path / "data", clock=clock) as opened:
            keep(opened, (named("m"), 0, STALE_NAN), (named("m"), -2 * HOUR_MS, STALE_NAN))
            for series in opened.select(name_is("m"), 0, 2**60):
                bits += series.values.view("uint64").tolist()

    assert set(bits) == {STALE_NAN_BITS}


def test_late_samples_find_their_place(store: Store) -> None:
    """A sample that comes late is put in order; too late, or with another value, it is refused."""
    series = named("m")
    keep(store, (series, 0, 1.0), (series, -10, 2.0), (series, 0, 1.0), (series, 0, 9.0))
    keep(store, (series, -10, 2.0), (series, -2 * HOUR_MS, 3.0), (series, -5, STALE_NAN))

    times = [t for t, _ in found(store, name_is("m"))[series]]
    assert times == [-10, -5, 0]
    page = store.metrics.render().decode()
    assert 'refused_total{reason="duplicate_timestamp",signal="metrics"} 1.0' in page
    assert 'refused_total{reason="out_of_order",signal="metrics"} 1.0' in page


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(-70, 0)), max_size=8)))
def test_memory_and_disk_hold_the_same(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]]
) -> None:
    """Whatever the order of arrival, a restart and no memory at all give the same answer."""
    clock = FixedClock(NOON_NS)
    directory = tmp_path_factory.mktemp("store") / "data"
    with Store.open(directory, clock=clock) as opened:
        for batch in batches:
            keep(opened, *((named("m", s=str(s)), t * 60_000, float(t)) for s, t in batch))
        before = found(opened, [])
    clock.advance(7_200)
    with Store.open(directory, clock=clock) as opened:
        after = found(opened, [])

    assert before == after


@pytest.fixture
def three(store: Store) -> Iterator[Store]:
    """Yield a store with three series, one of them old."""
    keep(store, (named("up", job="old"), -3 * HOUR_MS, 1.0))
    keep(store, (named("up", job="api"), 0, 1.0), (named("up", job="worker", zone="a"), 0, 0.0))
    return iter([store])


@pytest.mark.parametrize(
    ("matcher", "jobs"),
    [
        (Matcher("job", MatchOp.EQUAL, "api"), {"api"}),
        (Matcher("job", MatchOp.NOT_EQUAL, "api"), {"worker", "old"}),
        (Matcher("job", MatchOp.REGEX, "a.*|work"), {"api"}),
        (Matcher("job", MatchOp.NOT_REGEX, "a.*"), {"worker", "old"}),
        (Matcher("zone", MatchOp.EQUAL, ""), {"api", "old"}),
        (Matcher("zone", MatchOp.NOT_EQUAL, ""), {"worker"}),
        (Matcher("zone", MatchOp.REGEX, ".*"), {"api", "old", "worker"}),
        (Matcher("zone", MatchOp.REGEX, ".+"), {"worker"}),
        (Matcher("nowhere", MatchOp.NOT_EQUAL, "x"), {"api", "old", "worker"}),
        (Matcher("nowhere", MatchOp.EQUAL, "x"), set()),
    ],
)
def test_matchers_select(three: Iterator[Store], matcher: Matcher, jobs: set[str]) -> None:
    """An absent label counts as the empty value, as in Prometheus."""
    result = found(next(three), [matcher])

    assert jobs == {dict(labels)["job"] for labels in result}


def test_labels_of_a_recent_range_leave_out_what_ended(three: Iterator[Store]) -> None:
    """Names, values and series are exact to the sample for a recent range."""
    store = next(three)
    recent = (NOON_MS - 60_000, NOON_MS)
    day = (NOON_MS - 6 * HOUR_MS, NOON_MS)

    assert ["api", "worker"] == store.label_values("job", (), *recent)
    assert ["api", "old", "worker"] == store.label_values("job", (), *day)
    assert ["worker"] == store.label_values("job", [[Matcher("zone", MatchOp.EQUAL, "a")]], *recent)
    assert ["__name__", "job", "zone"] == store.label_names((), *recent)
    assert [named("up", job="api")] == store.series([[Matcher("job", MatchOp.EQUAL, "api")]], *day)


def test_a_bad_pattern_is_the_query_s_fault(store: Store) -> None:
    """A pattern outside RE2 is refused, also one that backtracks in other engines."""
    with pytest.raises(QueryParseError):
        store.select([Matcher("job", MatchOp.REGEX, "(?=x)")], 0, 1)


def test_repeated_exemplars_are_kept_once(store: Store) -> None:
    """A scrape shows the same exemplar again and again; it is stored once."""
    series = named("m_bucket", le="1")
    exemplar = Exemplar(series, (("trace_id", "ab"),), NOON_MS, 0.5)
    for t in range(3):
        row = Sample(series, NOON_MS + t, 1.0)
        store.ingest(Batch(samples=[row], exemplars=[exemplar._replace(t_ms=NOON_MS + t)])).result()

    assert [exemplar] == store.exemplars(name_is("m_bucket"), NOON_MS, NOON_MS + 10)


def test_metadata_is_remembered(tmp_path: Path, clock: FixedClock) -> None:
    """The latest metadata of a family is known after a restart."""
    new = Family("m", "counter", "Better words.", "")
    with Store.open(tmp_path / "data", clock=clock) as opened:
        for family in (Family("m", "counter", "Words.", ""), new, new):
            opened.ingest(Batch(families=[family])).result(10)
    with Store.open(tmp_path / "data", clock=clock) as opened:
        assert [new] == opened.families()


def test_new_series_beyond_the_limit_are_refused(tmp_path: Path, clock: FixedClock) -> None:
    """A label explosion costs the new series only, and is counted."""
    with Store.open(tmp_path / "data", clock=clock, settings=StoreSettings(series_max=2)) as opened:
        keep(opened, *((named("m", user=str(n)), 0, 1.0) for n in range(5)))
        keep(opened, (named("m", user="0"), 1, 2.0))
        result = found(opened, [])
        page = opened.metrics.render().decode()

    assert {named("m", user="0"): [(0, 1.0), (1, 2.0)], named("m", user="1"): [(0, 1.0)]} == result
    assert 'refused_total{reason="series_limit",signal="metrics"} 3.0' in page


def test_memory_is_bounded(tmp_path: Path, clock: FixedClock) -> None:
    """Beyond its bound the memory keeps the newest samples; the disk answers for the rest."""
    with Store.open(
        tmp_path / "data", clock=clock, settings=StoreSettings(head_samples_max=100)
    ) as opened:
        keep(
            opened,
            *((named("m", n=str(n)), t, float(t)) for t in range(-50, 0) for n in (1, 2, 3, 4)),
        )
        opened.maintain()
        held = opened.status()["samples_in_memory"]
        result = found(opened, [])

    assert held <= 100
    assert {50} == {len(samples) for samples in result.values()}
