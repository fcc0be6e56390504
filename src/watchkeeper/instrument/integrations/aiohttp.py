"""aiohttp's client: a client span per request, with trace context out.

One span covers the redirects that the session follows, and ends when the answer's head is there: the
body is read by the caller. A websocket's span ends with its handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import client
from watchkeeper.instrument.integrations.patch import replace
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every ``aiohttp.ClientSession``.

    Returns:
        A function that undoes it.
    """
    from aiohttp.client import ClientSession
    from multidict import CIMultiDict

    sessions: Any = ClientSession
    request = sessions._request  # noqa: SLF001 - every method of the class goes through it

    async def call(self: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        span: RecordedSpan | None = None
        try:
            # Headers of the session win over ours, as those of the call do.
            headers: Any = CIMultiDict(kwargs.get("headers") or ())
            own = self.headers.get("x-request-id")
            if own is not None:
                headers.setdefault("x-request-id", own)
            span = _begin(host, self, method, str_or_url, headers, kwargs.get("params"))
            if span is not None:
                kwargs["headers"] = headers
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(client.HOOK, error)
        try:
            response = await request(self, method, str_or_url, **kwargs)
        except BaseException as error:
            client.end(span, None, error)
            raise
        client.end(span, response.status, None)
        return response

    return replace(sessions, "_request", call)


def _begin(
    host: Host, session: Any, method: str, given: Any, headers: Any, params: Any
) -> RecordedSpan | None:
    url = session._build_url(given)  # noqa: SLF001 - joins the session's base address
    if params:
        url = url.extend_query(params)
    return client.begin(
        host,
        method=method.upper(),
        url=client.full_url(url.scheme, url.raw_authority, url.raw_path, url.raw_query_string),
        address=url.host or "",
        port=url.port,
        headers=None if "traceparent" in session.headers else headers,
    )
