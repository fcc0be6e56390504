"""Finds the conformance corpora, which lie beside the repository and are never copied into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("WATCHKEEPER_CONFORMANCE", ROOT.parent / "shared" / "conformance"))


def corpus(name: str) -> Path:
    """Return the folder of the corpus called *name*; a missing one fails CI and skips elsewhere."""
    folder = HOME / name
    if not folder.is_dir():
        message = f"corpus {name!r} is not at {HOME}; set WATCHKEEPER_CONFORMANCE to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
