"""Damaged files are set aside loudly, and nothing else is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
from tests.server.sample_rows import span

from watchkeeper.errors import StoreError
from watchkeeper.server.store import Store
from watchkeeper.server.store.rows import Batch
from watchkeeper.testing.clock import FixedClock

BATCHES = 20


@pytest.fixture
def crashed(tmp_path: Path, clock: FixedClock) -> Path:
    """Return a directory as a killed server leaves it: committed rows still in the log."""
    with Store.open(tmp_path / "live", clock=clock) as opened:
        for number in range(BATCHES):
            rows = [span(number + 1, n + 1) for n in range(50)]
            opened.ingest(Batch(digest=bytes([number]) * 16, spans=rows)).result(10)
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    return tmp_path / "crashed"


def traces(store: Store) -> dict[bytes, int]:
    """Return the number of spans by trace."""
    with store.read("spans") as reader:
        rows = reader.execute(
            f"SELECT trace_id, count(*) FROM {reader.table('spans')} GROUP BY ALL"
        ).fetchall()
    return dict(rows)


def test_a_log_is_replayed(crashed: Path, clock: FixedClock) -> None:
    """After a kill, everything that was acknowledged is there."""
    with Store.open(crashed, clock=clock) as opened:
        assert traces(opened) == dict.fromkeys(traces(opened), 50)
        assert len(traces(opened)) == BATCHES
        assert opened.quarantined == []


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_byte_costs_what_follows_and_no_more(
    crashed: Path, clock: FixedClock, seed: int
) -> None:
    """A damaged log is set aside and counted; whole batches before the damage are kept."""
    wal = next((crashed / "spans").glob("*.wal"))
    data = bytearray(wal.read_bytes())
    at = 200 + (len(data) - 200) * (2 * seed + 1) // 16
    data[at] ^= 0xFF
    wal.write_bytes(data)

    with Store.open(crashed, clock=clock) as opened:
        kept = traces(opened)
        opened.ingest(Batch(spans=[span(999, 1)])).result(10)
        set_aside = opened.quarantined
        counted = opened.metrics.render().decode()

    assert set(kept.values()) <= {50}
    assert len(kept) >= BATCHES * at // len(data) - 1
    if set_aside:
        assert bytes(data) == set_aside[0].path.read_bytes()
        assert 'watchkeeper_server_quarantined_total{reason="wal"} 1.0' in counted
    with Store.open(crashed, clock=clock) as again:
        assert len(traces(again)) == len(kept) + 1
        assert again.quarantined == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_log_cut_short_opens(crashed: Path, clock: FixedClock, share: float) -> None:
    """A log that ends in the middle loses the unfinished batch only."""
    wal = next((crashed / "spans").glob("*.wal"))
    data = wal.read_bytes()
    wal.write_bytes(data[: int(len(data) * share)])

    with Store.open(crashed, clock=clock) as opened:
        kept = traces(opened)

    assert set(kept.values()) <= {50}
    assert len(kept) >= int(BATCHES * share) - 1


@pytest.mark.parametrize("content", [b"", b"garbage" * 2_000])
def test_a_damaged_file_is_set_aside(crashed: Path, clock: FixedClock, content: bytes) -> None:
    """A segment that is no database is kept under another name, and the server starts."""
    path = next((crashed / "spans").glob("*.duckdb"))
    path.write_bytes(content)

    with Store.open(crashed, clock=clock) as opened:
        set_aside = [entry.path for entry in opened.quarantined]
        opened.ingest(Batch(spans=[span(999, 1)])).result(10)
        assert len(traces(opened)) == 1

    assert content in [entry.read_bytes() for entry in set_aside]


def test_a_foreign_database_is_refused(crashed: Path, clock: FixedClock) -> None:
    """A database that we did not write is neither used nor moved."""
    path = crashed / "spans" / "2026-01-02.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")

    with pytest.raises(StoreError, match="not a segment"):
        Store.open(crashed, clock=clock)
    assert path.exists()


def test_a_newer_file_is_refused(crashed: Path, clock: FixedClock) -> None:
    """A segment of a later format stops the start, with the file's name."""
    path = crashed / "state.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE about SET value = '7' WHERE key = 'format'")

    with pytest.raises(StoreError, match=r"state\.duckdb has format 7"):
        Store.open(crashed, clock=clock)
