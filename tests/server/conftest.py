"""A real store for every test of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.sample_rows import NOON_NS

from watchkeeper.server.store.store import Store
from watchkeeper.testing.clock import FixedClock


@pytest.fixture
def clock() -> FixedClock:
    """Return a clock that stands at noon."""
    return FixedClock(NOON_NS)


@pytest.fixture
def store(tmp_path: Path, clock: FixedClock) -> Iterator[Store]:
    """Yield an empty store."""
    opened = Store.open(tmp_path / "data", clock=clock)
    yield opened
    opened.close()
