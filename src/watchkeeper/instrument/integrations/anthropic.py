"""Anthropic's client: a span, tokens, cost and retries of each call, streamed or not.

The client can trace itself through OpenTelemetry. A call that is recorded here gets no second span
of its own; what else it traces (sessions, files, tool runs) stays.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.integrations.stainless import Client, wrap
from watchkeeper.instrument.usage import CALL

__all__ = ["instrument"]

_OPERATIONS = MappingProxyType({"/v1/messages": "chat"})
_OWN_SPAN = "start_api_call_span"


def instrument(host: Host) -> Callable[[], None]:
    """Record the calls of every client of Anthropic's library.

    Returns:
        A function that undoes it.
    """
    import anthropic
    from anthropic import _base_client, _response

    undo = wrap(
        host,
        Client(
            base=_base_client,
            streams=(anthropic.Stream, anthropic.AsyncStream),
            raw=(_response.APIResponse, _response.AsyncAPIResponse),
            operations=_OPERATIONS,
            provider=_provider,
        ),
    )
    original: Any = getattr(_base_client, _OWN_SPAN, None)
    if original is None:
        return undo

    def start(tracer: Any, base_url: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        if CALL.get() is not None and options.url.partition("?")[0] in _OPERATIONS:
            return None
        return original(tracer, base_url, options, *args, **kwargs)

    return all_of(undo, replace(_base_client, _OWN_SPAN, start))


def _provider(client: Any) -> str:
    return str(getattr(client, "_gen_ai_provider_name", "anthropic"))
