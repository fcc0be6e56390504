"""What the store promises: kept whole or not at all, once, and by one server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import orjson
import pytest
from tests.server.sample_rows import NOON_NS, record, span

from watchkeeper.errors import OverloadError, PayloadError, QueryLimitError, StoreError
from watchkeeper.server.store import Store, StoreSettings
from watchkeeper.server.store.rows import Batch, SpanRow
from watchkeeper.testing.clock import FixedClock

DAY_S = 86_400.0


def count(store: Store, signal: str = "spans") -> int:
    """Return how many rows of a signal are stored."""
    with store.read(signal) as reader:  # type: ignore[arg-type] # one of the three literals
        row = reader.execute(f"SELECT count(*) FROM {reader.table(signal)}").fetchone()
    assert row is not None
    return int(row[0])


def test_spans_come_back_as_they_went_in(store: Store) -> None:
    """Every column of a span survives, in order."""
    row = span(1, 1)
    store.ingest(Batch(spans=[row])).result(10)

    with store.read("spans") as reader:
        rows = reader.execute(f"SELECT * FROM {reader.table('spans')}").fetchall()

    assert [row] == [SpanRow(*found) for found in rows]


def test_a_range_reaches_only_the_days_it_overlaps(store: Store) -> None:
    """Rows of other days are not looked at, and a range without segments is empty."""
    store.ingest(Batch(spans=[span(1, 1), span(1, 2, start_s=DAY_S)])).result(10)

    counts = []
    for start_s in (0.0, DAY_S, 9 * DAY_S):
        start_ns = NOON_NS + int(start_s * 1e9)
        with store.read("spans", start_ns, start_ns + 1) as reader:
            row = reader.execute(f"SELECT count(*) FROM {reader.table('spans')}").fetchone()
        counts.append(row)

    assert [(1,), (1,), (0,)] == counts


def test_a_digest_is_stored_once(store: Store) -> None:
    """A batch that is sent again, in the same group or later, is acknowledged and folded."""
    batches = [Batch(digest=b"d" * 16, spans=[span(1, 1)]) for _ in range(3)]
    for future in [store.ingest(batch) for batch in batches[:2]]:
        future.result(10)
    store.ingest(batches[2]).result(10)

    assert count(store) == 1
    page = store.metrics.render().decode()
    assert 'watchkeeper_server_duplicate_batches_total{signal="spans"} 2.0' in page


def test_a_digest_is_remembered_after_a_restart(tmp_path: Path, clock: FixedClock) -> None:
    """Folding works across restarts, in each of the days that a batch touches."""
    batch = Batch(digest=b"d" * 16, spans=[span(1, 1), span(1, 2, start_s=DAY_S)])
    for _ in range(2):
        with Store.open(tmp_path / "data", clock=clock) as opened:
            opened.ingest(batch).result(10)
            found = count(opened)

    assert found == 2


def test_a_bad_batch_does_not_take_others_with_it(store: Store) -> None:
    """Of batches that are committed together, only the one with an impossible value fails."""
    bad = span(1, 1)._replace(kind=999)
    futures = [
        store.ingest(Batch(spans=[span(1, 2)])),
        store.ingest(Batch(digest=b"b" * 16, spans=[bad])),
        store.ingest(Batch(spans=[span(1, 3)])),
    ]

    errors = [future.exception(10) for future in futures]
    assert [None, PayloadError, None] == [error and type(error) for error in errors]
    assert count(store) == 2


def test_too_much_waiting_is_refused_at_once(tmp_path: Path, clock: FixedClock) -> None:
    """Beyond its byte budget the store takes nothing in, and recovers by itself."""
    settings = StoreSettings(queue_bytes_max=1_000)
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        taken, refused = 0, 0
        for number in range(200):
            try:
                opened.ingest(Batch(spans=[span(1, number + 1)], size_bytes=600))
                taken += 1
            except OverloadError as error:
                refused += error.retry_after_s > 0
        opened.maintain()
        opened.ingest(Batch(logs=[record("later")], size_bytes=600)).result(10)
        stored = count(opened)

    assert refused > 0
    assert stored == taken


def test_a_nearly_full_disk_is_refused_before_it_is_full(tmp_path: Path, clock: FixedClock) -> None:
    """Below the free bytes asked for, nothing is taken in, and queries go on."""
    settings = StoreSettings(disk_free_bytes_min=2**62)
    with Store.open(tmp_path / "data", clock=clock, settings=settings) as opened:
        with pytest.raises(OverloadError, match="disk is nearly full"):
            opened.ingest(Batch(spans=[span(1, 1)]))
        assert count(opened) == 0


def test_a_closed_store_takes_nothing(tmp_path: Path, clock: FixedClock) -> None:
    """After close, ingest is refused and health is gone; closing again is harmless."""
    opened = Store.open(tmp_path / "data", clock=clock)
    opened.close()
    opened.close()

    assert not opened.healthy
    with pytest.raises(OverloadError):
        opened.ingest(Batch(spans=[span(1, 1)]))


def test_close_commits_what_waits(tmp_path: Path, clock: FixedClock) -> None:
    """Batches that were taken before close are committed by it."""
    opened = Store.open(tmp_path / "data", clock=clock)
    futures = [opened.ingest(Batch(spans=[span(1, n + 1)])) for n in range(50)]
    opened.close()

    assert all(future.done() and future.exception() is None for future in futures)
    with Store.open(tmp_path / "data", clock=clock) as again:
        assert count(again) == 50


def test_state_is_one_transaction(store: Store) -> None:
    """A state change that fails halfway leaves nothing behind."""
    with store.state_write() as cursor:
        cursor.execute("INSERT INTO about VALUES ('a', '1')")

    def fail() -> None:
        with store.state_write() as cursor:
            cursor.execute("INSERT INTO about VALUES ('b', '1')")
            raise KeyError("halfway")

    with pytest.raises(KeyError):
        fail()
    with store.state_read() as cursor:
        rows = cursor.execute("SELECT key FROM about ORDER BY key").fetchall()

    assert [("a",), ("format",)] == rows


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/watchkeeper-leak.csv'",
        "ATTACH '/tmp/watchkeeper-leak.duckdb' AS leak",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_sql_reaches_nothing_outside(store: Store, sql: str) -> None:
    """Even SQL that somebody smuggled in cannot leave the data directory."""
    with store.read("spans") as reader, pytest.raises(duckdb.Error, match=r"disabled|locked"):
        reader.execute(sql).fetchall()


def test_a_second_server_is_refused_with_the_holder(tmp_path: Path, clock: FixedClock) -> None:
    """Another process learns at once who holds the directory."""
    code = (
        "import sys; from pathlib import Path; from watchkeeper.clock import SystemClock\n"
        "from watchkeeper.server.store import Store\n"
        "from watchkeeper.errors import StoreError\n"
        "try: Store.open(Path(sys.argv[1]), clock=SystemClock())\n"
        "except StoreError as error: print(error); sys.exit(3)\n"
    )
    with Store.open(tmp_path / "data", clock=clock):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "data")],
            capture_output=True, text=True, timeout=80, check=False,
        )  # fmt: skip

    assert done.returncode == 3
    assert f"process {os.getpid()}" in done.stdout
    assert str(tmp_path / "data") in done.stdout


def _foreign(directory: Path) -> None:
    directory.mkdir()
    (directory / "thesis.txt").write_text("mine", encoding="utf-8")


def _file(directory: Path) -> None:
    directory.write_text("", encoding="utf-8")


def _link(directory: Path) -> None:
    (directory.parent / "real").mkdir()
    directory.symlink_to(directory.parent / "real")


def _open_to_all(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


def _newer(directory: Path) -> None:
    directory.mkdir()
    (directory / "watchkeeper.json").write_bytes(orjson.dumps({"format": 99}))


def _damaged_marker(directory: Path) -> None:
    directory.mkdir()
    (directory / "watchkeeper.json").write_bytes(b"{")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_foreign, "not ours"),
        (_file, "is a file"),
        (_link, "symbolic link"),
        (_open_to_all, "everybody may write"),
        (_newer, "format 99"),
        (_damaged_marker, "is damaged"),
    ],
)
def test_a_directory_that_is_not_ours_is_left_alone(
    tmp_path: Path, clock: FixedClock, make: Callable[[Path], None], words: str
) -> None:
    """Each unsuitable directory is refused with its own reason and a next step."""
    directory = tmp_path / "data"
    make(directory)

    with pytest.raises(StoreError, match=words) as caught:
        Store.open(directory, clock=clock)
    assert "Next:" in str(caught.value)


def test_only_the_owner_can_look(tmp_path: Path, clock: FixedClock) -> None:
    """The directory has mode 0700, segment files 0600."""
    with Store.open(tmp_path / "data", clock=clock) as opened:
        opened.ingest(Batch(spans=[span(1, 1)])).result(10)
        modes = {
            path.suffix: path.stat().st_mode & 0o777
            for path in (tmp_path / "data").rglob("*.duckdb")
        }

    assert modes == {".duckdb": 0o600}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_query_that_takes_too_long_is_broken_off(store: Store) -> None:
    """After its time a query ends with the limit's error, and the store goes on."""
    with (
        pytest.raises(QueryLimitError, match="took too long"),
        store.read("spans", timeout_s=0.1) as reader,
    ):
        reader.execute("SELECT count(*) FROM range(100000000000) a, range(1000) b").fetchall()

    assert count(store) == 0


def test_many_threads_read_while_one_writes(store: Store) -> None:
    """Every reader sees whole batches, whatever is being committed."""
    stop = threading.Event()
    torn: list[tuple[bytes, int]] = []

    def look() -> None:
        while not stop.is_set():
            with store.read("spans") as reader:
                torn.extend(
                    reader.execute(
                        f"SELECT trace_id, count(*) AS n FROM {reader.table('spans')} "
                        "GROUP BY ALL HAVING n <> 20"
                    ).fetchall()
                )

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        store.ingest(Batch(spans=[span(number + 1, n + 1) for n in range(20)])).result(10)
    stop.set()
    for thread in threads:
        thread.join(10)

    assert torn == []
    assert count(store) == 60 * 20
