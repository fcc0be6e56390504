"""How much longer than usual the kit waits for real things: machines differ in speed."""

from __future__ import annotations

import os

__all__ = ["patience"]

_VARIABLE = "WATCHKEEPER_TEST_PATIENCE"


def patience() -> float:
    """Return the factor in ``WATCHKEEPER_TEST_PATIENCE``, 1.0 without one; only waits grow by it."""
    return float(os.environ.get(_VARIABLE, "1"))
