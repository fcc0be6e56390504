"""Automatic instrumentation of libraries, each imported only when it is used."""

from watchkeeper.instrument.integrations.asgi import AsgiMiddleware
from watchkeeper.instrument.integrations.table import (
    TABLE,
    after_import,
    install,
    installed,
    uninstall,
)
from watchkeeper.instrument.integrations.wsgi import WsgiMiddleware

__all__ = [
    "TABLE",
    "AsgiMiddleware",
    "WsgiMiddleware",
    "after_import",
    "install",
    "installed",
    "uninstall",
]
