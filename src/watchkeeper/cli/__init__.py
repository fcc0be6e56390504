"""The commands: parsing and printing only."""

from watchkeeper.cli.main import main

__all__ = ["main"]
