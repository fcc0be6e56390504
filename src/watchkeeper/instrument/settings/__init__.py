"""The settings of the application side: one table, and the only reader of the environment here.

A value comes from the first of: argument of `watchkeeper.configure`, environment variable (ours
before OpenTelemetry's), table ``[instrument]`` of ``watchkeeper.toml``, default. An empty variable
counts as unset. A value of ours that cannot be read is an error; an unreadable ``OTEL_`` variable is
noted in `Settings.ignored` and passed over, as the OpenTelemetry specification asks.

A new setting is one row in `watchkeeper.instrument.settings.table` (those of the export are in
``export``) and one keyword in `watchkeeper.instrument.configure.Arguments`.
"""

from watchkeeper.instrument.settings.export import ExportArguments
from watchkeeper.instrument.settings.limits import limits_of
from watchkeeper.instrument.settings.loader import load, log_levels_again
from watchkeeper.instrument.settings.row import Setting
from watchkeeper.instrument.settings.table import TABLE, Settings

__all__ = [
    "TABLE",
    "ExportArguments",
    "Setting",
    "Settings",
    "limits_of",
    "load",
    "log_levels_again",
]
