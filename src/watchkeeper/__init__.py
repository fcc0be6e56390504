"""Observability for Python AI backends: the light door.

One call makes an application observable::

    import watchkeeper

    watchkeeper.configure(service="shop-api")

Importing this brings neither a web framework nor a database library, nor the OpenTelemetry SDK.
"""

from watchkeeper.instrument.configure import (
    configure,
    current,
    flush,
    shutdown,
    uninstrument,
)
from watchkeeper.instrument.context import bind
from watchkeeper.instrument.domain import (
    agent_run,
    auth_event,
    health,
    health_check,
    job,
    llm_call,
    pipeline,
    queue_depth,
    schedule,
    tool_call,
    user_active,
)
from watchkeeper.instrument.door import instrument
from watchkeeper.instrument.integrations import AsgiMiddleware, WsgiMiddleware
from watchkeeper.instrument.logs import get_logger

__all__ = [
    "AsgiMiddleware",
    "WsgiMiddleware",
    "agent_run",
    "auth_event",
    "bind",
    "configure",
    "current",
    "flush",
    "get_logger",
    "health",
    "health_check",
    "instrument",
    "job",
    "llm_call",
    "pipeline",
    "queue_depth",
    "schedule",
    "shutdown",
    "tool_call",
    "uninstrument",
    "user_active",
]
