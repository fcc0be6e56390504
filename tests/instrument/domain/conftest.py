"""A rig that the domain functions record through; no error of ours may hide."""

from collections.abc import Iterator

import pytest
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument.guard import reraising


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return an attached rig."""
    with attached() as made, reraising():
        yield made
