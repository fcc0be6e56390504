"""requests: a client span per request, with trace context out.

One span covers the redirects that the session follows. It ends when the answer is there, with
``stream=True`` when its head is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import client
from watchkeeper.instrument.integrations.patch import replace
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_FOLLOWING: ContextVar[bool] = ContextVar("watchkeeper_requests_following", default=False)
"""A session sends each redirect through its own `send` again: that is the same request."""


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every session; ``requests.get`` makes one for each call.

    Returns:
        A function that undoes it.
    """
    from requests.sessions import Session

    sessions: Any = Session
    send = sessions.send

    def call(self: Any, request: Any, **kwargs: Any) -> Any:
        if _FOLLOWING.get():
            return send(self, request, **kwargs)
        span = _begin(host, request)
        token = _FOLLOWING.set(True)
        try:
            response = send(self, request, **kwargs)
        except BaseException as error:
            client.end(span, None, error)
            raise
        finally:
            _FOLLOWING.reset(token)
        client.end(span, response.status_code, None)
        return response

    return replace(sessions, "send", call)


def _begin(host: Host, request: Any) -> RecordedSpan | None:
    try:
        url = urlsplit(request.url)
        return client.begin(
            host,
            method=request.method,
            url=client.full_url(url.scheme, url.netloc, url.path, url.query),
            address=url.hostname or "",
            port=url.port or (443 if url.scheme == "https" else 80),
            headers=request.headers,
        )
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(client.HOOK, error)
        return None
