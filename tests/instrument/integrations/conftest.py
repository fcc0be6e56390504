"""A rig that the integrations record through; no error of ours may hide."""

from collections.abc import Iterator

import pytest
from tests.instrument.integrations.shop import Shop
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument.guard import reraising


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return an attached rig."""
    with attached() as made, reraising():
        yield made


@pytest.fixture
def instrumented(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Switch on what the test's module imports as ``integration``."""
    undo = request.module.integration.instrument(rig)
    yield rig
    undo()


@pytest.fixture(scope="session")
def shared_shop() -> Iterator[Shop]:
    """Serve for all tests."""
    made = Shop()
    yield made
    made.close()


@pytest.fixture
def shop(shared_shop: Shop) -> Shop:
    """Return a server that knows of no request yet."""
    shared_shop.seen.clear()
    return shared_shop
