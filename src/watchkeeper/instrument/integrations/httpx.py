"""httpx: a client span per request, with trace context out.

The span ends when the answer's head is there (or its body, if it is not streamed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import client
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument", "wrap_clients"]


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every httpx client.

    Returns:
        A function that undoes it.
    """
    import httpx

    return wrap_clients(httpx, host)


def wrap_clients(library: Any, host: Host) -> Callable[[], None]:
    """Replace ``send`` of ``Client`` and ``AsyncClient`` of *library*; returns the undo function."""
    send, asend = library.Client.send, library.AsyncClient.send

    def call(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begin(host, request)
        try:
            response = send(self, request, *args, **kwargs)
        except BaseException as error:
            client.end(span, None, error)
            raise
        client.end(span, response.status_code, None)
        return response

    async def acall(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begin(host, request)
        try:
            response = await asend(self, request, *args, **kwargs)
        except BaseException as error:
            client.end(span, None, error)
            raise
        client.end(span, response.status_code, None)
        return response

    return all_of(
        replace(library.Client, "send", call), replace(library.AsyncClient, "send", acall)
    )


def _begin(host: Host, request: Any) -> RecordedSpan | None:
    try:
        url = request.url
        return client.begin(
            host,
            method=request.method,
            url=client.full_url(
                url.scheme,
                url.netloc.decode("ascii", "replace"),
                url.path,
                url.query.decode("ascii", "replace"),
            ),
            address=url.host,
            port=url.port or (443 if url.scheme == "https" else 80),
            headers=request.headers,
        )
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(client.HOOK, error)
        return None
