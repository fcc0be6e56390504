"""Old days are deleted, today never."""

from __future__ import annotations

from pathlib import Path

from tests.server.sample_rows import NOON_NS, record, span

from watchkeeper.server.series import Matcher, MatchOp, sorted_labels
from watchkeeper.server.store import Store, StoreSettings
from watchkeeper.server.store.rows import Batch, Sample
from watchkeeper.testing.clock import FixedClock

DAY_S = 86_400.0
DAY_MS = 86_400_000
NOON_MS = NOON_NS // 1_000_000


def days(directory: Path, signal: str = "spans") -> list[str]:
    """Return the days that have a segment."""
    return sorted(path.stem for path in (directory / signal).glob("*.duckdb"))


def test_what_is_too_old_is_deleted(tmp_path: Path, clock: FixedClock) -> None:
    """Whole days older than the age are deleted, files included; the rest stays."""
    settings = StoreSettings(retention_days=2)
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        rows = [span(1, n + 1, start_s=-n * DAY_S) for n in range(5)]
        opened.ingest(Batch(spans=rows, logs=[record("x", at_s=-4 * DAY_S)])).result(10)
        opened.maintain()
        with opened.read("spans") as reader:
            left = reader.execute(f"SELECT count(*) FROM {reader.table('spans')}").fetchone()

    assert ["2025-12-30", "2025-12-31", "2026-01-01"] == days(tmp_path / "data")
    assert [] == days(tmp_path / "data", "logs")
    assert (3,) == left


def test_what_is_too_much_is_deleted_oldest_first(tmp_path: Path, clock: FixedClock) -> None:
    """Beyond the total size the oldest day goes first; today stays whatever its size."""
    settings = StoreSettings(size_bytes_max=1)
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        rows = [span(1, n + 1, start_s=-n * DAY_S) for n in range(3)]
        opened.ingest(Batch(spans=rows)).result(10)
        opened.maintain()
        opened.ingest(Batch(spans=[span(2, 1)])).result(10)

    assert ["2026-01-01"] == days(tmp_path / "data")


def test_a_segment_in_use_is_deleted_later(tmp_path: Path, clock: FixedClock) -> None:
    """A query that runs keeps its segments; the next round deletes them."""
    settings = StoreSettings(retention_days=1)
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        opened.ingest(Batch(spans=[span(1, 1, start_s=-5 * DAY_S)])).result(10)
        with opened.read("spans") as reader:
            opened.maintain()
            rows = reader.execute(f"SELECT name FROM {reader.table('spans')}").fetchall()
        kept = days(tmp_path / "data")
        opened.maintain()

    assert [("GET /",)] == rows
    assert ["2025-12-27"] == kept
    assert [] == days(tmp_path / "data")


def test_series_go_with_their_last_segment(tmp_path: Path, clock: FixedClock) -> None:
    """Series of deleted days leave the index; those seen since stay."""
    settings = StoreSettings(retention_days=1)
    old, both = (sorted_labels({"__name__": "m", "a": a}) for a in ("old", "both"))
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        samples = [Sample(s, NOON_MS - 3 * DAY_MS, 1.0) for s in (old, both)]
        opened.ingest(Batch(samples=[*samples, Sample(both, NOON_MS, 1.0)])).result(10)
        opened.maintain()
        everything = opened.series([[Matcher("__name__", MatchOp.EQUAL, "m")]])
        known = opened.status()["series"]

    assert [both] == everything
    assert 1 == known
