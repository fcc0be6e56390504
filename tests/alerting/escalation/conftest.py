"""A rig for every test of escalation that stores something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.alerting.escalation.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Yield a rig with the sample team."""
    made = Rig(tmp_path)
    yield made
    made.close()
