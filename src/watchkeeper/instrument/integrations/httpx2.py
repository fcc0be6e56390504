"""httpx2, the client below the OpenAI and Anthropic clients: as httpx."""

from __future__ import annotations

from collections.abc import Callable

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.httpx import wrap_clients

__all__ = ["instrument"]


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every httpx2 client.

    Returns:
        A function that undoes it.
    """
    import httpx2

    return wrap_clients(httpx2, host)
