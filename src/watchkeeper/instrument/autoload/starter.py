"""Starts watchkeeper in a process that did not ask for it in its code."""

from __future__ import annotations

import sys
from pathlib import Path

from watchkeeper.instrument.configure import configure_softly

__all__ = ["path_entry", "start"]


def path_entry() -> Path:
    """Return the folder that has to be first on ``PYTHONPATH``; it holds our ``sitecustomize``."""
    return Path(__file__).resolve().parent / "site"


def start() -> None:
    """Configure from the environment; a failure is told in one line and changes nothing else."""
    try:
        configure_softly()
    except Exception as error:  # noqa: BLE001 - the command that the user wanted must still run
        sys.stderr.write(f"watchkeeper: not started: {error}\n")
