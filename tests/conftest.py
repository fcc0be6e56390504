"""What every test may ask for."""

import os

from tests.services import database_url, redis_url

__all__ = ["database_url", "redis_url"]

# Waits for real processes are limits for the case that something is broken, not measurements: a
# machine that is busy or slow needs more time, and a test that passes never takes it.
os.environ.setdefault("WATCHKEEPER_TEST_PATIENCE", "4")
