"""A disk that fills up, and has room again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, resource, sys
from pathlib import Path
import structlog
from watchkeeper.clock import SystemClock
from watchkeeper.errors import OverloadError
from watchkeeper.server.store import Store
from watchkeeper.server.store.rows import Batch, SpanRow

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
clock, most = SystemClock(), int(sys.argv[2])

def batch():
    now = clock.now_ns()
    rows = [SpanRow(os.urandom(16), os.urandom(8), None, "", 0, os.urandom(200).hex(), 1, now, now,
                    0, "", "s", "{}", "[]", "[]", "[0,0,0]", "{}", "{}") for _ in range(500)]
    return Batch(digest=os.urandom(16), spans=rows, size_bytes=300_000)

def count():
    with store.read("spans") as reader:
        return reader.execute(f"SELECT count(*) FROM {reader.table('spans')}").fetchone()[0]

store = Store.open(Path(sys.argv[1]), clock=clock)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
kept = refused = 0
while refused < 3:
    try:
        store.ingest(batch()).result()
        kept += 1
    except OverloadError:
        refused += 1
full = count()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
store.ingest(batch()).result()
room = count()
store.close()
store = Store.open(Path(sys.argv[1]), clock=clock)
print(json.dumps([kept * 500, full, room, count(), len(store.quarantined)]))
store.close()
"""


@pytest.mark.parametrize("megabytes", [3, 17], ids=["in the log", "in a checkpoint"])
def test_a_full_disk_costs_nothing_that_was_acknowledged(tmp_path: Path, megabytes: int) -> None:
    """While files cannot grow, batches are refused and queries answered; then it goes on."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "data"), str(megabytes * 1024**2)],
        capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    kept, full, room, reopened, quarantined = json.loads(done.stdout)
    assert kept > 0
    assert [kept, kept + 500, kept + 500, 0] == [full, room, reopened, quarantined]
