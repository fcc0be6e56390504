"""Automatic instrumentation of libraries, each imported only when it is used."""

from watchkeeper.instrument.integrations.asgi import AsgiMiddleware
from watchkeeper.instrument.integrations.table import TABLE, install, installed, uninstall

__all__ = ["TABLE", "AsgiMiddleware", "install", "installed", "uninstall"]
