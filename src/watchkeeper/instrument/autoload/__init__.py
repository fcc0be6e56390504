"""Instrumentation without a change to the application: what ``watchkeeper run`` puts on the path."""

from watchkeeper.instrument.autoload.starter import path_entry, start

__all__ = ["path_entry", "start"]
